//! RAW: plain bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::Shape;

/// Why a result cannot be written as plain bytes.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    /// It is not bytes. The text is RoadRunner's.
    #[error("unknown Raw payload type")]
    NotBytes,
    #[error(transparent)]
    Base64(#[from] base64::DecodeError),
}

/// Bytes and text are the payload; for other shapes it means nothing, as in RoadRunner.
pub(super) fn decode(shape: &Shape, bytes: &[u8]) -> Value {
    match shape {
        Shape::Bytes => STANDARD.encode(bytes).into(),
        Shape::Text => String::from_utf8_lossy(bytes).into(),
        other => other.zero(),
    }
}

pub(super) fn encode(shape: &Shape, value: &Value) -> Result<Bytes, Error> {
    let (Shape::Bytes, Value::String(text)) = (shape, value) else { return Err(Error::NotBytes) };
    Ok(STANDARD.decode(text)?.into())
}
