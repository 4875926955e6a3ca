//! From the tree to the components' `Config` structs.
//!
//! A lenient serde deserialiser: after expansion every value is text, so `"4"` is a number where one is wanted, `on` a truth value, and a
//! word a list of one. Since serde tells which fields a struct has, keys that it does not know become warnings here, with the nearest
//! one that it knows, and no list of keys is kept anywhere.

use std::collections::HashSet;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{At, Node, Value};
use super::problems::Problems;
use super::shown;
use crate::duration::{self, Unit};

/// How much alike an unknown key and a known one must be for the known one to be suggested.
const ALIKE: f64 = 0.7;

/// Mistakes that are looked for in one section: each costs one more reading of it.
const MAX_MISTAKES: usize = 100;

/// Reads `node`, which stands at the dotted path `path`. What is wrong goes to `problems`, and counts as if it were not there: so every
/// mistake is found, and what comes out is of use for further checks.
pub(super) fn read<T: DeserializeOwned + Default>(node: &Node, path: &str, problems: &Problems) -> T {
    let mut wrong = HashSet::new();
    loop {
        // A reading that failed is repeated, and its warnings with it.
        let found = Problems::default();
        let reader = Reader { node, path: path.to_owned(), wrong: &wrong, problems: &found };
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
            // It is missing because it was wrong, which has been said.
            Some(key) if wrong.contains(&format!("{place}.{key}")) => {}
            Some(key) => problems.mistake(&at, Some(&format!("{place}.{key}")), error.message),
        }
        if place == path || wrong.len() == MAX_MISTAKES || !wrong.insert(place) {
            problems.append(found);
            return T::default();
        }
    }
}

/// The known key that an unknown one may have been meant to be.
pub(super) fn nearest<'a>(key: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let alike = known.into_iter().map(|other| {
        (strsim::normalized_damerau_levenshtein(key, other).max(strsim::jaro(key, other) - 0.1), other)
    });
    alike.filter(|(score, _)| *score >= ALIKE).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, other)| other)
}

/// Keys whose default allows more than any value: a variable that is empty by mistake must not let everybody in.
const NEVER_NOTHING: [&str; 1] = ["allow"];

/// One value, as serde sees it.
struct Reader<'a> {
    node: &'a Node,
    path: String,
    /// What was found to be wrong, and is not looked at again.
    wrong: &'a HashSet<String>,
    problems: &'a Problems,
}

/// What is wrong with a value, and with which one.
#[derive(Debug)]
struct Wrong {
    message: String,
    /// Whether the message is to end with what was found. It is added where the key is known: the value may be a secret.
    asks_what_was_found: bool,
    place: Option<(At, String)>,
    /// The key that is not there.
    missing: Option<&'static str>,
}

impl Wrong {
    fn expected(what: impl fmt::Display) -> Self {
        Self { asks_what_was_found: true, ..<Self as de::Error>::custom(format_args!("expected {what}")) }
    }

    fn at(self, reader: &Reader<'_>) -> Self {
        self.or_at(reader.node, reader.path.clone())
    }

    /// The innermost place is the right one: a later call changes nothing.
    fn or_at(self, node: &Node, path: String) -> Self {
        if self.place.is_some() {
            return self;
        }
        let message = if self.asks_what_was_found {
            format!("{}, found {}", self.message, shown::found(node, &path))
        } else {
            shown::without_value(self.message, node, &path)
        };
        Self { message, place: Some((node.at.clone(), path)), ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), asks_what_was_found: false, place: None, missing: None }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected)
    }

    fn missing_field(key: &'static str) -> Self {
        Self { missing: Some(key), ..Self::custom("it is missing") }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::expected(format_args!("one of {}", expected.join(", ")))
    }
}

impl<'a> Reader<'a> {
    fn child(&self, key: impl fmt::Display, node: &'a Node) -> Self {
        let path = if self.path.is_empty() { key.to_string() } else { format!("{}.{key}", self.path) };
        Self { node, path, wrong: self.wrong, problems: self.problems }
    }

    fn expected<T>(&self, what: &str) -> Result<T, Wrong> {
        Err(Wrong::expected(what).at(self))
    }

    /// What stands in place of a section may be all that was to stand in it: of words nothing is shown.
    fn expected_section<T>(&self) -> Result<T, Wrong> {
        let expected = "a section of `key: value` lines";
        match &self.node.value {
            Value::Scalar { text, shown: None, .. } if text.parse::<f64>().is_err() => {
                let message = format!("expected {expected}, found a text");
                Err(<Wrong as de::Error>::custom(message).at(self))
            }
            _ => self.expected(expected),
        }
    }

