//! What the client of a bidirectional stream sends.
//!
//! Bytes are taken from HTTP/2 as they arrive, but its windows are opened again only for what is read ahead ([`AHEAD`]) and for what has been
//! handled. So a client that sends faster than workers handle it is held back by its own window. What it leaves unread would also take up
//! the window of the connection, and with it the calls of others: beyond [`UNREAD`] of all its streams, one that sends more is closed.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes, BytesMut};
use h2::RecvStream;
use tonic::Status;

use super::budget::Budget;
use super::port::Port;
use crate::grpc::{PREFIX, Prefix};

/// Bytes that are read ahead of a stream's handlers, or one message if it is longer.
const AHEAD: usize = 64 << 10;

/// Bytes of one connection's streams that wait in its window, at most. The window is larger.
pub const UNREAD: usize = 4 << 20;

/// Bytes that are taken before other streams have a turn.
const TURN: usize = 64 << 10;

/// The receiving side of a stream.
#[derive(Debug)]
pub struct Inlet {
    /// `None` once the client sends no more.
    stream: Option<RecvStream>,
    /// What has arrived and was not taken.
    raw: BytesMut,
    /// The part of it, and of messages in hand, that HTTP/2's windows lack.
    unreleased: usize,
    /// Bytes that were taken but not handled yet.
    in_hand: usize,
    max_message_size: usize,
    may_be_compressed: bool,
    budget: Arc<Budget>,
    port: Arc<Port>,
}

/// A message of the client.
#[derive(Debug)]
pub struct Message {
    /// The message.
    pub body: Bytes,
    /// Whether it is compressed with gzip.
    pub is_compressed: bool,
}

impl Inlet {
    pub(super) fn new(
        stream: RecvStream,
        max_message_size: usize,
        may_be_compressed: bool,
        budget: Arc<Budget>,
        port: Arc<Port>,
    ) -> Self {
        Self {
            stream: Some(stream),
            raw: BytesMut::new(),
            unreleased: 0,
            in_hand: 0,
            max_message_size,
            may_be_compressed,
            budget,
            port,
        }
    }

    /// Takes what has arrived. `Ready` when the client sends no more, or what it sends cannot be accepted.
    ///
    /// # Errors
    /// The status of the stream.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        let mut taken = 0;
        loop {
            let Some(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
            match stream.poll_data(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Ok(data))) => {
                    taken += data.len();
                    if let Err(status) = self.push(&data) {
                        return Poll::Ready(Err(status));
                    }
                    if taken >= TURN {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                // The client has gone, or has nothing more to say.
                Poll::Ready(Some(Err(_)) | None) => self.hang_up(),
            }
        }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Status> {
        self.unreleased += data.len();
        self.port.unreleased.fetch_add(data.len(), Relaxed);
        if !self.budget.take_for(&self.port.share, self.held(), data.len()) {
            return Err(Status::resource_exhausted("the memory of all streams is used up"));
        }
        self.raw.extend_from_slice(data);
        self.release();
        match self.prefix() {
            Some(prefix) if prefix.length > self.max_message_size => {
                let limit = self.max_message_size;
                Err(Status::resource_exhausted(format!(
                    "the message is larger than the limit of {limit} bytes (centrifuge.max_message_size)"
                )))
            }
            Some(prefix) if prefix.is_compressed && !self.may_be_compressed => Err(Status::internal(
                "received message with compressed-flag but no grpc-encoding was specified",
            )),
            _ if self.unreleased > 0 && self.port.unreleased.load(Relaxed) > UNREAD => {
                Err(Status::resource_exhausted("the client sends faster than its messages are handled"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the client sends no more.
    pub fn is_closed(&self) -> bool {
        self.stream.is_none()
    }

    /// Whether a whole message has arrived.
    pub fn has_message(&self) -> bool {
        self.prefix().is_some_and(|prefix| self.raw.len() - PREFIX >= prefix.length)
    }

    /// The next message, if all of it has arrived. Call [`Inlet::handled`] before the next one.
    pub fn take(&mut self) -> Option<Message> {
        let prefix = self.prefix().filter(|_| self.has_message())?;
        self.raw.advance(PREFIX);
        let body = self.raw.split_to(prefix.length).freeze();
        if self.raw.is_empty() {
            // Idle streams keep no buffer.
            self.raw = BytesMut::new();
        }
        self.in_hand = PREFIX + body.len();
        Some(Message { body, is_compressed: prefix.is_compressed })
    }

    /// The message has been handled: the client may send as much again.
    pub fn handled(&mut self) {
        self.budget.release(&self.port.share, std::mem::take(&mut self.in_hand));
        self.release();
    }

    /// Drops HTTP/2's side; messages that have arrived stay.
    pub(super) fn hang_up(&mut self) {
        let unreleased = std::mem::take(&mut self.unreleased);
        self.port.unreleased.fetch_sub(unreleased, Relaxed);
        if let Some(mut stream) = self.stream.take() {
            // Otherwise the connection's window would lack it for ever.
            let _ = stream.flow_control().release_capacity(unreleased);
        }
    }

    /// Drops all of it.
    pub(super) fn clear(&mut self) {
        self.hang_up();
        self.budget.release(&self.port.share, self.raw.len());
        self.raw = BytesMut::new();
    }

    /// Opens the windows for what may be read ahead.
    fn release(&mut self) {
        let message = self.prefix().map_or(0, |prefix| PREFIX + prefix.length.min(self.max_message_size));
        let released = self.held().saturating_sub(self.unreleased);
        let more = AHEAD.max(message).saturating_sub(released).min(self.unreleased);
        if more == 0 {
            return;
        }
        if let Some(stream) = &mut self.stream {
            let _ = stream.flow_control().release_capacity(more);
        }
        self.unreleased -= more;
        self.port.unreleased.fetch_sub(more, Relaxed);
    }

    /// Bytes that have arrived and were not handled.
    fn held(&self) -> usize {
        self.raw.len() + self.in_hand
    }

    fn prefix(&self) -> Option<Prefix> {
        Prefix::parse(&self.raw)
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        self.hang_up();
        self.budget.release(&self.port.share, self.held());
    }
}
