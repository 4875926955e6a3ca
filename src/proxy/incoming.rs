//! The body of a call, for whoever reads bodies.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use hyper::body::Frame;

/// What a caller sends.
#[derive(Debug)]
pub(super) struct Incoming(RecvStream);

impl Incoming {
    pub(super) fn new(stream: RecvStream) -> Self {
        Self(stream)
    }
}

impl hyper::body::Body for Incoming {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        let stream = &mut self.0;
        if let Some(data) = ready!(stream.poll_data(cx)) {
            if let Ok(data) = &data {
                // Only a stream that has ended already says no.
                let _ = stream.flow_control().release_capacity(data.len());
            }
            return Poll::Ready(Some(data.map(Frame::data)));
        }
        let trailers = ready!(stream.poll_trailers(cx));
        Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }
}
