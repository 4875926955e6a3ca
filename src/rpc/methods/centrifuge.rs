//! `centrifuge.<Method>`: a worker's call to Centrifugo's API.
//!
//! With protobuf, the argument is the request message and the result the response message, and both pass as bytes: any method that
//! Centrifugo has can be called. With JSON, they are written as [`crate::proto::json`] describes, so that a shell script can publish
//! `{"channel": "news", "data": {"a": 1}}`; with GOB and MessagePack, as Go's structures are. Only methods whose messages are known can be
//! called so.
//!
//! An `error` in a response is a result: it is the application's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::Value;

use crate::api;
use crate::offload;
use crate::proto::{descriptors, json};
use crate::rpc::codec::{Codec, Items, Shape};

/// The name under which RoadRunner's plugin serves.
pub(crate) const SERVICE: &str = "centrifuge";

const API: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// Values in an argument that is not protobuf, at most: in memory they take a hundred times what they may take in bytes. In protobuf
/// nothing is counted, since nothing is read.
const MAX_ITEMS: usize = 250_000;

/// Calls `method`, say `Publish`, with an argument in the codec `read`; the result is in `write`.
///
/// # Errors
/// The text for the caller, as for [`call`] and [`call_json`].
pub(crate) async fn answer(
    api: &api::Client,
    method: &str,
    read: Codec,
    write: Codec,
    argument: Bytes,
) -> Result<Bytes, String> {
    // What cannot be a method of Centrifugo is not asked for; what may be one of a newer Centrifugo is.
    if !method.starts_with(|first: char| first.is_ascii_uppercase())
        || !method.chars().all(|c| c.is_ascii_alphanumeric())
    {
        return Err(format!("rpc: can't find method {SERVICE}.{method}"));
    }
    match (read, write) {
        (Codec::Proto, Codec::Proto) => call(api, method, argument).await,
        // The future of a call that passes bytes is kept small.
        (Codec::Json, Codec::Json) => Box::pin(call_json(api, method, argument)).await,
        (read, write) => Box::pin(call_typed(api, method, read, write, argument)).await,
    }
}

/// Calls `method` with a message as Go's structures are written in the other codecs.
async fn call_typed(
    api: &api::Client,
    method: &str,
    read: Codec,
    write: Codec,
    argument: Bytes,
) -> Result<Bytes, String> {
    let descriptor =
        find(method).await.ok_or_else(|| format!("rpc: can't find method {SERVICE}.{method}"))?;
    let (input, output) = (Shape::Message(descriptor.input()), Shape::Message(descriptor.output()));
    let request = offload::try_run(argument.len(), move || {
        let value = read.decode(&input, &argument, MAX_ITEMS)?;
        drop(argument);
        Codec::Proto.encode(&input, &value)
    });
    let request = request.await?;
    write.check(&output)?;
    let response = call(api, method, request).await?;
    let length = response.len();
    let answer = move || write.encode(&output, &Codec::Proto.decode(&output, &response, usize::MAX)?);
    offload::try_run(length, answer).await
}

/// Calls `method`, say `Publish`, with an encoded message.
///
/// # Errors
/// The text for the caller: a gRPC status as grpc-go would write it.
async fn call(api: &api::Client, method: &str, message: Bytes) -> Result<Bytes, String> {
    api.call(method, message).await.map_err(|error| error.to_string())
}

/// Calls `method` with a message as JSON; nothing at all is an empty message.
///
/// # Errors
/// The text for the caller: an unknown method, what is wrong with the argument, or as for [`call`].
async fn call_json(api: &api::Client, method: &str, argument: Bytes) -> Result<Bytes, String> {
    let descriptor =
        find(method).await.ok_or_else(|| format!("rpc: can't find method centrifuge.{method}"))?;
    let name: Arc<str> = method.into();
    let request = offload::try_run(argument.len(), {
        let (descriptor, name) = (descriptor.clone(), Arc::clone(&name));
        move || {
            encode(&descriptor, &argument)
                .map_err(|error| format!("centrifuge.{name}: the argument cannot be read: {error}"))
        }
    });
    let response = call(api, method, request.await?).await?;
    let length = response.len();
    let answer = move || {
        decode(&descriptor, response)
            .map_err(|error| format!("centrifuge.{name}: the answer cannot be shown as JSON: {error}"))
    };
    offload::try_run(length, answer).await
}

async fn find(method: &str) -> Option<MethodDescriptor> {
    static ARE_READ: AtomicBool = AtomicBool::new(false);
    if !ARE_READ.load(Relaxed) {
        // The first look at the descriptors reads all of them.
        let _ = offload::run(offload::LONG + 1, || {
            descriptors();
        })
        .await;
        ARE_READ.store(true, Relaxed);
    }
    let service = descriptors().get_service_by_name(API)?;
    service.methods().find(|known| known.name() == method)
}

fn encode(method: &MethodDescriptor, argument: &[u8]) -> Result<Bytes, Box<dyn std::error::Error>> {
    Items::up_to(MAX_ITEMS).count_json(argument)?;
    let value: Value = match argument.trim_ascii() {
        // PHP writes an empty array so, and means an empty message.
        b"" | b"[]" => json::empty(),
        text => serde_json::from_slice(text)?,
    };
    Ok(json::from_json(&method.input(), value)?.encode_to_vec().into())
}

fn decode(method: &MethodDescriptor, response: Bytes) -> Result<Bytes, Box<dyn std::error::Error>> {
    let message = DynamicMessage::decode(method.output(), response)?;
    Ok(serde_json::to_vec(&json::to_json(&message)?)?.into())
}
