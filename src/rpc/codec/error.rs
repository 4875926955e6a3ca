//! Why bytes are no value of a shape, or why a value cannot be written.

use super::{gob, json, msgpack, proto, raw, scalar};

/// The error of a codec. Its text is what RoadRunner's library says in the same case, since clients match on it.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    #[error(transparent)]
    Json(#[from] json::Error),
    #[error("goridge_read_request_body: {0}")]
    Gob(#[from] gob::Error),
    #[error(transparent)]
    Msgpack(#[from] msgpack::Error),
    #[error(transparent)]
    Proto(#[from] proto::Error),
    #[error(transparent)]
    Raw(#[from] raw::Error),
    /// A value to be written does not have its shape.
    #[error(transparent)]
    Value(#[from] scalar::Error),
}
