//! The fields of a line. Each value is JSON text: numbers stay as they were written, of which a parsed value would keep only what fits into
//! an f64.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// Nesting of a value; readers of JSON have such a limit too.
const MAX_DEPTH: usize = 127;

/// Names and values, in order; each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Fields(IndexMap<String, String>);

impl Fields {
    /// Reads a JSON object; of entries with the same name, the last one counts. `None` for any other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn insert(&mut self, name: impl Into<String>, value: &Value) {
        self.0.insert(name.into(), value.to_string());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The JSON text of a value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<String> {
        self.0.shift_remove(name)
    }

    /// Adds all fields of `more`, which replace those with the same names.
    pub(super) fn extend(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Puts `fields.` in front of names that are taken, so that readers do not mistake them for others.
    pub(super) fn rename(self, is_taken: impl Fn(&str) -> bool) -> Self {
        if !self.0.keys().any(|name| is_taken(name)) {
            return self;
        }
        let rename = |(name, value): (String, String)| {
            (if is_taken(&name) { format!("fields.{name}") } else { name }, value)
        };
        Self(self.0.into_iter().map(rename).collect())
    }

    /// Names and values, as texts: of a JSON string its content, of null what Go writes, of others the JSON.
    pub(super) fn texts(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        self.0.iter().map(|(name, value)| {
            let text = match value.as_bytes().first() {
                Some(b'"') => serde_json::from_str::<String>(value).map_or(value.into(), Cow::Owned),
                Some(b'n') => "<nil>".into(),
                _ => value.into(),
            };
            (name.as_str(), text)
        })
    }

    /// A JSON object with these fields behind its own. They must not shadow its own: of two with one name, readers take the last.
    pub(super) fn behind(self, object: Map<String, Value>) -> String {
        let fields = self.rename(|name| object.contains_key(name));
        let mut text = Value::Object(object).to_string();
        if !fields.is_empty() {
            text.pop();
            text.push(',');
            text.push_str(&fields.write(false));
            text.push('}');
        }
        text
    }

    /// The entries of a JSON object, without its braces. A space follows each colon and comma if `spaced` is true, as zap's console encoder
    /// writes it.
    pub(super) fn write(&self, spaced: bool) -> String {
        let mut out = String::new();
        for (name, value) in &self.0 {
            if !out.is_empty() {
                out.push_str(if spaced { ", " } else { "," });
            }
            out.push_str(&Value::from(name.as_str()).to_string());
            out.push_str(if spaced { ": " } else { ":" });
            if spaced { push_spaced(&mut out, value) } else { out.push_str(value) }
        }
        out
    }
}

impl FromIterator<(String, Value)> for Fields {
    fn from_iter<T: IntoIterator<Item = (String, Value)>>(fields: T) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name, value.to_string())).collect())
    }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = IndexMap::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    let value =
                        compact(value.get()).ok_or_else(|| serde::de::Error::custom("unusual JSON"))?;
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

/// Valid JSON without blanks and with its strings in serde's form; `None` if it has half a character or is nested too deeply.
fn compact(json: &str) -> Option<String> {
    let (mut out, mut rest, mut depth) = (String::with_capacity(json.len()), json, 0);
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => {
                let string = &rest[..string_length(rest)];
                if string.contains('\\') {
                    out.push_str(&Value::from(serde_json::from_str::<String>(string).ok()?).to_string());
                } else {
                    out.push_str(string);
                }
                rest = &rest[string.len()..];
                continue;
            }
            b' ' | b'\t' | b'\r' | b'\n' => {
                rest = &rest[1..];
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                1
            }
            b'}' | b']' => {
                depth -= 1;
                1
            }
            _ => rest.find(['"', ' ', '\t', '\r', '\n', '{', '[', '}', ']']).unwrap_or(rest.len()),
        };
        if depth > MAX_DEPTH {
            return None;
        }
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Some(out)
}

/// Appends compact JSON with a space after each colon and comma.
fn push_spaced(out: &mut String, json: &str) {
    let mut rest = json;
    while let Some(at) = rest.find(['"', ':', ',']) {
        let end = if rest[at..].starts_with('"') { at + string_length(&rest[at..]) } else { at + 1 };
        out.push_str(&rest[..end]);
        if !rest[at..].starts_with('"') {
            out.push(' ');
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
}

/// The length of the string, quotes included, with which valid JSON begins.
fn string_length(json: &str) -> usize {
    let bytes = json.as_bytes();
    let mut at = 1;
    while let Some(found) = memchr::memchr2(b'"', b'\\', bytes.get(at..).unwrap_or_default()) {
        if bytes[at + found] == b'"' {
            return at + found + 1;
        }
        at += found + 2;
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_as_they_were_written() {
        for number in [
            "0",
            "-0",
            "1.10",
            "1E5",
            "1e+05",
            "-0.0",
            "1e400",
            "18446744073709551616",
            "-9223372036854775809",
            "123456789012345678901234567890",
            "0.1000000000000000055",
            "3.141592653589793238462643383279",
            "5e-324",
        ] {
            let fields =
                Fields::parse(&format!("{{\"n\":{number}, \"a\" : [ {number},\t{{\"b\":{number}}}]}}"));
            let fields = fields.unwrap();
            let compact = format!("\"n\":{number},\"a\":[{number},{{\"b\":{number}}}]");
            assert_eq!(fields.write(false), compact);
            let spaced = format!("\"n\": {number}, \"a\": [{number}, {{\"b\": {number}}}]");
            assert_eq!(fields.write(true), spaced);
        }
    }

    #[test]
    fn other_values_are_written_as_serde_writes_them() {
        for text in [
            r#"{"a":"\u00e4\/\n\u0001\\ \"q\":,[{","b":null,"c":[],"d":{},"e":[true , false]}"#,
            r#"{"":"x,y: z","a":{"b\"c":[1,[2,{"d":"\\"}]]}}"#,
            r#"{"a":1,"b":2,"a":"3"}"#,
            "{}",
        ] {
            let value: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
            let fields = Fields::parse(text).unwrap();
            assert_eq!(format!("{{{}}}", fields.write(false)), Value::Object(value).to_string());
        }
    }

    #[test]
    fn other_texts_are_no_fields() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(128), "]".repeat(128));
        for text in ["", "x", "1", "[1]", "{", r#"{"a":01}"#, r#"{"a":1}x"#, r#"{"a":"\ud800"}"#, &deep] {
            assert_eq!(Fields::parse(text), None, "{text}");
        }
    }

    #[test]
    fn any_text_that_is_an_object_for_serde_is_one_here() {
        bolero::check!().with_type::<String>().with_iterations(20_000).for_each(|text| {
            for text in
                [text.clone(), format!("{{{text}}}"), format!("{{\"a\":{}}}", Value::from(text.as_str()))]
            {
                let theirs = serde_json::from_str::<serde_json::Map<String, Value>>(&text);
                let ours = Fields::parse(&text);
                assert!(theirs.is_err() || ours.is_some(), "{text:?}");
                for spaced in [false, true] {
                    let written = ours.as_ref().map(|fields| format!("{{{}}}", fields.write(spaced)));
                    assert!(written.is_none_or(|text| Fields::parse(&text) == ours), "{text:?}");
                }
            }
        });
    }
}
