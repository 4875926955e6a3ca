//! Why bytes are no value, or a value cannot be written, in the words of RoadRunner's library.

use rmp::Marker;

use crate::rpc::codec::{TooMany, scalar};

/// The error of an argument or a result in MessagePack.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    /// Go tells the end of all bytes from an end within a value.
    #[error("EOF")]
    Eof,
    #[error("unexpected EOF")]
    UnexpectedEof,
    #[error("msgpack: {0}")]
    TooMany(#[from] TooMany),
    #[error("msgpack: invalid nesting depth")]
    TooDeep,
    #[error("msgpack: invalid code={:x} decoding {wanted}", .found.to_u8())]
    Invalid { found: Marker, wanted: &'static str },
    #[error("msgpack: unexpected code={:x} decoding map length", .0.to_u8())]
    NotAMap(Marker),
    #[error("msgpack: unknown code {:x}", .0.to_u8())]
    Unknown(Marker),
    #[error("msgpack: number of fields in array-encoded struct has changed")]
    WrongLength,
    /// A value to be written does not have its shape.
    #[error(transparent)]
    Value(#[from] scalar::Error),
    #[error(transparent)]
    Write(#[from] std::io::Error),
    #[error("msgpack: more than 2^32 values")]
    TooLong,
}