    /// Nanoseconds. A number without a unit that is small enough is taken for seconds, which earns a warning unless the key is one of
    /// seconds.
    fn duration(&self, is_of_seconds: bool) -> Result<u64, Wrong> {
        let Some(text) = self.node.text() else { return self.expected(duration::EXPECTED) };
        let (duration, unit) = duration::setting(text, is_of_seconds).map_err(|reason| {
            let mut wrong = Wrong::expected(duration::EXPECTED).at(self);
            // The reason quotes parts of the value.
            if self.node.reference().is_none() {
                wrong.message = format!("{}: {reason}", wrong.message);
            }
            wrong
        })?;
        if unit == Unit::Assumed {
            let hint = if self.node.reference().is_some() {
                let shown = shown::value(self.node, &self.path);
                format!("{shown} has no unit and is taken for seconds; write one, such as 10s")
            } else {
                let text = text.trim();
                // Not each way to write a number can have a unit behind it, as `1e3`.
                let is_go = duration::parse(&format!("{text}s")).is_ok();
                let number = if is_go { text.to_owned() } else { duration.as_secs_f64().to_string() };
                format!("{text} is taken for {number} seconds; write {number}s")
            };
            self.problems.warn(&self.node.at, Some(&self.path), hint);
        }
        Ok(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    fn number<T: std::str::FromStr>(&self, what: &str) -> Result<T, Wrong> {
        let text = self.node.text().map(|text| text.trim().replace('_', ""));
        let number =
            text.and_then(|text| text.parse().ok().or_else(|| whole(&text)?.to_string().parse().ok()));
        number.map_or_else(|| self.expected(what), Ok)
    }
}

/// The other ways to write a whole number in YAML and JSON: `0x10`, `0o20`, `0b10000`, `16.0`, `1.6e1`.
fn whole(text: &str) -> Option<u64> {
    let based = [("0x", 16), ("0o", 8), ("0b", 2)];
    let lower = text.to_ascii_lowercase();
    if let Some((digits, base)) =
        based.iter().find_map(|(prefix, base)| Some((lower.strip_prefix(prefix)?, *base)))
    {
        return u64::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with('+'));
    }
    // Larger floats do not hold each whole number.
    let number = lower.parse::<f64>().ok()?;
    let is_whole = number.fract() == 0.0 && (0.0..1e15).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    is_whole.then_some(number as u64)
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $what:literal;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
            let number = self.number::<$type>($what)?;
            visitor.$visit(number).map_err(|wrong: Wrong| wrong.at(&self))
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
        result.map_err(|wrong| wrong.at(&self))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let word = self.node.text().map(str::to_ascii_lowercase);
        match word.as_deref() {
            Some("true" | "yes" | "on" | "1" | "t" | "y") => visitor.visit_bool(true),
            Some("false" | "no" | "off" | "0" | "" | "f" | "n") => visitor.visit_bool(false),
            _ => self.expected("true or false"),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Scalar { text, .. } => visitor.visit_str(text).map_err(|wrong: Wrong| wrong.at(&self)),
            Value::Null => visitor.visit_str("").map_err(|wrong: Wrong| wrong.at(&self)),
            _ => self.expected("a word or text"),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
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
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_seq(Items::new(&self, &[])),
            Value::List(items) => visitor.visit_seq(Items::new(&self, items)),
            Value::Scalar { .. } => visitor.visit_seq(Items::new(&self, &self.node.split())),
            Value::Map(_) => visitor.visit_seq(Items::new(&self, std::slice::from_ref(self.node))),
        };
        result.map_err(|wrong| wrong.at(&self))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(&self, entries, None)),
            _ if self.node.is_nothing() => visitor.visit_map(Entries::new(&self, &[], None)),
            _ => return self.expected_section(),
        }
        .map_err(|wrong| wrong.at(&self))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.node.value {
            Value::Map(entries) => visitor.visit_map(Entries::new(&self, entries, Some(fields))),
            _ if self.node.is_nothing() => visitor.visit_map(Entries::new(&self, &[], Some(fields))),
            _ => return self.expected_section(),
        }
        .map_err(|wrong| wrong.at(&self))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        let Some(text) = self.node.text() else { return self.expected("a word") };
        let word = text.to_ascii_lowercase();
        visitor.visit_enum(StrDeserializer::<Wrong>::new(&word)).map_err(|wrong| wrong.at(&self))
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
            // What a variable left empty is no item: `[stderr, $FILE]` without a file is `[stderr]`.
            let is_item = keeps_all || node.reference().is_none() || !node.is_nothing();
            if is_item && !wrong.contains(&path) {
                let reader = Reader { node, path: path.clone(), wrong, problems };
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
        let hint = match nearest(key, fields.iter().copied()) {
            Some(known) => format!("unknown key; did you mean `{known}`?"),
            None => format!("unknown key; known here: {}", fields.join(", ")),
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
                Some(fields) if !fields.contains(&key.as_str()) => self.warn(key, node, fields),
                // An empty value is the same as none: the default holds.
                Some(_) if node.is_nothing() && !NEVER_NOTHING.contains(&key.as_str()) => {}
                _ => {
                    self.current = Some(entry);
                    let key = StrDeserializer::<Wrong>::new(key);
                    let named = |wrong: Wrong| Wrong { place: Some((node.at.clone(), path)), ..wrong };
                    return seed.deserialize(key).map(Some).map_err(named);
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
