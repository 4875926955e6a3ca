//! Protocol Buffers, for the methods whose arguments and results are messages.

use bytes::Bytes;
use prost::Message as _;
use prost_reflect::{DynamicMessage, SerializeOptions};
use serde_json::Value;

use super::Shape;

/// RoadRunner's words for a method that has no messages.
pub(super) const NO_MESSAGE: &str = "goridge_read_request_body: message type is not a proto";

pub(super) fn decode(shape: &Shape, bytes: &[u8]) -> Result<Value, String> {
    let Shape::Message(descriptor) = shape else { return Err(NO_MESSAGE.into()) };
    let message = DynamicMessage::decode(descriptor.clone(), bytes)
        .map_err(|_| "goridge_read_request_body: proto: cannot parse invalid wire-format data")?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    message.serialize_with_options(serde_json::value::Serializer, &options).map_err(|error| error.to_string())
}

pub(super) fn encode(shape: &Shape, value: &Value) -> Result<Bytes, String> {
    let Shape::Message(descriptor) = shape else { return Err(NO_MESSAGE.into()) };
    let message =
        DynamicMessage::deserialize(descriptor.clone(), value).map_err(|error| error.to_string())?;
    Ok(message.encode_to_vec().into())
}
