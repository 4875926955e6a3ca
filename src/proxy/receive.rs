//! The request message as it arrives over HTTP/2, and the memory for it.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use tonic::Status;

use super::account::Reservation;
use super::message::{Message, PartialMessage};
use super::status;

/// The request side of a call.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: RecvStream,
    message: PartialMessage,
    received: usize,
    /// Memory is reserved for the whole message as soon as its length is known.
    is_reserved: bool,
}

/// Why there is no message.
#[derive(Debug)]
pub(super) enum Failure {
    /// The caller has cancelled the call, or the connection has ended.
    Gone,
    /// The call is answered with this.
    Refused(Box<Status>),
}

impl Incoming {
    pub(super) fn new(stream: RecvStream, max_message_size: usize, may_be_compressed: bool) -> Self {
        let message = PartialMessage::new(max_message_size, may_be_compressed);
        Self { stream, message, received: 0, is_reserved: false }
    }

    /// Bytes that have arrived.
    pub(super) fn received(&self) -> usize {
        self.received
    }

    /// The length of the message, as far as it is known.
    pub(super) fn length(&self) -> usize {
        self.message.length().unwrap_or_default()
    }

    /// Copies what has arrived, so that it keeps no larger buffer in memory.
    pub(super) fn copy(&mut self) {
        self.message.copy();
    }

    /// The message, once all of the call has arrived; what follows it is read and dropped, as tonic does.
    pub(super) fn poll_message(
        &mut self,
        cx: &mut Context<'_>,
        reservation: &mut Reservation,
    ) -> Poll<Result<Message, Failure>> {
        while let Some(data) = ready!(self.stream.poll_data(cx)) {
            let Ok(data) = data else { return Poll::Ready(Err(Failure::Gone)) };
            // This fails only on a stream that has ended.
            let _ = self.stream.flow_control().release_capacity(data.len());
            self.received += data.len();
            if let Err(status) = self.push(data, reservation) {
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

    fn push(&mut self, data: Bytes, reservation: &mut Reservation) -> Result<(), Status> {
        self.message.push(data)?;
        if let (false, Some(length)) = (self.is_reserved, self.message.length()) {
            if !reservation.grow(length) {
                return Err(status::out_of_memory());
            }
            self.is_reserved = true;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<Message, Failure> {
        self.message.finish().map_err(|status| Failure::Refused(Box::new(status)))
    }
}
