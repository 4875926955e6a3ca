//! Requests and answers of workers without protobuf, which read and write JSON.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use crate::codec::{self, Event, InvalidRequest};
use crate::offload::{self, LONG};
use crate::pool::{Answered, Body, Codec, Error};

/// What large requests as JSON may take in memory, all together; or four times the largest message, if that is more. Their protobuf is
/// counted by the proxy, and small ones take less than the buffers of the workers that get them.
const IN_ALL: usize = 256 << 20;

/// A request of a type, in protobuf.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) kind: &'a str,
    pub(super) body: Bytes,
    pub(super) max_message_size: usize,
    /// Set when a worker gets it.
    pub(super) is_seen: Option<&'a AtomicBool>,
}

impl Request<'_> {
    fn note(&self) {
        if let Some(is_seen) = self.is_seen {
            is_seen.store(true, Relaxed);
        }
    }
}

impl Body for Request<'_> {
    fn proto(&self) -> Bytes {
        self.note();
        self.body.clone()
    }

    fn json(&self) -> BoxFuture<'_, Result<Bytes, Error>> {
        self.note();
        let Some(event) = codec::event(self.kind) else {
            return ready(Err(Error::UnknownType { kind: self.kind.to_owned() })).boxed();
        };
        let limit = self.max_message_size;
        if self.body.len() > LONG {
            return large(event, self.body.clone(), limit).boxed();
        }
        let json = event.request.to_json(&self.body, limit);
        ready(json.map(Bytes::from).map_err(invalid)).boxed()
    }

    fn answer(&self, mut answer: Answered) -> BoxFuture<'_, Result<Answered, Error>> {
        // Its request was converted, so its type is known.
        let Some(event) = codec::event(self.kind) else { return ready(Ok(answer)).boxed() };
        let pid = answer.pid();
        let failed = move |reason: String| Error::InvalidAnswer { pid, reason };
        let json = std::mem::take(&mut answer.body);
        if json.len() > LONG {
            // The worker does not wait for that.
            answer.release();
        }
        async move {
            let converted = offload::run(json.len(), move || event.answer.to_protobuf(&json)).await;
            let converted = converted.map_err(|panic| failed(panic.to_string()))?;
            answer.body = converted.map_err(|error| failed(error.to_string()))?.into();
            answer.codec = Codec::Proto;
            Ok(answer)
        }
        .boxed()
    }
}

/// Converts a request elsewhere, if there is memory for it.
async fn large(event: &'static Event, body: Bytes, limit: usize) -> Result<Bytes, Error> {
    let in_all = IN_ALL.max(4 * limit);
    let too_many = || Error::TooLarge {
        reason: "requests for workers with the codec json have reached their memory limit".into(),
    };
    let mut reserved = Reserved(0);
    if !reserved.grow(body.len(), in_all) {
        return Err(too_many());
    }
    let converted = offload::run(body.len(), move || event.request.to_json(&body, limit)).await;
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
