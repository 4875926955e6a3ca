//! Requests and answers of workers without protobuf, which read and write JSON.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use super::describe::Described;
use crate::codec::{self, InvalidRequest, Message};
use crate::offload::{self, LONG};
use crate::pool::{Answered, Body, Codec, Describe, Error};

/// What large requests as JSON may take in memory, all together; or four times the largest message, if that is more. Their protobuf is
/// counted by the proxy, and small ones take less than the buffers of the workers that get them.
const IN_ALL: usize = 256 << 20;

/// The body of a request of a type, in protobuf.
#[derive(Debug)]
pub(super) struct TypedBody<'a> {
    pub(super) kind: &'a str,
    pub(super) body: &'a Bytes,
    pub(super) max_message_size: usize,
    /// Set when a worker gets it.
    pub(super) is_seen: Option<&'a AtomicBool>,
}

impl TypedBody<'_> {
    fn note(&self) {
        if let Some(is_seen) = self.is_seen {
            is_seen.store(true, Relaxed);
        }
    }
}

impl Body for TypedBody<'_> {
    fn proto(&self) -> Bytes {
        self.note();
        self.body.clone()
    }

    fn json(&self) -> BoxFuture<'_, Result<Bytes, Error>> {
        async {
            let unknown = || Error::UnknownType { kind: self.kind.to_owned() };
            let event = codec::event(self.kind).ok_or_else(unknown)?;
            let (body, limit) = (self.body, self.max_message_size);
            let json = if body.len() <= LONG {
                event.request.to_json(body, limit).map_err(invalid)?.into()
            } else {
                large(event.request, body.clone(), limit).await?
            };
            self.note();
            Ok(json)
        }
        .boxed()
    }

    fn details(&self, context: &[u8]) -> Option<Arc<dyn Describe>> {
        Some(Arc::new(Described::new(self.kind, context, self.body)))
    }

    fn answer(&self, mut answer: Answered) -> BoxFuture<'_, Result<Answered, Error>> {
        async {
            // Its request was converted, so its type is known.
            let Some(event) = codec::event(self.kind) else { return Ok(answer) };
            let (pid, json) = (answer.pid(), std::mem::take(&mut answer.body));
            if json.len() > LONG {
                // The worker does not wait for that.
                answer.release();
            }
            answer.body = protobuf(event.answer, pid, json).await?;
            answer.codec = Codec::Proto;
            Ok(answer)
        }
        .boxed()
    }
}

/// Converts one message of a streamed answer, from the JSON of its worker to protobuf. `kind` is the type of the call that opened the stream.
///
/// # Errors
/// [`Error::InvalidAnswer`], and [`Error::UnknownType`] if calls of this type have no streamed answers.
pub(super) async fn stream_message(kind: &str, pid: u32, json: Bytes) -> Result<Bytes, Error> {
    let unknown = || Error::UnknownType { kind: kind.to_owned() };
    let part = codec::event(kind).and_then(|event| event.part).ok_or_else(unknown)?;
    protobuf(part, pid, json).await
}

/// Converts what the worker `pid` has sent, elsewhere if it is long.
async fn protobuf(message: &'static Message, pid: u32, json: Bytes) -> Result<Bytes, Error> {
    let failed = |reason: String| Error::InvalidAnswer { pid, reason };
    let converted = offload::run(json.len(), move || message.to_protobuf(&json)).await;
    let converted = converted.map_err(|panic| failed(panic.to_string()))?;
    converted.map(Bytes::from).map_err(|error| failed(error.to_string()))
}

/// Converts a request elsewhere, if there is memory for it.
async fn large(message: &'static Message, body: Bytes, limit: usize) -> Result<Bytes, Error> {
    let in_all = IN_ALL.max(4 * limit);
    let too_many = || Error::TooLarge {
        reason: "requests for workers with the codec json have reached their memory limit".into(),
    };
    let mut reserved = Reserved(0);
    if !reserved.grow(body.len(), in_all) {
        return Err(too_many());
    }
    let converted = offload::run(body.len(), move || message.to_json(&body, limit)).await;
    let mut json =
        converted.map_err(|panic| Error::InvalidRequest { reason: panic.to_string() })?.map_err(invalid)?;
    json.shrink_to_fit();
    if !reserved.grow(json.len(), in_all) {
        return Err(too_many());
    }
    Ok(Bytes::from_owner(Counted { json, _reserved: reserved }))
}

fn invalid(error: InvalidRequest) -> Error {
    let reason = error.to_string();
    match error {
        InvalidRequest::Malformed { .. } => Error::InvalidRequest { reason },
        InvalidRequest::TooLarge { .. } => Error::TooLarge { reason },
    }
}

/// Bytes of large requests as JSON.
static RESERVED: AtomicUsize = AtomicUsize::new(0);

/// A part of [`RESERVED`], until this is dropped.
struct Reserved(usize);

impl Reserved {
    /// Grows to this size; false, and nothing changed, if there is not enough.
    fn grow(&mut self, bytes: usize, in_all: usize) -> bool {
        let more = bytes.saturating_sub(self.0);
        let reserved = RESERVED.fetch_update(Relaxed, Relaxed, |reserved| {
            let reserved = reserved + more;
            (reserved <= in_all).then_some(reserved)
        });
        self.0 += if reserved.is_ok() { more } else { 0 };
        reserved.is_ok()
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        RESERVED.fetch_sub(self.0, Relaxed);
    }
}

/// JSON, and the memory that is reserved for it.
struct Counted {
    json: Vec<u8>,
    _reserved: Reserved,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::proxy::StreamSubscribeResponse;

    #[tokio::test]
    async fn messages_of_a_stream_are_converted_by_the_type_of_its_opening() {
        let json = Bytes::from_static(br#"{"publication":{"data":[1],"tags":{"a":"b"}}}"#);
        let message = stream_message("subscribebidirectional", 7, json.clone()).await.unwrap();
        let publication = StreamSubscribeResponse::decode(message).unwrap().publication.unwrap();
        assert_eq!((&publication.data[..], &publication.tags["a"][..]), (&b"[1]"[..], "b"));
        let error = stream_message("subscribeunidirectional", 7, "[]".into()).await.unwrap_err();
        assert_eq!(error.pid(), Some(7));
        let error = stream_message("rpc", 7, json).await.unwrap_err();
        assert_eq!(error, Error::UnknownType { kind: "rpc".into() });
    }

    #[test]
    fn memory_is_reserved_up_to_a_limit_and_given_back() {
        let in_all = RESERVED.load(Relaxed) + 1000;
        let mut first = Reserved(0);
        assert!(first.grow(600, in_all) && first.grow(800, in_all) && first.grow(100, in_all));
        let mut second = Reserved(0);
        assert!(!second.grow(201, in_all));
        drop(first);
        assert!(second.grow(201, in_all));
    }
}
