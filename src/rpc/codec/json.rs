//! JSON, as Go reads and writes it: field names in any case, `null` for what is left out. An empty list is accepted as an empty object,
//! since PHP writes both alike.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::items::TooMany;
use super::{Field, Items, Shape};

/// Why a text is no value of a shape, in Go's words.
#[derive(Debug, thiserror::Error)]
pub(in crate::rpc) enum Error {
    #[error("json: {0}")]
    TooMany(#[from] TooMany),
    #[error("json: {0}")]
    Syntax(serde_json::Error),
    #[error("invalid character {} looking for beginning of value", quoted(*.0))]
    NoValue(u8),
    #[error("invalid character {} after top-level value", quoted(*.0))]
    Trailing(u8),
    #[error("json: {go_type} unexpected end of JSON input")]
    UnexpectedEnd { go_type: String },
    #[error("json: cannot unmarshal {found} into Go value of type {go_type}")]
    Mismatch { found: &'static str, go_type: String },
    /// A value cannot be written.
    #[error(transparent)]
    Write(serde_json::Error),
}

pub(super) fn decode(shape: &Shape, bytes: &[u8], items: &mut Items) -> Result<Value, Error> {
    let text = trim_start(bytes);
    // A value of another kind is refused before it is decoded, however deep it nests.
    if let Some(first) = text.first() {
        check_first(shape, *first)?;
    }
    items.count_json(text)?;
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) if !error.is_eof() => return Err(Error::Syntax(error)),
        _ => return Err(unexpected_end(shape)),
    };
    match trim_start(&text[values.byte_offset()..]).first() {
        Some(next) => Err(Error::Trailing(*next)),
        None => fit(shape, value),
    }
}

/// JSON has fewer whitespace characters than ASCII: a form feed is none.
fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    &text[blanks..]
}

pub(super) fn encode(value: &Value) -> Result<Bytes, Error> {
    serde_json::to_vec(value).map(Bytes::from).map_err(Error::Write)
}

/// Checks that a value of this shape can begin so.
fn check_first(shape: &Shape, first: u8) -> Result<(), Error> {
    let kind = match first {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        b'n' => return Ok(()),
        b'-' | b'0'..=b'9' => "number",
        other => return Err(Error::NoValue(other)),
    };
    match (shape, kind) {
        (Shape::Bool, "bool")
        | (Shape::Int | Shape::Uint | Shape::Float, "number")
        | (Shape::Text | Shape::Bytes, "string")
        | (Shape::List(_), "array")
        | (Shape::Map(_) | Shape::Struct(_) | Shape::Message(_), "object" | "array") => Ok(()),
        (Shape::Bool | Shape::Float, _) => Err(unexpected_end(shape)),
        (Shape::Message(_), _) => Err(Error::NoValue(first)),
        _ => Err(Error::Mismatch { found: kind, go_type: go_type(shape) }),
    }
}

fn unexpected_end(shape: &Shape) -> Error {
    Error::UnexpectedEnd { go_type: go_type(shape) }
}

/// The value with the names and kinds of its shape, without what the shape does not know.
fn fit(shape: &Shape, value: Value) -> Result<Value, Error> {
    if let Some(fields) = shape.fields() {
        return match value {
            Value::Null => Ok(shape.zero()),
            Value::Object(object) => fit_fields(&fields, object),
            Value::Array(items) if items.is_empty() => Ok(shape.zero()),
            other => Err(mismatch(shape, &other)),
        };
    }
    match (shape, value) {
        (_, Value::Null) => Ok(shape.zero()),
        (Shape::List(items), Value::Array(values)) => {
            values.into_iter().map(|value| fit(items, value)).collect::<Result<_, _>>().map(Value::Array)
        }
        (Shape::Map(items), Value::Object(values)) => {
            let fitted = values.into_iter().map(|(name, value)| Ok((name, fit(items, value)?)));
            fitted.collect::<Result<Map<_, _>, Error>>().map(Value::Object)
        }
        (Shape::Map(_), Value::Array(items)) if items.is_empty() => Ok(shape.zero()),
        (Shape::Int, value) if value.is_i64() => Ok(value),
        (Shape::Uint, value) if value.is_u64() => Ok(value),
        (Shape::Bool, value @ Value::Bool(_))
        | (Shape::Float, value @ Value::Number(_))
        | (Shape::Text | Shape::Bytes, value @ Value::String(_)) => Ok(value),
        (Shape::Bool | Shape::Float, _) => Err(unexpected_end(shape)),
        (_, value) => Err(mismatch(shape, &value)),
    }
}

