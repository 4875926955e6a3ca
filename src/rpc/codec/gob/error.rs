//! Why a stream is no value of our type, in the words of Go's package.

use super::wire::MAX_TYPES;
use crate::rpc::codec::TooMany;

/// An argument that cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    #[error("unexpected EOF")]
    Truncated,
    #[error("extra data in buffer")]
    ExtraData,
    #[error("gob: encoded unsigned integer out of range")]
    IntegerTooLong,
    #[error("gob: decoding array or slice: length exceeds input size ({0} elements)")]
    TooFewItems(u64),
    #[error("gob: {0}")]
    TooMany(#[from] TooMany),
    #[error("gob: invalid nesting depth")]
    TooDeep,
    #[error("gob: more than {MAX_TYPES} types")]
    TooManyTypes,
    #[error("gob: duplicate type received")]
    DuplicateType,
    #[error("gob: unknown type id or corrupted data")]
    UnknownType,
    #[error("gob: bad data: undefined type {0}")]
    UndefinedType(i64),
    #[error("gob: bad data: field numbers out of bounds")]
    FieldOutOfBounds,
    #[error("gob: empty name for remote field of type {0}")]
    UnnamedField(String),
    #[error("gob: name of a type: {0}")]
    Name(#[from] std::str::Utf8Error),
    #[error("gob: interfaces cannot be read here")]
    Interface,
    #[error("gob: decode: corrupted data: non-zero delta for singleton")]
    DeltaOfSingleton,
    #[error("gob: decoding into local type *{local}, received remote type {remote}")]
    Incompatible { local: String, remote: String },
    #[error("gob: type mismatch in decoder: want struct type {0}; got non-struct")]
    NotAStruct(String),
    #[error("gob: type mismatch: no fields matched compiling decoder for {0}")]
    NoFieldsMatched(String),
    #[error("gob: wrong type ({wanted}) for received field {structure}.{field}")]
    WrongField { wanted: String, structure: String, field: String },
}
