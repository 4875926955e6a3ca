//! One message in, one message out.
//!
//! tonic does this as well; but it keeps a decoder, an encoder and a buffer for each, which a single message that is passed on as it came
//! has no use for.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tonic::Status;

/// gRPC's prefix: whether the message is compressed, and its length.
const PREFIX: usize = 5;

/// Answers from this size on are not copied behind their prefix.
const COPY_LIMIT: usize = 16 * 1024;

/// The most that is reserved for a message before it has arrived, whatever its prefix claims.
const RESERVE: usize = 256 * 1024;

/// A message that is on its way.
#[derive(Debug)]
pub(super) struct Message {
    limit: usize,
    may_be_packed: bool,
    is_packed: bool,
    length: Option<usize>,
    /// What came first: mostly all of it.
    head: Bytes,
    /// All that came, once it is more than one piece.
    rest: BytesMut,
    done: Option<Bytes>,
}

/// A message, compressed or not.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) body: Bytes,
    pub(super) is_packed: bool,
}

impl Message {
    pub(super) fn new(limit: usize, may_be_packed: bool) -> Self {
        Self {
            limit,
            may_be_packed,
            is_packed: false,
            length: None,
            head: Bytes::new(),
            rest: BytesMut::new(),
            done: None,
        }
    }

    /// Its length, once its prefix has come.
    pub(super) fn length(&self) -> Option<usize> {
        self.length
    }

    /// Copies what has come, so that it keeps nothing else in memory.
    pub(super) fn copy(&mut self) {
        if self.rest.is_empty() {
            self.rest.extend_from_slice(&std::mem::take(&mut self.head));
        }
        if let Some(done) = &mut self.done {
            *done = Bytes::copy_from_slice(done);
        }
    }

    /// The message, after all has come.
    ///
    /// # Errors
    /// The answer to the caller: there is no message, or a broken one.
    pub(super) fn finish(&mut self) -> Result<Framed, Status> {
        match self.done.take() {
            Some(body) => Ok(Framed { body, is_packed: self.is_packed }),
            None if self.head.is_empty() && self.rest.is_empty() => {
                Err(Status::internal("Missing request message."))
            }
            None => Err(Status::internal("Unexpected EOF decoding stream.")),
        }
    }

    /// Takes a piece; what follows the message is dropped.
    ///
    /// # Errors
    /// The answer to the caller: the message is too large, or compressed without an announcement.
    pub(super) fn push(&mut self, data: Bytes) -> Result<(), Status> {
        if self.done.is_some() {
            return Ok(());
        }
        if self.head.is_empty() && self.rest.is_empty() {
            self.head = data;
        } else {
            let head = std::mem::take(&mut self.head);
            self.rest.extend_from_slice(&head);
            self.rest.extend_from_slice(&data);
        }
        let so_far: &[u8] = if self.rest.is_empty() { &self.head } else { &self.rest };
        let Some(&[compressed, l0, l1, l2, l3]) = so_far.first_chunk::<PREFIX>() else { return Ok(()) };
        self.is_packed = compressed != 0;
        if self.is_packed && !self.may_be_packed {
            return Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > self.limit {
            return Err(super::status::too_large(self.limit));
        }
        self.length = Some(length);
        if so_far.len() - PREFIX < length {
            let missing = length + PREFIX - so_far.len();
            if self.rest.is_empty() {
                self.rest.reserve((self.head.len() + missing).min(RESERVE));
            }
            return Ok(());
        }
        let mut whole =
            if self.rest.is_empty() { self.head.clone() } else { std::mem::take(&mut self.rest).freeze() };
        whole.advance(PREFIX);
        whole.truncate(length);
        self.head = Bytes::new();
        self.done = Some(whole);
        Ok(())
    }
}

/// A message with gRPC's prefix: in one piece, or, when it is large, in two, the second of which is not copied.
pub(super) fn frame(message: &Bytes, is_packed: bool) -> (Bytes, Bytes) {
    let is_small = message.len() < COPY_LIMIT;
    let mut first = BytesMut::with_capacity(PREFIX + if is_small { message.len() } else { 0 });
    first.put_u8(u8::from(is_packed));
    // A worker's frame has a 32-bit length, and is longer than the message in it.
    first.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    if is_small {
        first.put_slice(message);
        (first.freeze(), Bytes::new())
    } else {
        (first.freeze(), message.clone())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_pieces(pieces: Vec<Bytes>, limit: usize) -> Result<Bytes, Status> {
        let mut message = Message::new(limit, false);
        for piece in pieces {
            message.push(piece)?;
            message.copy();
        }
        message.finish().map(|framed| framed.body)
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
        fn a_message_that_breaks_off_is_an_error(message in prop::collection::vec(any::<u8>(), 1..50), size in 1..9_usize) {
            let bytes = framed(&message);
            let pieces = bytes[..bytes.len() - 1].chunks(size).map(Bytes::copy_from_slice).collect();
            let status = read_pieces(pieces, 50).unwrap_err();
            prop_assert_eq!(status.message(), "Unexpected EOF decoding stream.");
        }
    }

    #[test]
    fn a_claimed_length_beyond_the_limit_is_refused_before_it_comes() {
        let claimed = Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]);
        let status = read_pieces(vec![claimed], 100).unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted);
    }

    #[test]
    fn no_message_and_an_unannounced_compression_are_errors() {
        assert_eq!(read_pieces(vec![], 100).unwrap_err().message(), "Missing request message.");
        let compressed = Bytes::from_static(&[1, 0, 0, 0, 0]);
        assert!(read_pieces(vec![compressed], 100).unwrap_err().message().contains("no grpc-encoding"));
    }
}
