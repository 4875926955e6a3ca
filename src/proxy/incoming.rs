//! The message of a call, as it arrives.

use std::task::{Context, Poll, ready};

use h2::RecvStream;
use tonic::Status;

use super::account::Hold;
use super::status;
use super::unary::{Framed, Message};

/// What a caller sends.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    message: Message,
    received: usize,
    /// Memory is held for the whole message from when its length is known.
    is_held: bool,
}

/// Why there is no message.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller has taken the call back, or the connection has ended.
    Gone,
    /// The call is to be answered with this.
    Refused(Box<Status>),
}

impl Incoming {
    /// A message of up to `limit` bytes, which may be packed or not.
    pub(super) fn new(stream: RecvStream, limit: usize, may_be_packed: bool) -> Self {
        Self { stream, message: Message::new(limit, may_be_packed), received: 0, is_held: false }
    }

    /// How many bytes have arrived.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// The length of the message, as far as it is known.
    pub(super) fn length(&self) -> usize {
        self.message.length().unwrap_or_default()
    }

    /// Copies what has arrived, so that it keeps nothing else in memory.
    pub(super) fn copy(&mut self) {
        self.message.copy();
    }

    /// The message, once all of the call has arrived; what follows it is read and dropped, as tonic does.
    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        hold: &mut Hold,
    ) -> Poll<Result<Framed, Failure>> {
        while let Some(data) = ready!(self.stream.poll_data(cx)) {
            let Ok(data) = data else { return Poll::Ready(Err(Failure::Gone)) };
            // Only a stream that has ended already says no.
            let _ = self.stream.flow_control().release_capacity(data.len());
            self.received += data.len();
            if let Err(status) = self.push(data, hold) {
                return Poll::Ready(Err(Failure::Refused(Box::new(status))));
            }
            if self.stream.is_end_stream() {
                return Poll::Ready(self.finish());
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(_) => self.finish(),
            Err(_) => Err(Failure::Gone),
        })
    }

    fn push(&mut self, data: bytes::Bytes, hold: &mut Hold) -> Result<(), Status> {
        self.message.push(data)?;
        if let (false, Some(length)) = (self.is_held, self.message.length()) {
            if !hold.grow(length) {
                return Err(status::too_much());
            }
            self.is_held = true;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Framed, Failure> {
        self.message.finish().map_err(|status| Failure::Refused(Box::new(status)))
    }
}
