//! The codec that a frame asks for.

use bytes::Bytes;
use serde_json::Value;

use super::{Error, Items, Shape, gob, json, msgpack, proto, raw};
use crate::goridge::Flags;

/// An encoding of arguments and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Proto,
    Json,
    Gob,
    Raw,
    Msgpack,
}

impl Codec {
    /// The codec of the argument of a request with these flags. RoadRunner checks them in this order.
    pub(crate) fn of_argument(flags: Flags) -> Option<Self> {
        first(flags, [Self::Proto, Self::Json, Self::Gob, Self::Raw, Self::Msgpack])
    }

    /// The codec of the reply to a request with these flags; GOB if none is set. RoadRunner checks them in another order here.
    pub(crate) fn of_reply(flags: Flags) -> Self {
        first(flags, [Self::Proto, Self::Json, Self::Raw, Self::Msgpack, Self::Gob]).unwrap_or(Self::Gob)
    }

    /// The flag of this codec.
    pub(crate) fn flag(self) -> Flags {
        match self {
            Self::Proto => Flags::PROTO,
            Self::Json => Flags::JSON,
            Self::Gob => Flags::GOB,
            Self::Raw => Flags::RAW,
            Self::Msgpack => Flags::MSGPACK,
        }
    }

    /// Decodes an argument of at most `items` values; no bytes at all are the zero value.
    ///
    /// # Errors
    /// When the bytes are no such value.
    pub(crate) fn decode(self, shape: &Shape, bytes: &[u8], items: usize) -> Result<Value, Error> {
        let mut items = Items::up_to(items);
        Ok(match self {
            Self::Proto => proto::decode(shape, bytes, &mut items)?,
            _ if bytes.is_empty() => shape.zero(),
            Self::Json => json::decode(shape, bytes, &mut items)?,
            Self::Gob => gob::decode(shape, bytes, items)?,
            Self::Raw => raw::decode(shape, bytes),
            Self::Msgpack => msgpack::decode(shape, bytes, items)?,
        })
    }

    /// Checks that results of this shape can be encoded.
    ///
    /// # Errors
    /// When this codec has no such values.
    pub(crate) fn check(self, shape: &Shape) -> Result<(), Error> {
        match (self, shape) {
            (Self::Proto, Shape::Message(_)) | (Self::Raw, Shape::Bytes) => Ok(()),
            (Self::Proto, _) => Err(proto::Error::NotAMessage.into()),
            (Self::Raw, _) => Err(raw::Error::NotBytes.into()),
            _ => Ok(()),
        }
    }

    /// Encodes a result.
    ///
    /// # Errors
    /// As [`Codec::check`], or when the value does not have this shape.
    pub(crate) fn encode(self, shape: &Shape, value: &Value) -> Result<Bytes, Error> {
        Ok(match self {
            Self::Proto => proto::encode(shape, value)?,
            Self::Json => json::encode(value)?,
            Self::Gob => gob::encode(shape, value)?,
            Self::Raw => raw::encode(shape, value)?,
            Self::Msgpack => msgpack::encode(shape, value)?,
        })
    }
}

fn first(flags: Flags, order: [Codec; 5]) -> Option<Codec> {
    order.into_iter().find(|codec| flags.contains(codec.flag()))
}
