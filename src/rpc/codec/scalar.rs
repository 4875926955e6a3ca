//! Scalars in and out of [`Value`]s, for the codecs that are not JSON. `null` is the zero value of everything.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

pub(super) fn as_bool(value: &Value) -> Result<bool, String> {
    or_zero(value, Value::as_bool, "true or false")
}

pub(super) fn as_int(value: &Value) -> Result<i64, String> {
    or_zero(value, Value::as_i64, "an integer")
}

pub(super) fn as_uint(value: &Value) -> Result<u64, String> {
    or_zero(value, Value::as_u64, "an integer of at least 0")
}

/// What is not finite is text, as in proto3 JSON.
pub(super) fn as_float(value: &Value) -> Result<f64, String> {
    match value.as_str() {
        Some("NaN") => Ok(f64::NAN),
        Some("Infinity") => Ok(f64::INFINITY),
        Some("-Infinity") => Ok(f64::NEG_INFINITY),
        _ => or_zero(value, Value::as_f64, "a number"),
    }
}

pub(super) fn as_text(value: &Value) -> Result<&str, String> {
    or_zero(value, Value::as_str, "text")
}

pub(super) fn as_bytes(value: &Value) -> Result<Vec<u8>, String> {
    STANDARD.decode(as_text(value)?).map_err(|error| format!("expected base64: {error}"))
}

pub(super) fn as_list(value: &Value) -> Result<&[Value], String> {
    or_zero(value, |value| value.as_array().map(Vec::as_slice), "a list")
}

/// The entries of a map or structure; none at all for `null`.
pub(super) fn as_object(value: &Value) -> Result<Option<&Map<String, Value>>, String> {
    or_zero(value, |value| value.as_object().map(Some), "an object")
}

fn or_zero<'a, T: Default>(
    value: &'a Value,
    read: impl Fn(&'a Value) -> Option<T>,
    expected: &str,
) -> Result<T, String> {
    if value.is_null() {
        return Ok(T::default());
    }
    read(value).ok_or_else(|| format!("expected {expected}, found {value}"))
}

/// What is not finite is text, as in proto3 JSON: JSON has no numbers for it.
pub(super) fn of_float(number: f64) -> Value {
    match serde_json::Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Text, what is not UTF-8 replaced, as Go's JSON does.
pub(super) fn of_text(text: &[u8]) -> Value {
    String::from_utf8_lossy(text).into()
}

pub(super) fn of_bytes(bytes: &[u8]) -> Value {
    STANDARD.encode(bytes).into()
}

/// A key of a map. Go has maps whose keys are numbers; here, as in JSON, all are text.
pub(super) fn to_key(value: Value) -> String {
    match value {
        Value::String(text) => text,
        number => number.to_string(),
    }
}
