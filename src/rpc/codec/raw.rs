//! Plain bytes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::Shape;

/// RoadRunner's words for a result that is something else than bytes.
pub(super) const NOT_RAW: &str = "unknown Raw payload type";

/// Bytes and text are the payload; to other methods it says nothing, as in RoadRunner.
pub(super) fn decode(shape: &Shape, bytes: &[u8]) -> Value {
    match shape {
        Shape::Bytes => STANDARD.encode(bytes).into(),
        Shape::Text => String::from_utf8_lossy(bytes).into(),
        other => other.zero(),
    }
}

pub(super) fn encode(shape: &Shape, value: &Value) -> Result<Bytes, String> {
    let (Shape::Bytes, Value::String(text)) = (shape, value) else { return Err(NOT_RAW.into()) };
    STANDARD.decode(text).map(Bytes::from).map_err(|error| error.to_string())
}
