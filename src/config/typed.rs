//! From the tree to the components' `Config` structs.
//!
//! A lenient serde deserialiser: after expansion every value is text, so `"4"` is a number where one is expected, `on` a truth value, and a
//! word a list of one. Since serde passes the fields of each struct, unknown keys become warnings here, with the nearest known one, and no
//! list of keys has to be kept.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;

use super::nearest::nearest;
use super::node::{Node, Value};
use super::problems::Problems;
use super::wrong::Wrong;
use super::{numbers, shown};
use crate::duration::{self, Unit};
use crate::net::SOCKET_SETTINGS;
use crate::worker::SCALAR;

/// Mistakes to find in one section: each costs one more pass over it.
const MAX_MISTAKES: usize = 100;

/// Reads `node`, at the dotted path `path`. Wrong values go to `problems` and are then read as if they were absent, so that every mistake
/// is found and the result can be checked further.
pub(super) fn read<T: DeserializeOwned + Default>(node: &Node, path: &str, problems: &Problems) -> T {
    read_part(node, path, &[], problems)
}

/// The same for a section that is read in parts: `keys` are those of all parts, and others are unknown.
pub(super) fn read_part<T: DeserializeOwned + Default>(
    node: &Node,
    path: &str,
    keys: &[&str],
    problems: &Problems,
) -> T {
    let mut wrong = HashSet::new();
    loop {
        // A failed pass is repeated, and its warnings with it.
        let found = Problems::default();
        let reader = Reader { node, path: path.to_owned(), keys, wrong: &wrong, problems: &found };
        let error = match T::deserialize(reader) {
            Ok(value) => {
                problems.append(found);
                return value;
            }
            Err(error) => error,
        };
        let (at, place) = error.place.unwrap_or_else(|| (node.at.clone(), path.to_owned()));
        match error.missing {
            None => problems.mistake(&at, Some(&place), error.message),
            // It is missing because it was wrong, which has been reported.
            Some(key) if wrong.contains(&format!("{place}.{key}")) => {}
            Some(key) => problems.mistake(&at, Some(&format!("{place}.{key}")), error.message),
        }
        if place == path || wrong.len() == MAX_MISTAKES || !wrong.insert(place) {
            problems.append(found);
            return T::default();
        }
    }
}

/// Returns the keys of a section.
pub(super) fn keys<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    // It fails, since there is nothing to read.
    let _ = T::deserialize(Keys(&mut keys));
    keys
}

/// Takes the keys that a struct asks for.
struct Keys<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Keys<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a section"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        Err(de::Error::custom("nothing to read"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq tuple
        tuple_struct map enum identifier ignored_any
    }
}

/// Keys whose default allows more than any value: a variable that is empty by mistake must not let everyone in.
const NEVER_NOTHING: [&str; 4] = [".allow", ".client_auth_type", "rpc.methods", "rpc.operators.methods"];

/// Sections that protect a listener. A variable in their place that is empty by mistake must not switch them off.
const PROTECTING: [&str; 7] = [
    "proxy_credentials",
    "proxy_tls",
    ".basic_auth",
    "rpc.tls",
    "rpc.operators.tls",
    "status.tls",
    "metrics.tls",
];

/// Whether a variable that is empty stands in place of such a section.
fn is_unprotected(path: &str, node: &Node) -> bool {
    node.is_nothing() && node.reference().is_some() && PROTECTING.iter().any(|key| path.ends_with(key))
}

/// Keys with one text or a list of them, in which a comma is no separator.
const WITH_COMMAS: [&str; 1] = ["proxy_credentials.value"];

/// The form of a section, for messages.
const SECTION: &str = "a section of `key: value` lines";

/// One value, as serde sees it.
struct Reader<'a> {
    node: &'a Node,
    path: String,
    /// The keys of all parts of a section that is read in parts.
    keys: &'a [&'a str],
    /// Paths that were found to be wrong and are skipped.
    wrong: &'a HashSet<String>,
    problems: &'a Problems,
}

