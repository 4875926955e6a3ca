//! What is still to be written to a worker.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::AsyncWrite as _;

use crate::relay::Relay;

/// `head`, then `body`, then `tail`.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    pub(super) head: BytesMut,
    body: Bytes,
    tail: Bytes,
    /// Bytes of the request in hand that have left.
    pub(super) written: usize,
}

/// Bodies from this size on are written from where they are; smaller ones are copied behind their header.
const COPY_LIMIT: usize = 16 * 1024;

impl Outgoing {
    /// Adds a request: its header and context, its body, and the fences in front of it and behind it.
    pub(super) fn request(
        &mut self,
        fences: [Option<&Bytes>; 2],
        [header, context]: [&[u8]; 2],
        body: Bytes,
    ) {
        let [front, behind] = fences;
        self.written = 0;
        let is_small = body.len() < COPY_LIMIT;
        let copied = if is_small { body.len() + behind.map_or(0, Bytes::len) } else { 0 };
        self.head.reserve(front.map_or(0, Bytes::len) + header.len() + context.len() + copied);
        self.head.extend_from_slice(front.map_or(&[], Bytes::as_ref));
        self.head.extend_from_slice(header);
        self.head.extend_from_slice(context);
        if is_small {
            self.head.extend_from_slice(&body);
            self.head.extend_from_slice(behind.map_or(&[], Bytes::as_ref));
        } else {
            self.body = body;
            if let Some(fence) = behind {
                self.tail = fence.clone();
            }
        }
    }

    /// Adds a frame behind whatever is left to write.
    pub(super) fn push(&mut self, frame: &[u8]) {
        if self.body.is_empty() && self.tail.is_empty() {
            self.head.extend_from_slice(frame);
        } else {
            self.tail = [&self.tail[..], frame].concat().into();
        }
    }

    pub(super) fn remaining(&self) -> usize {
        self.head.len() + self.body.len() + self.tail.len()
    }

    pub(super) fn poll_write(
        &mut self,
        relay: Pin<&mut Relay>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let written = if self.body.is_empty() && self.tail.is_empty() {
            ready!(relay.poll_write(cx, &self.head))?
        } else {
            let parts = [IoSlice::new(&self.head), IoSlice::new(&self.body), IoSlice::new(&self.tail)];
            ready!(relay.poll_write_vectored(cx, &parts))?
        };
        self.advance(written);
        if written == 0 {
            Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Poll::Ready(Ok(written))
        }
    }

    fn advance(&mut self, written: usize) {
        let head = written.min(self.head.len());
        let body = (written - head).min(self.body.len());
        self.head.advance(head);
        self.body.advance(body);
        self.tail.advance(written - head - body);
    }
}