fn fit_fields(fields: &[Field], object: Map<String, Value>) -> Result<Value, Error> {
    let mut fitted = Map::new();
    for (name, value) in object {
        let known = fields.iter().find(|field| field.name.eq_ignore_ascii_case(&name));
        if let Some(field) = known
            && !value.is_null()
        {
            fitted.insert(field.name.clone(), fit(&field.shape, value)?);
        }
    }
    Ok(Value::Object(fitted))
}

fn mismatch(shape: &Shape, value: &Value) -> Error {
    let found = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    Error::Mismatch { found, go_type: go_type(shape) }
}

fn go_type(shape: &Shape) -> String {
    match shape {
        Shape::Bool => "bool".into(),
        Shape::Int => "int64".into(),
        Shape::Uint => "uint64".into(),
        Shape::Float => "float".into(),
        Shape::Text => "string".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::List(items) => format!("[]{}", go_type(items)),
        Shape::Map(items) => format!("map[string]{}", go_type(items)),
        Shape::Struct(_) | Shape::Message(_) => shape.type_name().into(),
    }
}

/// A byte as Go shows one.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => "'\\''".into(),
        b'"' => "'\"'".into(),
        byte => format!("'{}'", char::from(byte)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn decode(shape: &Shape, text: &[u8]) -> Result<Value, String> {
        super::decode(shape, text, &mut Items::up_to(1_000_000)).map_err(|error| error.to_string())
    }

    fn metric() -> Shape {
        let labels = Shape::list(Shape::Text);
        Shape::structure(
            "Metric",
            [("name", "Name", Shape::Text), ("value", "Value", Shape::Float), ("labels", "Labels", labels)],
        )
    }

    #[test]
    fn names_have_any_case_and_unknown_or_null_fields_are_left_out() {
        let text = br#" {"NAME":"x","value":1,"labels":null,"other":[1]} "#;
        assert_eq!(decode(&metric(), text), Ok(json!({"name": "x", "value": 1})));
    }

    #[test]
    fn an_empty_list_is_an_empty_object() {
        let objectives = Shape::Map(Box::new(Shape::Float));
        let shape = Shape::structure("Collector", [("objectives", "Objectives", objectives)]);
        assert_eq!(decode(&shape, b"[]"), Ok(json!({})));
        assert_eq!(decode(&shape, br#"{"objectives":[]}"#), Ok(json!({"objectives": {}})));
        decode(&shape, b"[1]").unwrap_err();
        decode(&shape, br#"{"objectives":[1]}"#).unwrap_err();
    }

    #[test]
    fn mismatches_are_refused_in_the_words_of_go() {
        let refused = |shape: &Shape, text: &str| decode(shape, text.as_bytes()).unwrap_err();
        assert_eq!(refused(&Shape::Text, "5"), "json: cannot unmarshal number into Go value of type string");
        assert_eq!(refused(&Shape::Bool, "{}"), "json: bool unexpected end of JSON input");
        assert_eq!(refused(&Shape::Text, "\"centri"), "json: string unexpected end of JSON input");
        assert_eq!(
            refused(&Shape::Text, "\r\u{c}"),
            "invalid character '\u{c}' looking for beginning of value"
        );
        assert_eq!(refused(&Shape::Text, "\"a\" x"), "invalid character 'x' after top-level value");
        assert_eq!(refused(&metric(), r#"{"value":"1"}"#), "json: float unexpected end of JSON input");
        assert_eq!(
            refused(&Shape::Text, &"[".repeat(100_000)),
            "json: cannot unmarshal array into Go value of type string"
        );
        assert!(refused(&Shape::list(Shape::Text), &"[".repeat(100_000)).contains("recursion limit"));
    }
}
