//! The sending side of a stream over HTTP/2.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::{Reason as Code, SendStream};
use http::HeaderMap;
use tonic::Status;

/// Bytes of one stream that HTTP/2 holds, about. Clients may open windows of gigabytes and read nothing.
pub(super) const HANDED: usize = 64 << 10;

/// Counts the bytes that HTTP/2 holds.
pub(super) trait Holder: fmt::Debug + Send + Sync {
    /// It no longer holds so many bytes. Called within its lock.
    fn sent(self: Arc<Self>, bytes: usize);
}

/// What a client reads from.
#[derive(Debug)]
pub(super) struct Outlet(SendStream<Bytes>);

/// How a client has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It ended the stream.
    Stream,
    /// The connection was lost.
    Connection,
}

/// Bytes that HTTP/2 holds. They count for the stream until they are dropped: then they have been sent, or the client has gone.
#[derive(Debug)]
struct Unsent {
    piece: Bytes,
    holder: Arc<dyn Holder>,
}

impl Outlet {
    pub(super) fn new(stream: SendStream<Bytes>) -> Self {
        Self(stream)
    }

    /// Registers the waker for when the client leaves or reads. Ready when it has left.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Gone> {
        self.0.poll_reset(cx).map(|reset| if reset.is_ok() { Gone::Stream } else { Gone::Connection })
    }

    /// How many of these bytes the client's windows allow. If that is nothing, HTTP/2 wakes the stream when it is more.
    pub(super) fn room(&mut self, bytes: usize) -> usize {
        self.0.reserve_capacity(bytes);
        self.0.capacity().min(bytes)
    }

    /// Sends bytes for which there is room.
    pub(super) fn send(&mut self, piece: Bytes, holder: Arc<dyn Holder>) {
        let unsent = Unsent { piece, holder };
        // This fails only on a stream that has ended, which is noticed elsewhere.
        let _ = self.0.send_data(Bytes::from_owner(unsent), false);
    }

    /// Ends the stream behind what was sent.
    pub(super) fn end(mut self, status: &Status) {
        let mut trailers = HeaderMap::new();
        if status.add_header(&mut trailers).is_err() || self.0.send_trailers(trailers).is_err() {
            self.0.send_reset(Code::INTERNAL_ERROR);
        }
    }

    /// Ends the stream within a message.
    pub(super) fn cut(mut self) {
        self.0.send_reset(Code::CANCEL);
    }
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Unsent {
    /// HTTP/2 drops this while it holds its own lock, so nothing of it may be called here.
    fn drop(&mut self) {
        Arc::clone(&self.holder).sent(self.piece.len());
    }
}
