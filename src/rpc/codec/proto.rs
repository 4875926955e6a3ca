//! Protocol Buffers, for the methods whose arguments and results are messages.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use super::layout::MAX_DEPTH;
use super::{Items, Shape};

/// RoadRunner's words for a method that has no messages.
pub(super) const NO_MESSAGE: &str = "goridge_read_request_body: message type is not a proto";

pub(super) fn decode(shape: &Shape, bytes: &[u8], items: &mut Items) -> Result<Value, String> {
    let Shape::Message(descriptor) = shape else { return Err(NO_MESSAGE.into()) };
    count(descriptor, bytes, items, 0)?;
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

/// Counts the values of a message. What is broken is left to the decoder.
fn count(
    message: &MessageDescriptor,
    mut bytes: &[u8],
    items: &mut Items,
    depth: usize,
) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let too_many = |error| format!("goridge_read_request_body: proto: {error}");
    while let Ok((number, wire_type)) = decode_key(&mut bytes) {
        items.value().map_err(too_many)?;
        if wire_type != WireType::LengthDelimited {
            if skip_field(wire_type, number, &mut bytes, DecodeContext::default()).is_err() {
                return Ok(());
            }
            continue;
        }
        let length = decode_varint(&mut bytes).ok().and_then(|length| usize::try_from(length).ok());
        let Some((content, rest)) = length.and_then(|length| bytes.split_at_checked(length)) else {
            return Ok(());
        };
        bytes = rest;
        match message.get_field(number).map(|field| field.kind()) {
            Some(Kind::Message(inner)) => {
                items.container().map_err(too_many)?;
                count(&inner, content, items, depth + 1)?;
            }
            None | Some(Kind::String | Kind::Bytes) => {}
            // Numbers in a row: each ends with a byte without the highest bit, or has some bytes.
            Some(_) => {
                for _ in content.iter().filter(|byte| **byte < 128) {
                    items.value().map_err(too_many)?;
                }
            }
        }
    }
    Ok(())
}
