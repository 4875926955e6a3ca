//! JSON, as Go reads and writes it: names of fields in any case, `null` for whatever is left out. An empty list will do for an empty
//! object, since PHP writes both in the same way.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{Field, Items, Shape};

pub(super) fn decode(shape: &Shape, bytes: &[u8], items: &mut Items) -> Result<Value, String> {
    let text = trim_start(bytes);
    // What begins as something else is refused before it is read, however deep it goes.
    if let Some(first) = text.first() {
        check_first(shape, *first)?;
    }
    items.count_json(text).map_err(|error| format!("json: {error}"))?;
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<Value>();
    let value = match values.next() {
        Some(Ok(value)) => value,
        Some(Err(error)) if !error.is_eof() => return Err(format!("json: {error}")),
        _ => return Err(unexpected_end(shape)),
    };
    match trim_start(&text[values.byte_offset()..]).first() {
        Some(next) => Err(format!("invalid character {} after top-level value", quoted(*next))),
        None => fit(shape, value),
    }
}

/// JSON knows fewer characters as white space than others do: a form feed is none.
fn trim_start(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
    &text[blanks..]
}

pub(super) fn encode(value: &Value) -> Result<Bytes, String> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| error.to_string())
}

/// Whether a value of this shape can begin so. The texts are those of RoadRunner, which some of its clients match on.
fn check_first(shape: &Shape, first: u8) -> Result<(), String> {
    let kind = match first {
        b'{' => "object",
        b'[' => "array",
        b'"' => "string",
        b't' | b'f' => "bool",
        b'n' => return Ok(()),
        b'-' | b'0'..=b'9' => "number",
        other => return Err(format!("invalid character {} looking for beginning of value", quoted(other))),
    };
    match (shape, kind) {
        (Shape::Bool, "bool")
        | (Shape::Int | Shape::Uint | Shape::Float, "number")
        | (Shape::Text | Shape::Bytes, "string")
        | (Shape::List(_), "array")
        | (Shape::Map(_) | Shape::Struct(_) | Shape::Message(_), "object" | "array") => Ok(()),
        (Shape::Bool | Shape::Float, _) => Err(unexpected_end(shape)),
        (Shape::Message(_), _) => {
            Err(format!("invalid character {} looking for beginning of value", quoted(first)))
        }
        _ => Err(format!("json: cannot unmarshal {kind} into Go value of type {}", go_type(shape))),
    }
}

fn unexpected_end(shape: &Shape) -> String {
    format!("json: {} unexpected end of JSON input", go_type(shape))
}

/// The value with the names and the kinds of its shape; what the shape does not know is left out.
fn fit(shape: &Shape, value: Value) -> Result<Value, String> {
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
            fitted.collect::<Result<Map<_, _>, String>>().map(Value::Object)
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

fn fit_fields(fields: &[Field], object: Map<String, Value>) -> Result<Value, String> {
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

fn mismatch(shape: &Shape, value: &Value) -> String {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {kind} into Go value of type {}", go_type(shape))
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
        super::decode(shape, text, &mut Items::up_to(1_000_000))
    }

    fn metric() -> Shape {
        let labels = Shape::list(Shape::Text);
        Shape::structure(
            "Metric",
            [("name", "Name", Shape::Text), ("value", "Value", Shape::Float), ("labels", "Labels", labels)],
        )
    }

    #[test]
    fn names_have_any_case_and_what_is_unknown_or_null_is_left_out() {
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
    fn what_does_not_fit_is_refused_in_the_words_of_go() {
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