impl<'a> Reader<'a> {
    fn child(&self, key: impl fmt::Display, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) };
        Self { node, path, keys: &[], wrong: self.wrong, problems: self.problems }
    }

    /// Adds this value's place to an error.
    fn wrong_here(&self, wrong: Wrong) -> Wrong {
        wrong.or_at(self.node, self.path.clone())
    }

    fn expected<T>(&self, what: &str) -> Result<T, Wrong> {
        Err(self.wrong_here(Wrong::expected(what)))
    }

    /// A text in place of a section may be the section's content with a syntax error, so it is not shown.
    fn expected_section<T>(&self, expected: &str) -> Result<T, Wrong> {
        match &self.node.value {
            Value::Scalar { text, shown: None, .. } if text.parse::<f64>().is_err() => {
                let message = format!("expected {expected}, found text");
                Err(self.wrong_here(<Wrong as de::Error>::custom(message)))
            }
            _ => self.expected(expected),
        }
    }

    /// Reads a duration, in nanoseconds. A small number without a unit is read as seconds, with a warning unless the key is in seconds.
    fn duration(&self, is_of_seconds: bool) -> Result<u64, Wrong> {
        let Some(text) = self.node.text() else { return self.expected(duration::EXPECTED) };
        let (duration, unit) = duration::setting(text, is_of_seconds).map_err(|reason| {
            let mut wrong = self.wrong_here(Wrong::expected(duration::EXPECTED));
            // The reason quotes parts of the value.
            if self.node.reference().is_none() {
                wrong.message = format!("{}: {reason}", wrong.message);
            }
            wrong
        })?;
        if unit == Unit::Assumed {
            let hint = if self.node.reference().is_some() {
                let shown = shown::value(self.node, &self.path);
                format!("{shown} has no unit and is read as seconds; write a unit, such as 10s")
            } else {
                let text = text.trim();
                // Some notations cannot have a unit appended, such as `1e3`.
                let is_go = duration::parse(&format!("{text}s")).is_ok();
                let number = if is_go { text.to_owned() } else { duration.as_secs_f64().to_string() };
                format!("{text} is read as {number} seconds; write {number}s")
            };
            self.problems.warn(&self.node.at, Some(&self.path), hint);
        }
        Ok(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    /// The text that RoadRunner makes of a number or truth value without quotes. A flag's value is a text.
    fn plain_text(&self) -> Option<String> {
        match &self.node.value {
            Value::Scalar { text, plain: true, .. } if self.node.at.line > 0 => numbers::plain_text(text),
            _ => None,
        }
    }

    fn number<T: std::str::FromStr>(&self, what: &str) -> Result<T, Wrong> {
        self.node.text().and_then(numbers::number).map_or_else(|| self.expected(what), Ok)
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let number = self.number::<$type>($what)?;
            visitor.$visit(number).map_err(|wrong| self.wrong_here(wrong))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Wrong;

    numbers! {
        deserialize_u8 visit_u8 u8, "a whole number from 0 to 255";
        deserialize_u16 visit_u16 u16, "a whole number from 0 to 65535";
        deserialize_u32 visit_u32 u32, "a whole number";
        deserialize_u64 visit_u64 u64, "a whole number";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Scalar { text, plain: true, .. } => match (text.parse::<u64>(), text.as_str()) {
                (Ok(number), _) => visitor.visit_u64(number),
                (_, "true" | "True" | "TRUE") => visitor.visit_bool(true),
                (_, "false" | "False" | "FALSE") => visitor.visit_bool(false),
                _ => visitor.visit_str(text),
            },
            Value::Scalar { text, plain: false, .. } => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items::new(&self, items)),
            Value::Map(entries) => visitor.visit_map(Entries::new(&self, entries, None)),
        };
        result.map_err(|wrong| self.wrong_here(wrong))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.node.text().and_then(numbers::truth) {
            Some(truth) => visitor.visit_bool(truth),
            None => self.expected("true or false"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Scalar { text, .. } => visitor.visit_str(text).map_err(|wrong| self.wrong_here(wrong)),
            Value::Null => visitor.visit_str("").map_err(|wrong| self.wrong_here(wrong)),
            _ => self.expected("a word or text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        if is_unprotected(&self.path, self.node) {
            return self.expected(SECTION);
        }
        if self.node.is_nothing() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match name {
            duration::SETTING => visitor.visit_u64(self.duration(false)?),
            duration::SECONDS => visitor.visit_u64(self.duration(true)?),
            SCALAR => match self.plain_text() {
                Some(text) => visitor.visit_str(&text).map_err(|wrong| self.wrong_here(wrong)),
                None => self.deserialize_str(visitor),
            },
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_seq(Items::new(&self, &[])),
            Value::List(items) => visitor.visit_seq(Items::new(&self, items)),
            Value::Scalar { .. } if !WITH_COMMAS.iter().any(|key| self.path.ends_with(key)) => {
                visitor.visit_seq(Items::new(&self, &self.node.split()))
            }
            Value::Scalar { .. } | Value::Map(_) => {
                visitor.visit_seq(Items::new(&self, std::slice::from_ref(self.node)))
            }
        };
        result.map_err(|wrong| self.wrong_here(wrong))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(&self, entries, None)),
            _ if self.node.is_nothing() => visitor.visit_map(Entries::new(&self, &[], None)),
            _ => return self.expected_section(SECTION),
        }
        .map_err(|wrong| self.wrong_here(wrong))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(&self, entries, Some(fields))),
            _ if self.node.is_nothing() => visitor.visit_map(Entries::new(&self, &[], Some(fields))),
            _ if name == SOCKET_SETTINGS => return self.expected_section("a map"),
            _ => return self.expected_section(SECTION),
        }
        .map_err(|wrong| self.wrong_here(wrong))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Some(text) = self.node.text() else { return self.expected("a word") };
        let word = text.to_ascii_lowercase();
        visitor.visit_enum(StrDeserializer::<Wrong>::new(&word)).map_err(|wrong| self.wrong_here(wrong))
    }

    forward_to_deserialize_any! {
        i8 i16 i32 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

struct Items<'a> {
    parent: &'a Reader<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
}

