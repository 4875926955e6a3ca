//! The type of an argument or result, whichever codec carries it.

use std::sync::Arc;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

use crate::proto::{descriptors, rpc_descriptors};

/// The type of a value. Values themselves are [`Value`]s: objects have the names of [`Field::name`], and [`Shape::Bytes`] is base64.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Bool,
    Int,
    Uint,
    Float,
    Text,
    Bytes,
    List(Box<Shape>),
    /// Keys are text.
    Map(Box<Shape>),
    Struct(Arc<Struct>),
    /// A protobuf message: the only shape that PROTO carries. Its [`Value`] is proto3 JSON with the names of the `.proto` file and
    /// numbers as numbers.
    Message(MessageDescriptor),
}

/// A structure of named fields, as RoadRunner's Go code declares it.
#[derive(Debug)]
pub(crate) struct Struct {
    /// Its name in Go, which gob describes it by.
    pub(crate) name: &'static str,
    pub(crate) fields: Vec<Field>,
}

/// One field of a [`Struct`] or of a message.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    /// Its name in JSON.
    pub(crate) name: String,
    /// Its name in Go, by which gob and MessagePack know it.
    pub(crate) go: String,
    pub(crate) shape: Shape,
}

impl Shape {
    /// A list of `items`.
    pub(crate) fn list(items: Self) -> Self {
        Self::List(Box::new(items))
    }

    /// A structure with fields of `(JSON name, Go name, shape)`.
    pub(crate) fn structure<const N: usize>(name: &'static str, fields: [(&str, &str, Self); N]) -> Self {
        let field = |(name, go, shape): (&str, &str, Self)| Field { name: name.into(), go: go.into(), shape };
        Self::Struct(Arc::new(Struct { name, fields: fields.map(field).into() }))
    }

    /// A message by its full name, of RPC methods or of Centrifugo.
    pub(crate) fn message(name: &str) -> Self {
        let own = name.starts_with("causeway.");
        let descriptors = if own { rpc_descriptors() } else { descriptors() };
        // An unknown name is found by the table's tests; here it is a structure without fields.
        descriptors.get_message_by_name(name).map_or_else(|| Self::structure("", []), Self::Message)
    }

    /// The fields of a structure or message in the order of their declaration.
    pub(crate) fn fields(&self) -> Option<Vec<Field>> {
        match self {
            Self::Struct(structure) => Some(structure.fields.clone()),
            Self::Message(message) => Some(message.fields().map(|field| of_message(&field)).collect()),
            _ => None,
        }
    }

    /// The name of a structure or message in Go.
    pub(crate) fn type_name(&self) -> &str {
        match self {
            Self::Struct(structure) => structure.name,
            Self::Message(message) => message.name(),
            _ => "",
        }
    }

    /// Go's zero value, with empty structures.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Self::Bool => Value::Bool(false),
            Self::Int | Self::Uint => 0.into(),
            Self::Float => 0.0.into(),
            Self::Text | Self::Bytes => "".into(),
            Self::List(_) => Value::Array(Vec::new()),
            Self::Map(_) | Self::Struct(_) | Self::Message(_) => Value::Object(Map::new()),
        }
    }
}

fn of_message(field: &FieldDescriptor) -> Field {
    let shape = match field.kind() {
        Kind::Message(entry) if entry.is_map_entry() => {
            Shape::Map(Box::new(of_kind(entry.map_entry_value_field().kind())))
        }
        kind if field.is_list() => Shape::list(of_kind(kind)),
        kind => of_kind(kind),
    };
    Field { name: field.name().to_owned(), go: go_name(field.name()), shape }
}

fn of_kind(kind: Kind) -> Shape {
    match kind {
        Kind::Bool => Shape::Bool,
        Kind::Double | Kind::Float => Shape::Float,
        Kind::Uint32 | Kind::Uint64 | Kind::Fixed32 | Kind::Fixed64 => Shape::Uint,
        Kind::String => Shape::Text,
        Kind::Bytes => Shape::Bytes,
        Kind::Message(message) => Shape::Message(message),
        _ => Shape::Int,
    }
}

/// `log_attrs` is `LogAttrs` and `b64data` is `B64Data`, as protobuf's Go generator names fields: words begin after underscores and
/// digits, and an underscore stays if no letter follows.
fn go_name(name: &str) -> String {
    let mut go = String::new();
    let mut begins = true;
    let mut rest = name.chars().peekable();
    while let Some(letter) = rest.next() {
        let is_separator = letter == '_' && rest.peek().is_some_and(char::is_ascii_lowercase);
        if !is_separator {
            go.push(if begins { letter.to_ascii_uppercase() } else { letter });
        }
        begins = !letter.is_ascii_alphabetic();
    }
    go
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_s_fields_have_the_names_of_go() {
        let fields = Shape::message("causeway.rpc.LogEntry").fields().unwrap();
        let names: Vec<_> = fields.iter().map(|field| (field.name.as_str(), field.go.as_str())).collect();
        assert_eq!(names, [("message", "Message"), ("log_attrs", "LogAttrs")]);
        assert!(matches!(&fields[1].shape, Shape::List(items) if matches!(**items, Shape::Message(_))));
    }

    #[test]
    fn words_begin_after_digits_too() {
        for (name, go) in [("b64data", "B64Data"), ("cpu_2x", "Cpu_2X"), ("all_users", "AllUsers")] {
            assert_eq!(go_name(name), go);
        }
    }
}
