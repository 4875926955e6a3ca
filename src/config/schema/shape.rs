//! What a type reads, found by asking serde: its derived code names the fields of a section, and each field's own code the kind of its value.
//!
//! No value is ever made: the probe notes what it is asked for, and fails. So each key costs one attempt, which follows the way to it.

use serde::de::value::{Error, StrDeserializer};
use serde::de::{self, Deserialize, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::duration;
use crate::worker::SCALAR;

/// The kind of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Keys that the type knows.
    Section(Vec<(&'static str, Shape)>),
    /// Names of the user's own.
    Entries(Box<Shape>),
    List(Box<Shape>),
    Word(Vec<&'static str>),
    Truth,
    Whole,
    Signed,
    Number,
    Duration,
    Text,
    /// One of several kinds, or none that matters.
    Any,
}

impl Shape {
    /// Returns the shape of what `T` reads.
    pub(super) fn of<'de, T: Deserialize<'de>>() -> Self {
        Self::at::<T>(&mut Vec::new())
    }

    /// The keys of a section.
    pub(super) fn into_keys(self) -> Vec<(&'static str, Self)> {
        match self {
            Self::Section(keys) => keys,
            _ => Vec::new(),
        }
    }

    fn at<'de, T: Deserialize<'de>>(way: &mut Vec<usize>) -> Self {
        let mut found = Found::Value(Self::Any);
        let probe = Probe { way, found: &mut found };
        // It fails, since there is nothing to read.
        let _ = T::deserialize(probe);
        let mut inner = |index| {
            way.push(index);
            let shape = Self::at::<T>(way);
            way.pop();
            shape
        };
        match found {
            Found::Section(fields) => {
                Self::Section(fields.iter().enumerate().map(|(index, name)| (*name, inner(index))).collect())
            }
            Found::Entries => Self::Entries(Box::new(inner(0))),
            Found::List => Self::List(Box::new(inner(0))),
            Found::Value(shape) => shape,
        }
    }
}

/// What a type asks for at the end of the way.
enum Found {
    Section(&'static [&'static str]),
    Entries,
    List,
    Value(Shape),
}

/// Follows `way`, the index of a field in each section (0 in lists and entries), and notes what is asked for at its end.
struct Probe<'a> {
    way: &'a [usize],
    found: &'a mut Found,
}

impl Probe<'_> {
    fn note<T>(self, found: Found) -> Result<T, Error> {
        *self.found = found;
        Err(de::Error::custom("nothing to read"))
    }
}

macro_rules! values {
    ($($shape:ident: $($method:ident)*;)*) => {
        $($(fn $method<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            self.note(Found::Value(Shape::$shape))
        })*)*
    };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    values! {
        Truth: deserialize_bool;
        Whole: deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64;
        Signed: deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64;
        Number: deserialize_f32 deserialize_f64;
        Text: deserialize_char deserialize_str deserialize_string;
        Any: deserialize_any deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match name {
            duration::SETTING | duration::SECONDS => self.note(Found::Value(Shape::Duration)),
            SCALAR => self.note(Found::Value(Shape::Text)),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.way.split_first() {
            None => self.note(Found::Section(fields)),
            Some((index, way)) => visitor.visit_map(Inner { key: fields[*index], way, found: self.found }),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.way.split_first() {
            None => self.note(Found::Entries),
            Some((_, way)) => visitor.visit_map(Inner { key: "name", way, found: self.found }),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.way.split_first() {
            None => self.note(Found::List),
            Some((_, way)) => visitor.visit_seq(Inner { key: "", way, found: self.found }),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        // It stands for any other word.
        let words = words.iter().copied().filter(|word| *word != "unknown").collect();
        self.note(Found::Value(Shape::Word(words)))
    }

    serde::forward_to_deserialize_any! { unit_struct tuple tuple_struct }
}

/// The one entry or item that the way leads through.
struct Inner<'a> {
    key: &'static str,
    way: &'a [usize],
    found: &'a mut Found,
}

impl<'de> MapAccess<'de> for Inner<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        seed.deserialize(StrDeserializer::new(self.key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(Probe { way: self.way, found: self.found })
    }
}

impl<'de> SeqAccess<'de> for Inner<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        seed.deserialize(Probe { way: self.way, found: self.found }).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    #[derive(serde::Deserialize)]
    #[serde(default)]
    struct Sample {
        words: Vec<Word>,
        inner: Option<BTreeMap<String, Leaf>>,
        #[serde(deserialize_with = "duration::deserialize")]
        time: Duration,
    }

    impl Default for Sample {
        fn default() -> Self {
            unreachable!()
        }
    }

    #[derive(serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        #[serde(alias = "first")]
        One,
        Two,
        #[serde(other)]
        Unknown,
    }

    #[derive(serde::Deserialize)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Leaf {
        required: bool,
        size: u16,
    }

    #[test]
    fn a_shape_is_what_the_derived_code_asks_for() {
        let leaf = Shape::Section(vec![("required", Shape::Truth), ("size", Shape::Whole)]);
        let words = Shape::List(Box::new(Shape::Word(vec!["first", "one", "two"])));
        let expected = Shape::Section(vec![
            ("words", words),
            ("inner", Shape::Entries(Box::new(leaf))),
            ("time", Shape::Duration),
        ]);
        let mut shape = Shape::of::<Sample>();
        if let Shape::Section(keys) = &mut shape
            && let Shape::List(words) = &mut keys[0].1
            && let Shape::Word(words) = &mut **words
        {
            words.sort_unstable();
        }
        assert_eq!(shape, expected);
    }
}
