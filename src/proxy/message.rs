//! One request message, put together from the pieces in which it arrives.
//!
//! tonic does this as well; but it keeps a decoder and a buffer for each call, of no use to a single message that is passed on as it came.

use bytes::{Buf as _, Bytes, BytesMut};
use tonic::Status;

use super::status;
use crate::grpc::{PREFIX, Prefix};

/// Bytes reserved for a message before it has arrived, at most, whatever its prefix claims.
const RESERVE: usize = 256 * 1024;

/// A message, compressed or not.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) body: Bytes,
    pub(super) is_compressed: bool,
}

/// A message that is still arriving.
#[derive(Debug)]
pub(super) struct PartialMessage {
    max_message_size: usize,
    may_be_compressed: bool,
    prefix: Option<Prefix>,
    /// The first piece, which mostly is all of it.
    head: Bytes,
    /// All pieces, once there is more than one.
    rest: BytesMut,
    body: Option<Bytes>,
}

impl PartialMessage {
    pub(super) fn new(max_message_size: usize, may_be_compressed: bool) -> Self {
        Self {
            max_message_size,
            may_be_compressed,
            prefix: None,
            head: Bytes::new(),
            rest: BytesMut::new(),
            body: None,
        }
    }

    /// Its length, once its prefix has arrived.
    pub(super) fn length(&self) -> Option<usize> {
        self.prefix.map(|prefix| prefix.length)
    }

    /// Copies what has arrived, so that it keeps no larger buffer in memory.
    pub(super) fn copy(&mut self) {
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.head));
        }
        if let Some(body) = &mut self.body {
            *body = Bytes::copy_from_slice(body);
        }
    }

    /// The message, after the caller has sent everything.
    ///
    /// # Errors
    /// The answer to the caller: there is no message, or only a part of one.
    pub(super) fn finish(&mut self) -> Result<Message, Status> {
        match (self.body.take(), self.prefix) {
            (Some(body), Some(prefix)) => Ok(Message { body, is_compressed: prefix.is_compressed }),
            _ if self.head.is_empty() && self.rest.is_empty() => {
                Err(Status::internal("Missing request message."))
            }
            _ => Err(Status::internal("Unexpected EOF decoding stream.")),
        }
    }

    /// Takes a piece; what follows the message is dropped.
    ///
    /// # Errors
    /// The answer to the caller: the message is too large, or compressed without saying how.
    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Status> {
        if self.body.is_some() {
            return Ok(());
        }
        if self.head.is_empty() && self.rest.is_empty() {
            self.head = data;
        } else {
            let head = std::mem::take(&mut self.head);
            self.rest.extend_from_slice(&head);
            self.rest.extend_from_slice(&data);
        }
        let arrived: &[u8] = if self.rest.is_empty() { &self.head } else { &self.rest };
        let Some(prefix) = Prefix::parse(arrived) else { return Ok(()) };
        self.prefix = Some(prefix);
        if prefix.is_compressed && !self.may_be_compressed {
            return Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        if prefix.length > self.max_message_size {
            return Err(status::too_large(self.max_message_size));
        }
        if arrived.len() - PREFIX < prefix.length {
            let missing = prefix.length + PREFIX - arrived.len();
            if self.rest.is_empty() {
                self.rest.reserve((self.head.len() + missing).min(RESERVE));
            }
            return Ok(());
        }
        let mut body =
            if self.rest.is_empty() { self.head.clone() } else { std::mem::take(&mut self.rest).freeze() };
        body.advance(PREFIX);
        body.truncate(prefix.length);
        self.head = Bytes::new();
        self.body = Some(body);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_pieces(pieces: Vec<Bytes>, max_message_size: usize) -> Result<Bytes, Status> {
        let mut message = PartialMessage::new(max_message_size, false);
        for piece in pieces {
            message.push(piece)?;
            message.copy();
        }
        message.finish().map(|message| message.body)
    }

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend(message);
        bytes
    }

    proptest! {
        #[test]
        fn a_message_is_read_whatever_pieces_it_comes_in(
            message in prop::collection::vec(any::<u8>(), 0..200),
            more in prop::collection::vec(any::<u8>(), 0..20),
            size in 1..40_usize,
        ) {
            let mut bytes = framed(&message);
            bytes.extend(more);
            let pieces = bytes.chunks(size).map(Bytes::copy_from_slice).collect();
            prop_assert_eq!(read_pieces(pieces, 200).unwrap(), message);
        }

        #[test]
        fn a_truncated_message_is_an_error(message in prop::collection::vec(any::<u8>(), 1..50), size in 1..9_usize) {
            let bytes = framed(&message);
            let pieces = bytes[..bytes.len() - 1].chunks(size).map(Bytes::copy_from_slice).collect();
            let status = read_pieces(pieces, 50).unwrap_err();
            prop_assert_eq!(status.message(), "Unexpected EOF decoding stream.");
        }
    }

    #[test]
    fn a_message_above_the_limit_is_refused_before_it_arrives() {
        let claimed = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
        let status = read_pieces(vec![claimed], 100).unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    }

    #[test]
    fn a_missing_message_and_an_unannounced_compression_are_errors() {
        assert_eq!(read_pieces(vec![], 100).unwrap_err().message(), "Missing request message.");
        let compressed = Bytes::from_static(&[1, 0, 0, 0, 0]);
        assert!(read_pieces(vec![compressed], 100).unwrap_err().message().contains("no grpc-encoding"));
    }
}
