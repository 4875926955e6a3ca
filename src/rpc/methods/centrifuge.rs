//! `centrifuge.<Method>`: a worker's call to Centrifugo's API.
//!
//! With protobuf, the argument is the request message and the result the response message, and both pass as bytes: any method that
//! Centrifugo has can be called. With JSON, they are written as [`crate::proto::json`] describes, so that a shell script can publish
//! `{"channel": "news", "data": {"a": 1}}`; only methods whose messages are known can be called so.
//!
//! An `error` in a response is a result: it is the application's business.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, MethodDescriptor};
use serde_json::Value;

use crate::api;
use crate::proto::{descriptors, json};

const SERVICE: &str = "centrifugal.centrifugo.api.CentrifugoApi";

/// Calls `method`, say `Publish`, with an encoded message.
///
/// # Errors
/// The text for the caller: a gRPC status as grpc-go would write it.
pub async fn call(api: &api::Client, method: &str, message: Bytes) -> Result<Bytes, String> {
    api.call(method, message).await.map_err(|error| error.to_string())
}

/// Calls `method` with a message as JSON; nothing at all is an empty message.
///
/// # Errors
/// The text for the caller: an unknown method, what is wrong with the argument, or as for [`call`].
pub async fn call_json(api: &api::Client, method: &str, argument: &[u8]) -> Result<Bytes, String> {
    let descriptor = find(method).ok_or_else(|| format!("rpc: can't find method centrifuge.{method}"))?;
    let request = encode(&descriptor, argument)
        .map_err(|error| format!("centrifuge.{method}: the argument cannot be read: {error}"))?;
    let response = call(api, method, request).await?;
    decode(&descriptor, response)
        .map_err(|error| format!("centrifuge.{method}: the answer cannot be shown as JSON: {error}"))
}

fn find(method: &str) -> Option<MethodDescriptor> {
    let service = descriptors().get_service_by_name(SERVICE)?;
    service.methods().find(|known| known.name() == method)
}

fn encode(method: &MethodDescriptor, argument: &[u8]) -> Result<Bytes, serde_json::Error> {
    let value: Value = if argument.is_empty() { json::empty() } else { serde_json::from_slice(argument)? };
    Ok(json::from_json(&method.input(), value)?.encode_to_vec().into())
}

fn decode(method: &MethodDescriptor, response: Bytes) -> Result<Bytes, Box<dyn std::error::Error>> {
    let message = DynamicMessage::decode(method.output(), response)?;
    Ok(serde_json::to_vec(&json::to_json(&message)?)?.into())
}
