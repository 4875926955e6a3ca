//! Answers.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Response, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;
use tokio_stream::wrappers::WatchStream;

/// An answer.
pub(super) type Answer = Response<Content>;

/// The body of an answer.
#[derive(Debug)]
pub(super) enum Content {
    /// All of it.
    Whole(Bytes),
    /// It goes on until its reader goes away, or does not read.
    Events(Events),
}

/// A stream of events. A reader that is slow misses some.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) first: Option<Bytes>,
    pub(super) later: WatchStream<Bytes>,
    /// Counts as one of the streams.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Stream for Events {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.later).poll_next(cx),
        }
    }
}

/// The content type of plain text.
pub(super) const TEXT: &str = "text/plain; charset=utf-8";

/// An answer of this content type.
pub(super) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Content::Whole(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// A line of text for people. Source of the headers: Go's `http.Error`, which RoadRunner uses.
pub(super) fn plain(status: StatusCode, line: impl Into<Bytes>) -> Answer {
    let mut answer = answer(status, TEXT, line);
    answer.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

#[cfg(test)]
impl Content {
    /// The body of an answer that ends.
    pub(super) fn whole(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) => bytes,
            Self::Events(_) => panic!("a stream of events"),
        }
    }
}