impl<'a> Items<'a> {
    fn new(parent: &'a Reader<'a>, items: &'a [Node]) -> Self {
        Self { parent, items: items.iter().enumerate() }
    }
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Wrong;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Wrong> {
        let Reader { path, wrong, problems, .. } = self.parent;
        let keeps_all = NEVER_NOTHING.iter().any(|key| path.ends_with(key));
        for (index, node) in self.items.by_ref() {
            let path = format!("{path}[{index}]");
            // An item that a variable left empty is left out: `[stderr, $FILE]` without a file is `[stderr]`.
            let is_item = keeps_all || node.reference().is_none() || !node.is_nothing();
            if is_item && !wrong.contains(&path) {
                let reader = Reader { node, path: path.clone(), keys: &[], wrong, problems };
                return seed.deserialize(reader).map(Some).map_err(|wrong| wrong.or_at(node, path));
            }
        }
        Ok(None)
    }
}

struct Entries<'a> {
    parent: &'a Reader<'a>,
    entries: std::slice::Iter<'a, (String, Node)>,
    current: Option<&'a (String, Node)>,
    fields: Option<&'static [&'static str]>,
}

impl<'a> Entries<'a> {
    fn new(
        parent: &'a Reader<'a>,
        entries: &'a [(String, Node)],
        fields: Option<&'static [&'static str]>,
    ) -> Self {
        Self { parent, entries: entries.iter(), current: None, fields }
    }

    fn warn(&self, key: &str, node: &Node, fields: &'static [&'static str]) {
        let parts = self.parent.keys;
        let fields = if parts.is_empty() { fields } else { parts };
        let hint = match nearest(key, fields.iter().copied()) {
            Some(known) => format!("unknown key; did you mean `{known}`?"),
            None => format!("unknown key; known keys: {}", fields.join(", ")),
        };
        let path = self.parent.child(key, node).path;
        self.parent.problems.warn(&node.at, Some(&path), hint);
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Wrong> {
        while let Some(entry) = self.entries.next() {
            let (key, node) = entry;
            let path = self.parent.child(key, node).path;
            match self.fields {
                _ if self.parent.wrong.contains(&path) => {}
                Some(fields) if !fields.contains(&key.as_str()) => {
                    if !self.parent.keys.contains(&key.as_str()) {
                        self.warn(key, node, fields);
                    }
                }
                // An empty value is the same as none: the default applies.
                Some(_)
                    if node.is_nothing()
                        && !NEVER_NOTHING.iter().any(|never| path.ends_with(never))
                        && !is_unprotected(&path, node) => {}
                _ => {
                    self.current = Some(entry);
                    let key = StrDeserializer::<Wrong>::new(key);
                    return seed.deserialize(key).map(Some).map_err(|mut wrong: Wrong| {
                        // The key is wrong, not its value.
                        wrong.place = Some((node.at.clone(), path));
                        wrong
                    });
                }
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let (key, node) = self.current.take().ok_or_else(|| de::Error::custom("a value without its key"))?;
        let reader = self.parent.child(key, node);
        let path = reader.path.clone();
        seed.deserialize(reader).map_err(|wrong| wrong.or_at(node, path))
    }
}
