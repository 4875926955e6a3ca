//! `centrifuge.<Method>`: a worker's call to Centrifugo's API.
//!
//! With protobuf, the argument is the request message and the result the response message, and both pass as bytes: any method that
//! Centrifugo has can be called. With JSON, they are written as [`crate::proto::json`] describes, so that a shell script can publish
//! `{"channel": "news", "data": {"a": 1}}`; with GOB and MessagePack, as Go's structures are. Only methods whose messages are known can be
//! called so.
//!
//! An `error` in a response is a result: it is the application's business.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::Value;

use crate::api;
use crate::proto::{descriptors, json};
use crate::rpc::codec::{Codec, Shape};

/// The name under which RoadRunner's plugin serves.
pub(crate) const SERVICE: &str = "centrifuge";

const API: &str = "centrifugal.centrifugo.api.CentrifugoApi";

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
        (Codec::Json, Codec::Json) => call_json(api, method, &argument).await,
        (read, write) => call_typed(api, method, read, write, &argument).await,
    }
}

/// Calls `method` with a message as Go's structures are written in the other codecs.
async fn call_typed(
    api: &api::Client,
    method: &str,
    read: Codec,
    write: Codec,
    argument: &[u8],
) -> Result<Bytes, String> {
    let descriptor = find(method).ok_or_else(|| format!("rpc: can't find method {SERVICE}.{method}"))?;
    let (input, output) = (Shape::Message(descriptor.input()), Shape::Message(descriptor.output()));
    let request = Codec::Proto.encode(&input, &read.decode(&input, argument)?)?;
    write.check(&output)?;
    let response = call(api, method, request).await?;
    write.encode(&output, &Codec::Proto.decode(&output, &response)?)
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
async fn call_json(api: &api::Client, method: &str, argument: &[u8]) -> Result<Bytes, String> {
    let descriptor = find(method).ok_or_else(|| format!("rpc: can't find method centrifuge.{method}"))?;
    let request = encode(&descriptor, argument)
        .map_err(|error| format!("centrifuge.{method}: the argument cannot be read: {error}"))?;
    let response = call(api, method, request).await?;
    decode(&descriptor, response)
        .map_err(|error| format!("centrifuge.{method}: the answer cannot be shown as JSON: {error}"))
}

fn find(method: &str) -> Option<MethodDescriptor> {
    let service = descriptors().get_service_by_name(API)?;
    service.methods().find(|known| known.name() == method)
}

fn encode(method: &MethodDescriptor, argument: &[u8]) -> Result<Bytes, serde_json::Error> {
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
