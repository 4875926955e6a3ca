//! Compressed messages.
//!
//! A kilobyte of gzip may stand for a megabyte. So what is large is unpacked, and packed, beside the runtime's threads and few at a time;
//! and it is measured first: memory is waited for when its size is known, and a message beyond the limit takes none.

use std::io::{self, Read as _, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderValue};
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::account::Hold;
use super::status;
use crate::offload;

/// Up to this size, in bytes, a message is unpacked or packed on the spot: some 200 µs.
const ON_THE_SPOT: usize = 32 * 1024;

/// How many large messages are worked on at the same time.
const AT_ONCE: usize = 2;

/// How a call is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Plain,
    /// Its message may be compressed, and its answer is, if the caller takes that. Like grpc-go.
    Gzip {
        answer: bool,
    },
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Gzip {
    turns: Arc<Semaphore>,
}

impl Encoding {
    /// The encoding that a call announces.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        let Some(encoding) = headers.get("grpc-encoding") else { return Ok(Self::Plain) };
        match encoding.as_bytes() {
            b"identity" => Ok(Self::Plain),
            b"gzip" => Ok(Self::Gzip { answer: takes_gzip(headers) }),
            other => {
                let other = &other[..other.len().min(64)];
                let text =
                    format!("Content is compressed with `{}` which isn't supported", other.escape_ascii());
                let mut status = Status::unimplemented(text);
                status
                    .metadata_mut()
                    .insert("grpc-accept-encoding", MetadataValue::from_static("gzip,identity"));
                Err(status)
            }
        }
    }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get("grpc-accept-encoding").map_or(&b""[..], HeaderValue::as_bytes);
    accepted.split(|byte| *byte == b',').any(|encoding| encoding.trim_ascii() == b"gzip")
}

impl Gzip {
    pub(super) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// The message, of up to `limit` bytes; it is held until the call ends.
    pub(super) async fn unpack(&self, packed: Bytes, limit: usize, hold: &mut Hold) -> Result<Bytes, Status> {
        if packed.len() <= ON_THE_SPOT {
            match unpack(&packed, ON_THE_SPOT.min(limit), ON_THE_SPOT.min(limit)) {
                Ok(Some(message)) if hold.grow(message.len()) => return Ok(message.into()),
                // Too large, or to be unpacked when there is memory for it.
                Ok(_) => {}
                Err(error) => return Err(malformed(&error)),
            }
        }
        let counted = packed.clone();
        let size = self.beside(move || measure(&counted, limit)).await?.map_err(|error| malformed(&error))?;
        let Some(size) = size else { return Err(status::too_large(limit)) };
        // Nobody who holds a turn waits for memory.
        hold.grow_in_time(size).await;
        let unpacked = self.beside(move || unpack(&packed, size, size)).await?;
        match unpacked.map_err(|error| malformed(&error))? {
            Some(message) => Ok(message.into()),
            None => Err(Status::internal("Error decompressing: the message has changed its size")),
        }
    }

    /// The packed answer.
    pub(super) async fn pack(&self, answer: Bytes) -> Result<Bytes, Status> {
        let packed = if answer.len() <= ON_THE_SPOT {
            pack(&answer)
        } else {
            self.beside(move || pack(&answer)).await?
        };
        packed.map(Into::into).map_err(|error| Status::internal(format!("Error compressing: {error}")))
    }

    /// Does long work when it is its turn. The turn ends with the work, also when nobody waits for it any more.
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

/// How large a message is; `None` when larger than the limit.
fn measure(packed: &[u8], limit: usize) -> io::Result<Option<usize>> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let size = io::copy(&mut MultiGzDecoder::new(packed).take(most), &mut io::sink())?;
    Ok(usize::try_from(size).ok().filter(|size| *size <= limit))
}

/// A message; `None` when larger than the limit.
fn unpack(packed: &[u8], expected: usize, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::with_capacity(expected);
    let mut decoder = MultiGzDecoder::new(packed).take(limit as u64);
    decoder.read_to_end(&mut message)?;
    let is_all = decoder.into_inner().read(&mut [0])? == 0;
    message.shrink_to_fit();
    Ok(is_all.then_some(message))
}

fn pack(answer: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(answer)?;
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::super::account::Account;
    use super::super::calls::Calls;
    use super::*;

    const MB: usize = 1 << 20;

    async fn unpacked(packed: Vec<u8>, limit: usize) -> Result<Bytes, Status> {
        let account = Account::open(Arc::new(Calls::new(limit)));
        let mut hold = account.hold(0).unwrap();
        Gzip::new().unpack(packed.into(), limit, &mut hold).await
    }

    #[tokio::test]
    async fn messages_of_all_sizes_come_out_as_they_went_in() {
        for size in [0, 1, ON_THE_SPOT, ON_THE_SPOT + 1, MB] {
            let message = b"0123456789".repeat(size / 10 + 1)[..size].to_vec();
            let packed = Gzip::new().pack(message.clone().into()).await.unwrap();
            assert_eq!(unpacked(packed.to_vec(), MB).await.unwrap(), message);
        }
        // Two members, which belong together.
        let two = [pack(b"one ").unwrap(), pack(b"two").unwrap()].concat();
        assert_eq!(unpacked(two, MB).await.unwrap(), "one two");
    }

    #[tokio::test]
    async fn a_message_beyond_the_limit_is_refused_without_being_unpacked() {
        for (size, limit) in [(2 * MB, MB), (100, 10)] {
            let status = unpacked(pack(&vec![0; size]).unwrap(), limit).await.unwrap_err();
            assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status}");
        }
    }

    #[tokio::test]
    async fn what_is_no_gzip_is_an_error() {
        let mut broken = pack(&vec![0; 1000]).unwrap();
        broken.truncate(20);
        for bytes in [broken, b"no gzip".to_vec(), vec![0; ON_THE_SPOT + 1]] {
            let status = unpacked(bytes, MB).await.unwrap_err();
            assert!(status.message().starts_with("Error decompressing"), "{status}");
        }
    }
}
