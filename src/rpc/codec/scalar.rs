//! Scalars in and out of [`Value`]s, for the codecs other than JSON. `null` is the zero value of everything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// A value that does not have its shape.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    #[error("expected {expected}, found {found}")]
    Mismatch { expected: &'static str, found: Value },
    #[error("expected base64: {0}")]
    Base64(#[from] base64::DecodeError),
}

pub(super) fn as_bool(value: &Value) -> Result<bool, Error> {
    or_zero(value, Value::as_bool, "true or false")
}

pub(super) fn as_int(value: &Value) -> Result<i64, Error> {
    or_zero(value, Value::as_i64, "an integer")
}

pub(super) fn as_uint(value: &Value) -> Result<u64, Error> {
    or_zero(value, Value::as_u64, "an integer of at least 0")
}

/// Non-finite numbers are text, as in proto3 JSON.
pub(super) fn as_float(value: &Value) -> Result<f64, Error> {
    match value.as_str() {
        Some("NaN") => Ok(f64::NAN),
        Some("Infinity") => Ok(f64::INFINITY),
        Some("-Infinity") => Ok(f64::NEG_INFINITY),
        _ => or_zero(value, Value::as_f64, "a number"),
    }
}

pub(super) fn as_text(value: &Value) -> Result<&str, Error> {
    or_zero(value, Value::as_str, "text")
}

pub(super) fn as_bytes(value: &Value) -> Result<Vec<u8>, Error> {
    Ok(STANDARD.decode(as_text(value)?)?)
}

pub(super) fn as_list(value: &Value) -> Result<&[Value], Error> {
    or_zero(value, |value| value.as_array().map(Vec::as_slice), "a list")
}

/// The entries of a map or structure; none at all for `null`.
pub(super) fn as_object(value: &Value) -> Result<Option<&Map<String, Value>>, Error> {
    or_zero(value, |value| value.as_object().map(Some), "an object")
}

fn or_zero<'a, T: Default>(
    value: &'a Value,
    read: impl Fn(&'a Value) -> Option<T>,
    expected: &'static str,
) -> Result<T, Error> {
    if value.is_null() {
        return Ok(T::default());
    }
    read(value).ok_or_else(|| Error::Mismatch { expected, found: value.clone() })
}

/// Non-finite numbers are text, as in proto3 JSON: JSON has no numbers for them.
pub(super) fn of_float(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Text with invalid UTF-8 replaced, as in Go's JSON.
pub(super) fn of_text(text: &[u8]) -> Value {
    String::from_utf8_lossy(text).into()
}

pub(super) fn of_bytes(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// The key of a map as text. In Go, keys may be numbers too.
pub(super) fn to_key(value: Value) -> String {
    match value {
        Value::String(text) => text,
        number => number.to_string(),
    }
}
