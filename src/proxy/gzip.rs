//! Compressed messages and answers.
//!
//! A kilobyte of gzip may stand for a megabyte. So large messages are decompressed, and answers compressed, beside the runtime's threads
//! and few at a time; and they are measured first: memory is reserved once the size is known, and a message above the limit takes none.
//! Small ones are worked on at once, but one after the other, with all other work of the thread between them.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::account::Reservation;
use super::slice::Lane;
use super::status;
use crate::grpc::gzip::{compress, decompress, decompressed_size};
use crate::{grpc, offload};

/// Messages of up to this many bytes are small: they are compressed or decompressed in one go, which takes some 200 µs.
const SMALL: usize = 32 * 1024;

/// A small message of more bytes than this, compressed, is decompressed beside as well: gzip can be made to cost a microsecond for each
/// few bytes.
const ON_THE_SPOT: usize = 4 * 1024;

/// Large messages that are worked on at the same time.
const AT_ONCE: usize = 2;

/// How a call is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    /// Its message may be compressed, and its answer is if the caller accepts that. Like grpc-go.
    Gzip {
        answer: bool,
    },
}

/// Compresses and decompresses for all calls.
#[derive(Debug)]
pub(super) struct Gzip {
    /// For large messages.
    turns: Arc<Semaphore>,
    /// For small ones.
    lane: Lane,
}

impl Encoding {
    /// The encoding that a call announces.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        let Some(encoding) = headers.get(&grpc::ENCODING) else { return Ok(Self::Plain) };
        match encoding.as_bytes() {
            b"identity" => Ok(Self::Plain),
            b"gzip" => Ok(Self::Gzip { answer: accepts_gzip(headers) }),
            other => {
                let other = &other[..other.len().min(64)];
                let text =
                    format!("Content is compressed with `{}` which isn't supported", other.escape_ascii());
                let mut status = Status::unimplemented(text);
                status
                    .metadata_mut()
                    .insert(grpc::ACCEPT_ENCODING.as_str(), MetadataValue::from_static("gzip,identity"));
                Err(status)
            }
        }
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get(&grpc::ACCEPT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
    accepted.split(|byte| *byte == b',').any(|encoding| encoding.trim_ascii() == b"gzip")
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), lane: Lane::new() }
    }

    /// Decompresses a message; memory for it is reserved until the call ends.
    pub(super) async fn decompress(
        &self,
        message: Bytes,
        max_message_size: usize,
        reservation: &mut Reservation,
    ) -> Result<Bytes, Status> {
        if message.len() <= SMALL {
            let most = SMALL.min(max_message_size);
            match self.decompress_small(message.clone(), most).await? {
                Ok(Some(plain)) if reservation.grow(plain.len()) => return Ok(plain.into()),
                // Too large, or to be decompressed once there is memory for it.
                Ok(_) => {}
                Err(error) => return Err(malformed(&error)),
            }
        }
        let measured = message.clone();
        let size = self.beside(move || decompressed_size(&measured, max_message_size)).await?;
        let Some(size) = size.map_err(|error| malformed(&error))? else {
            return Err(status::too_large(max_message_size));
        };
        // No turn is held while waiting for memory.
        if !reservation.grow_when_free(size).await {
            return Err(status::out_of_memory());
        }
        let plain = self.beside(move || decompress(&message, size, size)).await?;
        match plain.map_err(|error| malformed(&error))? {
            Some(plain) => Ok(plain.into()),
            None => Err(Status::internal("Error decompressing: the message has changed its size")),
        }
    }

    /// Decompresses a message of at most [`SMALL`] bytes to at most `most`.
    async fn decompress_small(
        &self,
        message: Bytes,
        most: usize,
    ) -> Result<io::Result<Option<Vec<u8>>>, Status> {
        if message.len() > ON_THE_SPOT {
            return self.beside(move || decompress(&message, most, most)).await;
        }
        let _turn = self.lane.turn().await;
        Ok(decompress(&message, most, most))
    }

    /// Compresses an answer.
    pub(super) async fn compress(&self, answer: Bytes) -> Result<Bytes, Status> {
        let compressed = if answer.len() <= SMALL {
            let _turn = self.lane.turn().await;
            compress(&answer, Compression::default())
        } else {
            self.beside(move || compress(&answer, Compression::default())).await?
        };
        compressed.map(Into::into).map_err(|error| Status::internal(format!("Error compressing: {error}")))
    }

    /// Does long work when there is a turn for it. The turn ends with the work, even if no caller waits for it any more.
    async fn beside<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Status> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let done = offload::background(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|error| Status::internal(error.to_string()))
    }
}

