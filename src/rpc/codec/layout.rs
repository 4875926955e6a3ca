//! A shape as a flat list of types, as gob and MessagePack need it: every type once, so that recursive messages end, and the names of
//! every field looked up once.

use std::collections::HashMap;
use std::sync::Arc;

use super::Shape;

/// How deep values may nest, skipped ones included. The same as prost's limit for messages.
pub(super) const MAX_DEPTH: usize = 100;

/// All types that a shape is made of. A type is identified by its place here; scalars come first.
#[derive(Debug)]
pub(super) struct Layout {
    types: Vec<Type>,
    root: usize,
}

/// One type of a [`Layout`].
#[derive(Debug)]
pub(super) struct Type {
    /// Its name in gob: empty if Go has no name for it, or reaches it through a list or map first.
    pub(super) label: String,
    pub(super) kind: Kind,
}

/// What a type is, other types by their places.
#[derive(Debug)]
pub(super) enum Kind {
    Bool,
    Int,
    Uint,
    Float,
    Bytes,
    Text,
    List(usize),
    Map(usize),
    Struct(Structure),
}

/// A structure or message.
#[derive(Debug)]
pub(super) struct Structure {
    pub(super) name: String,
    pub(super) members: Vec<Member>,
}

/// One field.
#[derive(Debug)]
pub(super) struct Member {
    /// Its name in the [`serde_json::Value`], which is that in JSON.
    pub(super) name: String,
    /// Its name in Go.
    pub(super) go: String,
    /// The place of its type.
    pub(super) place: usize,
}

impl Layout {
    /// Lays out a shape. Lists, maps and structures are in the order in which Go numbers them.
    pub(super) fn of(shape: &Shape) -> Self {
        let scalars = [Kind::Bool, Kind::Int, Kind::Uint, Kind::Float, Kind::Bytes, Kind::Text];
        let types = scalars.into_iter().map(|kind| Type { label: String::new(), kind }).collect();
        let mut layout = Self { types, root: 0 };
        layout.root = layout.place(shape, shape.type_name().to_owned(), &mut HashMap::new());
        layout
    }

    /// The place of the shape's own type.
    pub(super) fn root(&self) -> usize {
        self.root
    }

    /// The type at a place that this layout gave out.
    pub(super) fn get(&self, place: usize) -> &Type {
        &self.types[place]
    }

    /// The type as written in Go, structures without their package.
    pub(super) fn go_type(&self, place: usize) -> String {
        match &self.get(place).kind {
            Kind::Bool => "bool".into(),
            Kind::Int => "int64".into(),
            Kind::Uint => "uint64".into(),
            Kind::Float => "float64".into(),
            Kind::Bytes => "[]uint8".into(),
            Kind::Text => "string".into(),
            Kind::List(items) => format!("[]{}", self.go_item(*items)),
            Kind::Map(items) => format!("map[string]{}", self.go_item(*items)),
            Kind::Struct(structure) => structure.name.clone(),
        }
    }

    /// In RoadRunner, structures in lists and maps are behind pointers.
    fn go_item(&self, place: usize) -> String {
        let pointer = if matches!(self.get(place).kind, Kind::Struct(_)) { "*" } else { "" };
        format!("{pointer}{}", self.go_type(place))
    }

    fn place(&mut self, shape: &Shape, label: String, known: &mut HashMap<Key, usize>) -> usize {
        match shape {
            Shape::Bool => 0,
            Shape::Int => 1,
            Shape::Uint => 2,
            Shape::Float => 3,
            Shape::Bytes => 4,
            Shape::Text => 5,
            Shape::List(items) => {
                let items = self.place(items, String::new(), known);
                *known.entry(Key::List(items)).or_insert_with(|| self.push(label, Kind::List(items)))
            }
            Shape::Map(items) => {
                let items = self.place(items, String::new(), known);
                *known.entry(Key::Map(items)).or_insert_with(|| self.push(label, Kind::Map(items)))
            }
            Shape::Struct(structure) => {
                self.place_fields(shape, label, Key::Struct(Arc::as_ptr(structure) as usize), known)
            }
            Shape::Message(message) => {
                self.place_fields(shape, label, Key::Message(message.full_name().to_owned()), known)
            }
        }
    }

    /// A structure gets its place before its fields do, since they may refer back to it.
    fn place_fields(
        &mut self,
        shape: &Shape,
        label: String,
        key: Key,
        known: &mut HashMap<Key, usize>,
    ) -> usize {
        if let Some(place) = known.get(&key) {
            return *place;
        }
        let structure = |members| Structure { name: shape.type_name().to_owned(), members };
        let place = self.push(label, Kind::Struct(structure(Vec::new())));
        known.insert(key, place);
        let mut members = Vec::new();
        for field in shape.fields().unwrap_or_default() {
            let place = self.place_field(&field.shape, known);
            members.push(Member { name: field.name, go: field.go, place });
        }
        self.types[place].kind = Kind::Struct(structure(members));
        place
    }

    fn place_field(&mut self, shape: &Shape, known: &mut HashMap<Key, usize>) -> usize {
        let before = self.types.len();
        let place = self.place(shape, shape.type_name().to_owned(), known);
        if place >= before && !matches!(self.get(place).kind, Kind::Struct(_)) {
            self.types[place].label = self.go_type(place);
        }
        place
    }

    fn push(&mut self, label: String, kind: Kind) -> usize {
        self.types.push(Type { label, kind });
        self.types.len() - 1
    }
}

/// What makes two shapes the same type.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key {
    List(usize),
    Map(usize),
    /// Its address: two structures may have the same name.
    Struct(usize),
    Message(String),
}
