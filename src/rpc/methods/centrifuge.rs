//! `centrifuge.<Method>`: a worker's call to Centrifugo's API.
//!
//! With protobuf, the argument is the request message and the result the response message, and both pass through as bytes: any method of
//! Centrifugo can be called. With JSON they are encoded as [`crate::proto::json`] describes, so that a shell script can publish
//! `{"channel": "news", "data": {"a": 1}}`; with GOB and MessagePack, like Go structures. That works only for methods whose messages are
//! known.
//!
//! An `error` in a response is a result, left to the application.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::Value;

use crate::api;
use crate::offload;
use crate::proto::{descriptors, json};
use crate::rpc::codec::{Codec, Items, Shape, TooMany};
use crate::rpc::error::CallError;

/// The name of RoadRunner's plugin.
pub(crate) const SERVICE: &str = "centrifuge";

const API: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// Values in an argument that is not protobuf, at most: in memory a value can take a hundred times its bytes. Protobuf is not decoded, and
/// so not counted.
const MAX_ITEMS: usize = 250_000;

/// Calls `method`, say `Publish`, with an argument in the codec `read`; the result is in `write`.
///
/// # Errors
/// When there is no such method, the argument or the answer cannot be converted, or Centrifugo fails.
pub(crate) async fn answer(
    api: &api::Client,
    method: &str,
    read: Codec,
    write: Codec,
    argument: Bytes,
) -> Result<Bytes, CallError> {
    // Names that may be methods of a later Centrifugo are passed on.
    if !method.starts_with(|first: char| first.is_ascii_uppercase())
        || !method.chars().all(|c| c.is_ascii_alphanumeric())
    {
        return Err(no_method(method));
    }
    match (read, write) {
        (Codec::Proto, Codec::Proto) => call(api, method, argument).await,
        // Boxed to keep the future of a call in protobuf small.
        (Codec::Json, Codec::Json) => Box::pin(call_json(api, method, argument)).await,
        (read, write) => Box::pin(call_typed(api, method, read, write, argument)).await,
    }
}

/// Calls `method` with a message in one of the other codecs.
async fn call_typed(
    api: &api::Client,
    method: &str,
    read: Codec,
    write: Codec,
    argument: Bytes,
) -> Result<Bytes, CallError> {
    let descriptor = find(method).await.ok_or_else(|| no_method(method))?;
    let (input, output) = (Shape::Message(descriptor.input()), Shape::Message(descriptor.output()));
    let request = offload::try_run(argument.len(), move || {
        let value = read.decode(&input, &argument, MAX_ITEMS)?;
        drop(argument);
        Ok::<_, CallError>(Codec::Proto.encode(&input, &value)?)
    });
    let request = request.await?;
    write.check(&output)?;
    let response = call(api, method, request).await?;
    let length = response.len();
    let answer = move || Ok(write.encode(&output, &Codec::Proto.decode(&output, &response, usize::MAX)?)?);
    offload::try_run(length, answer).await
}

/// Calls `method` with an encoded message.
async fn call(api: &api::Client, method: &str, message: Bytes) -> Result<Bytes, CallError> {
    Ok(api.call(method, message).await?)
}

/// Calls `method` with a message as JSON; no bytes at all are an empty message.
async fn call_json(api: &api::Client, method: &str, argument: Bytes) -> Result<Bytes, CallError> {
    let descriptor = find(method).await.ok_or_else(|| no_method(method))?;
    let name: Arc<str> = method.into();
    let request = offload::try_run(argument.len(), {
        let (descriptor, method) = (descriptor.clone(), Arc::clone(&name));
        move || {
            encode(&descriptor, &argument).map_err(|source| not_json(JsonError::Argument { method, source }))
        }
    });
    let response = call(api, method, request.await?).await?;
    let length = response.len();
    let answer = move || {
        decode(&descriptor, response).map_err(|source| not_json(JsonError::Answer { method: name, source }))
    };
    offload::try_run(length, answer).await
}

fn no_method(method: &str) -> CallError {
    CallError::NoMethod(format!("{SERVICE}.{method}"))
}

fn not_json(error: JsonError) -> CallError {
    CallError::method(error)
}

/// A message that cannot be converted from JSON, or to it.
#[derive(Debug, thiserror::Error)]
enum JsonError {
    #[error("{SERVICE}.{method}: cannot decode the argument: {source}")]
    Argument { method: Arc<str>, source: ConversionError },
    #[error("{SERVICE}.{method}: cannot convert the answer to JSON: {source}")]
    Answer { method: Arc<str>, source: ConversionError },
}

#[derive(Debug, thiserror::Error)]
enum ConversionError {
    #[error(transparent)]
    TooMany(#[from] TooMany),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Protobuf(#[from] prost::DecodeError),
}

async fn find(method: &str) -> Option<MethodDescriptor> {
    static ARE_READ: AtomicBool = AtomicBool::new(false);
    if !ARE_READ.load(Relaxed) {
        // The first use of the descriptors decodes all of them.
        let _ = offload::run(offload::LONG + 1, || {
            descriptors();
        })
        .await;
        ARE_READ.store(true, Relaxed);
    }
    let service = descriptors().get_service_by_name(API)?;
    service.methods().find(|known| known.name() == method)
}

fn encode(method: &MethodDescriptor, argument: &[u8]) -> Result<Bytes, ConversionError> {
    Items::up_to(MAX_ITEMS).count_json(argument)?;
    let value: Value = match argument.trim_ascii() {
        // PHP writes an empty object as an empty array.
        b"" | b"[]" => json::empty(),
        text => serde_json::from_slice(text)?,
    };
    Ok(json::from_json(&method.input(), value)?.encode_to_vec().into())
}

fn decode(method: &MethodDescriptor, response: Bytes) -> Result<Bytes, ConversionError> {
    let message = DynamicMessage::decode(method.output(), response)?;
    Ok(serde_json::to_vec(&json::to_json(&message)?)?.into())
}