fn malformed(error: &io::Error) -> Status {
    Status::internal(format!("Error decompressing: {error}"))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::poll;

    use super::super::account::Account;
    use super::super::in_flight::InFlight;
    use super::super::memory::{Memory, PER_CONNECTION};
    use super::*;

    const MB: usize = 1 << 20;

    async fn decompressed(message: Vec<u8>, max_message_size: usize) -> Result<Bytes, Status> {
        let memory = Arc::new(Memory::new(max_message_size));
        let mut reservation = Account::open(Arc::new(InFlight::new()), memory, None).reserve(0).unwrap();
        Gzip::new().decompress(message.into(), max_message_size, &mut reservation).await
    }

    fn packed(message: &[u8]) -> Vec<u8> {
        compress(message, Compression::default()).unwrap()
    }

    #[tokio::test]
    async fn messages_of_all_sizes_survive_compression() {
        for size in [0, 1, SMALL, SMALL + 1, MB] {
            let message = b"0123456789".repeat(size / 10 + 1)[..size].to_vec();
            let compressed = Gzip::new().compress(message.clone().into()).await.unwrap();
            assert_eq!(decompressed(compressed.to_vec(), MB).await.unwrap(), message);
        }
        // Two members, which belong together.
        let two = [packed(b"one "), packed(b"two")].concat();
        assert_eq!(decompressed(two, MB).await.unwrap(), "one two");
    }

    #[tokio::test]
    async fn a_message_above_the_limit_is_refused_without_being_decompressed() {
        for (size, limit) in [(2 * MB, MB), (100, 10)] {
            let status = decompressed(packed(&vec![0; size]), limit).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        }
    }

    #[tokio::test]
    async fn a_message_for_which_there_can_be_no_memory_is_refused() {
        let memory = Arc::new(Memory::new(MB));
        let account = Account::open(Arc::new(InFlight::new()), memory, None);
        let mut reservation = account.reserve(PER_CONNECTION).unwrap();
        let refused = Gzip::new().decompress(packed(&vec![0; MB]).into(), MB, &mut reservation).await;
        let status = refused.unwrap_err();
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
    }

    #[tokio::test]
    async fn broken_gzip_is_an_error() {
        let mut broken = packed(&vec![0; 1000]);
        broken.truncate(20);
        for bytes in [broken, b"no gzip".to_vec(), vec![0; ON_THE_SPOT + 1], vec![0; SMALL + 1]] {
            let status = decompressed(bytes, MB).await.unwrap_err();
            assert!(status.message().starts_with("Error decompressing"), "{status}");
        }
    }

    #[tokio::test]
    async fn the_thread_has_a_turn_between_two_small_messages() {
        let (gzip, small) = (Gzip::new(), Bytes::from(packed(b"small")));
        let mut first = pin!(gzip.decompress_small(small.clone(), SMALL));
        let mut second = pin!(gzip.decompress_small(small, SMALL));
        assert!(poll!(first.as_mut()).is_pending());
        assert!(poll!(second.as_mut()).is_pending());
        tokio::task::yield_now().await;
        assert!(poll!(first).is_ready());
        assert!(poll!(second).is_pending());
    }
}
