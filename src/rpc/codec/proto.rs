//! PROTO: Protocol Buffers, for the methods whose arguments and results are messages.

use bytes::Bytes;
use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use super::items::TooMany;
use super::layout::MAX_DEPTH;
use super::{Items, Shape};

/// Why bytes are no message, or why a message cannot be written, in RoadRunner's words.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    /// The shape is not a message.
    #[error("goridge_read_request_body: message type is not a proto")]
    NotAMessage,
    #[error("goridge_read_request_body: proto: cannot parse invalid wire-format data")]
    Malformed(#[from] prost::DecodeError),
    #[error("goridge_read_request_body: proto: {0}")]
    TooMany(#[from] TooMany),
    /// A value does not have the shape of its message.
    #[error(transparent)]
    Value(#[from] serde_json::Error),
}

pub(super) fn decode(shape: &Shape, bytes: &[u8], items: &mut Items) -> Result<Value, Error> {
    let Shape::Message(descriptor) = shape else { return Err(Error::NotAMessage) };
    count(descriptor, bytes, items, 0)?;
    let message = DynamicMessage::decode(descriptor.clone(), bytes)?;
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    Ok(message.serialize_with_options(serde_json::value::Serializer, &options)?)
}

pub(super) fn encode(shape: &Shape, value: &Value) -> Result<Bytes, Error> {
    let Shape::Message(descriptor) = shape else { return Err(Error::NotAMessage) };
    Ok(DynamicMessage::deserialize(descriptor.clone(), value)?.encode_to_vec().into())
}

/// Counts the values of a message. Malformed ones are left to the decoder.
fn count(
    message: &MessageDescriptor,
    mut bytes: &[u8],
    items: &mut Items,
    depth: usize,
) -> Result<(), TooMany> {
    if depth > MAX_DEPTH {
        return Ok(());
    }
    while let Ok((number, wire_type)) = decode_key(&mut bytes) {
        items.value()?;
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
                items.container()?;
                count(&inner, content, items, depth + 1)?;
            }
            None | Some(Kind::String | Kind::Bytes) => {}
            // Packed numbers: each ends with a byte without the highest bit, or has a fixed length.
            Some(_) => {
                for _ in content.iter().filter(|byte| **byte < 128) {
                    items.value()?;
                }
            }
        }
    }
    Ok(())
}
