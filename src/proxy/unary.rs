//! One message in, one message out, without compression: what nearly every call is.
//!
//! tonic does this as well, and still does it for compressed calls; but it keeps a decoder, an encoder and a buffer for each, which a
//! single message that is passed on as it came has no use for.

use std::future::poll_fn;
use std::pin::Pin;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tonic::Status;
use tower::BoxError;

/// gRPC's prefix: whether the message is compressed, and its length.
const PREFIX: usize = 5;

/// Answers from this size on are not copied behind their prefix.
const COPY_LIMIT: usize = 16 * 1024;

/// The most that is reserved for a message before it has arrived, whatever its prefix claims.
const RESERVE: usize = 256 * 1024;

/// Reads the message of a call; what follows it is read and dropped, as tonic does.
///
/// # Errors
/// The answer to the caller: there is no message, or a broken or too large one.
pub(super) async fn read<B>(mut body: B, limit: usize) -> Result<Bytes, Status>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    let mut message = Message { limit, ..Message::default() };
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|error| Status::from_error(error.into()))?;
        if let Ok(data) = frame.into_data() {
            message.push(data)?;
        }
        if body.is_end_stream() {
            break;
        }
    }
    message.done.ok_or_else(|| {
        if message.head.is_empty() && message.rest.is_empty() {
            Status::internal("Missing request message.")
        } else {
            Status::internal("Unexpected EOF decoding stream.")
        }
    })
}

/// A message that is on its way.
#[derive(Default)]
struct Message {
    limit: usize,
    /// What came first: mostly all of it.
    head: Bytes,
    /// All that came, once it is more than one piece.
    rest: BytesMut,
    done: Option<Bytes>,
}

impl Message {
    fn push(&mut self, data: Bytes) -> Result<(), Status> {
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
        if compressed != 0 {
            return Err(Status::internal(
                "protocol error: received message with compressed-flag but no grpc-encoding was specified",
            ));
        }
        let length = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        if length > self.limit {
            return Err(super::status::too_large(self.limit));
        }
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
        self.done = Some(whole);
        Ok(())
    }
}

/// A message with gRPC's prefix: in one piece, or, when it is large, in two, the second of which is not copied.
pub(super) fn frame(message: &Bytes) -> (Bytes, Bytes) {
    let is_small = message.len() < COPY_LIMIT;
    let mut first = BytesMut::with_capacity(PREFIX + if is_small { message.len() } else { 0 });
    first.put_u8(0);
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
    use std::task::{Context, Poll};

    use hyper::body::Frame;
    use proptest::prelude::*;

    use super::*;

    /// A body that arrives in pieces.
    struct Pieces(std::vec::IntoIter<Bytes>);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.next().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn read_pieces(pieces: Vec<Bytes>, limit: usize) -> Result<Bytes, Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(read(Pieces(pieces.into_iter()), limit))
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
