//! Which codec a frame asks for.

use bytes::Bytes;
use serde_json::Value;

use super::{Items, Shape, gob, json, msgpack, proto, raw};
use crate::goridge::Flags;

/// One way to write arguments and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Proto,
    Json,
    Gob,
    Raw,
    Msgpack,
}

impl Codec {
    /// How the argument of a request with these flags is written. Where several are set, this is RoadRunner's order of looking.
    pub(crate) fn of_argument(flags: Flags) -> Option<Self> {
        first(flags, [Self::Proto, Self::Json, Self::Gob, Self::Raw, Self::Msgpack])
    }

    /// How the reply to a request with these flags is written; GOB where none is set. RoadRunner looks in another order here.
    pub(crate) fn of_reply(flags: Flags) -> Self {
        first(flags, [Self::Proto, Self::Json, Self::Raw, Self::Msgpack, Self::Gob]).unwrap_or(Self::Gob)
    }

    /// The flag that stands for this codec.
    pub(crate) fn flag(self) -> Flags {
        match self {
            Self::Proto => Flags::PROTO,
            Self::Json => Flags::JSON,
            Self::Gob => Flags::GOB,
            Self::Raw => Flags::RAW,
            Self::Msgpack => Flags::MSGPACK,
        }
    }

    /// Reads an argument of at most `items` values; no bytes at all are the zero value.
    ///
    /// # Errors
    /// The text for the caller.
    pub(crate) fn decode(self, shape: &Shape, bytes: &[u8], items: usize) -> Result<Value, String> {
        let mut items = Items::up_to(items);
        match self {
            Self::Proto => proto::decode(shape, bytes, &mut items),
            _ if bytes.is_empty() => Ok(shape.zero()),
            Self::Json => json::decode(shape, bytes, &mut items),
            Self::Gob => gob::decode(shape, bytes, items),
            Self::Raw => Ok(raw::decode(shape, bytes)),
            Self::Msgpack => msgpack::decode(shape, bytes, items),
        }
    }

    /// Whether a result of this shape can be written.
    ///
    /// # Errors
    /// The text for the caller.
    pub(crate) fn check(self, shape: &Shape) -> Result<(), String> {
        match (self, shape) {
            (Self::Proto, Shape::Message(_)) | (Self::Raw, Shape::Bytes) => Ok(()),
            (Self::Proto, _) => Err(proto::NO_MESSAGE.into()),
            (Self::Raw, _) => Err(raw::NOT_RAW.into()),
            _ => Ok(()),
        }
    }

    /// Writes a result.
    ///
    /// # Errors
    /// The text for the caller: as for [`Codec::check`], or a value that does not have this shape.
    pub(crate) fn encode(self, shape: &Shape, value: &Value) -> Result<Bytes, String> {
        match self {
            Self::Proto => proto::encode(shape, value),
            Self::Json => json::encode(value),
            Self::Gob => gob::encode(shape, value),
            Self::Raw => raw::encode(shape, value),
            Self::Msgpack => msgpack::encode(shape, value),
        }
    }
}

fn first(flags: Flags, order: [Codec; 5]) -> Option<Codec> {
    order.into_iter().find(|codec| flags.contains(codec.flag()))
}
