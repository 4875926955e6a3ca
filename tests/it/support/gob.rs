//! Reads what Go's `encoding/gob` reads: a stream that brings its own type definitions. Written from the format's description and from
//! nothing of the server's, so that one checks the other. Whatever is not as it must be panics.
//!
//! Source: <https://pkg.go.dev/encoding/gob#hdr-Encoding_Details>.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// One value with the types in front of it; a struct's fields that are not sent stay away, as they are zero.
pub fn decode(bytes: &[u8]) -> Value {
    let mut types = HashMap::new();
    let mut stream = Reader(bytes);
    loop {
        let length = stream.size();
        let mut message = Reader(stream.take(length));
        let id = message.int();
        if id < 0 {
            types.insert(-id, message.definition());
            assert!(message.0.is_empty(), "{} bytes follow a type definition", message.0.len());
            continue;
        }
        if !matches!(types.get(&id), Some(Type::Struct(_))) {
            assert_eq!(message.uint(), 0, "a value that is no struct has a zero in front");
        }
        let value = message.value(id, &types);
        assert!(message.0.is_empty() && stream.0.is_empty(), "bytes follow the value");
        return value;
    }
}

enum Type {
    Slice(i64),
    Struct(Vec<(String, i64)>),
    Map(i64, i64),
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn uint(&mut self) -> u64 {
        let first = self.take(1)[0];
        if first < 0x80 {
            return first.into();
        }
        self.take(usize::from(first.wrapping_neg()))
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    fn size(&mut self) -> usize {
        self.uint().try_into().unwrap()
    }

    fn int(&mut self) -> i64 {
        let value = self.uint();
        let half = (value >> 1).cast_signed();
        if value & 1 == 1 { !half } else { half }
    }

    fn text(&mut self) -> String {
        let length = self.size();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    /// The numbers of the fields that are sent, ascending, with a call for each.
    fn fields(&mut self, mut field: impl FnMut(&mut Self, u64)) {
        let mut number = 0;
        loop {
            match self.uint() {
                0 => return,
                delta => number += delta,
            }
            field(self, number);
        }
    }

    /// A `wireType`: one field says which kind of type it is.
    fn definition(&mut self) -> Type {
        let mut found = None;
        self.fields(|reader, kind| {
            let (mut ids, mut members) = (Vec::new(), Vec::new());
            reader.fields(|reader, number| match (kind, number) {
                // The name and the number of the type, which the message in front of it said already.
                (_, 1) => reader.fields(|reader, number| match number {
                    1 => assert!(reader.text().is_ascii()),
                    _ => assert_ne!(reader.int(), 0),
                }),
                (3, 2) => (0..reader.uint()).for_each(|_| {
                    let (mut name, mut id) = (String::new(), 0);
                    reader.fields(|reader, number| match number {
                        1 => name = reader.text(),
                        _ => id = reader.int(),
                    });
                    members.push((name, id));
                }),
                _ => ids.push(reader.int()),
            });
            found = Some(match kind {
                2 => Type::Slice(ids[0]),
                3 => Type::Struct(members),
                4 => Type::Map(ids[0], ids[1]),
                _ => panic!("types of kind {kind} are not expected"),
            });
        });
        found.expect("a type definition without a type")
    }

    fn value(&mut self, id: i64, types: &HashMap<i64, Type>) -> Value {
        match id {
            1 => json!(self.uint() == 1),
            2 => json!(self.int()),
            3 => json!(self.uint()),
            4 => json!(f64::from_bits(self.uint().swap_bytes())),
            5 | 6 => json!(self.text()),
            _ => match &types[&id] {
                Type::Slice(element) => (0..self.uint()).map(|_| self.value(*element, types)).collect(),
                Type::Map(key, element) => {
                    let mut object = Map::new();
                    for _ in 0..self.uint() {
                        let Value::String(name) = self.value(*key, types) else { panic!("a key is no text") };
                        object.insert(name, self.value(*element, types));
                    }
                    object.into()
                }
                Type::Struct(members) => {
                    let mut object = Map::new();
                    self.fields(|reader, number| {
                        let (name, id) = &members[usize::try_from(number).unwrap() - 1];
                        object.insert(name.clone(), reader.value(*id, types));
                    });
                    object.into()
                }
            },
        }
    }
}
