//! Requests: from protobuf to JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{InvalidRequest, Malformed};
use super::shape::{Base64, Field, Kind, Label, MAX_FIELDS, Message};
use super::text::{MAX_TYPED_DEPTH, is_json, plain};
use crate::protobuf::{self, Fields, Value};

/// What JSON adds to most requests: their fields' names.
const NAMES: usize = 192;

/// Entries of a map, at most: each takes more memory here than in a message, which may consist of empty ones.
const MAX_ENTRIES: usize = 65_536;

impl Message {
    /// Converts a message of this type from protobuf to JSON of at most `limit` bytes.
    ///
    /// # Errors
    /// See [`InvalidRequest`].
    pub(crate) fn to_json(&'static self, protobuf: &[u8], limit: usize) -> Result<Vec<u8>, InvalidRequest> {
        let mut writer = Writer { out: Vec::with_capacity(protobuf.len() + NAMES), limit };
        let written = writer.message(self, protobuf, 1);
        written.map_err(|error| match error {
            Error::Malformed(cause) => InvalidRequest::Malformed { message: self.name, cause },
            Error::TooLarge => InvalidRequest::TooLarge { limit },
        })?;
        Ok(writer.out)
    }
}

enum Error {
    Malformed(Malformed),
    TooLarge,
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<protobuf::Malformed> for Error {
    fn from(malformed: protobuf::Malformed) -> Self {
        Self::Malformed(malformed.into())
    }
}

/// Where a field is in its message.
#[derive(Clone, Copy)]
struct Occurrences<'a> {
    /// The message from the first one on.
    from: Fields<'a>,
    /// The last one, which is the value of a field that is no list.
    last: Value<'a>,
    is_only: bool,
}

/// Where each field of a message is.
struct Found<'a> {
    message: &'static Message,
    fields: [Option<Occurrences<'a>>; MAX_FIELDS],
}

/// The object that is being written.
#[derive(Clone, Copy)]
struct Object {
    /// Where its first field begins.
    begin: usize,
    depth: usize,
}

struct Writer {
    out: Vec<u8>,
    limit: usize,
}

impl Writer {
    /// Writes a message that is `depth` levels deep.
    fn message(&mut self, message: &'static Message, protobuf: &[u8], depth: usize) -> Result<(), Error> {
        if depth > MAX_TYPED_DEPTH {
            return Err(Malformed::TooDeep.into());
        }
        let found = Found::new(message, protobuf)?;
        self.put(b"{")?;
        let object = Object { begin: self.out.len(), depth };
        for (field, occurrences) in message.fields.iter().zip(&found.fields) {
            match (field.label, field.kind, occurrences) {
                (Label::Always, _, None) => self.text(field, object, b"")?,
                (_, _, None) => {}
                (Label::Repeated, _, Some(occurrences)) => self.list(field, object, occurrences.from)?,
                (Label::Map, _, Some(occurrences)) => self.map(field, object, occurrences.from)?,
                (_, Kind::Json(base64), Some(Occurrences { last: Value::Bytes(bytes), .. })) => {
                    self.json(field, base64, object, bytes, &found)?;
                }
                (_, _, Some(occurrences)) => self.single(field, object, occurrences)?,
            }
        }
        self.put(b"}")
    }

    /// Writes bytes as they are if they are JSON, and in base64 otherwise.
    fn json(
        &mut self,
        field: &'static Field,
        base64: Base64,
        object: Object,
        bytes: &[u8],
        found: &Found<'_>,
    ) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !(base64.is_field && found.has("encoding", b"binary")) && is_json(bytes, object.depth) {
            self.name(field.name, object)?;
            return self.put(bytes);
        }
        if base64.is_field && !found.has(base64.name, b"") {
            return Err(Malformed::NotJson(field.name).into());
        }
        self.base64(base64.name, object, bytes)
    }

    /// Writes a field that is no list.
    fn single(
        &mut self,
        field: &'static Field,
        object: Object,
        occurrences: &Occurrences<'_>,
    ) -> Result<(), Error> {
        match (field.kind, occurrences.last) {
            (Kind::Message(inner), Value::Bytes(bytes)) => {
                self.name(field.name, object)?;
                if occurrences.is_only {
                    return self.message(inner, bytes, object.depth + 1);
                }
                // What occurs again is merged, and to merge messages is to concatenate them.
                let merged = concatenated(field.number, occurrences.from)?;
                self.message(inner, &merged, object.depth + 1)
            }
            (_, Value::Bytes(b"")) if field.label == Label::Optional => Ok(()),
            (_, Value::Bytes(text)) => self.text(field, object, text),
            (kind, Value::Varint(value)) => {
                let Some(text) = integer(kind, value) else { return Ok(()) };
                self.name(field.name, object)?;
                self.put(text.as_bytes())
            }
            (_, Value::Fixed) => Ok(()),
        }
    }

    /// Writes all occurrences of a field.
    fn list(&mut self, field: &'static Field, object: Object, from: Fields<'_>) -> Result<(), Error> {
        self.name(field.name, object)?;
        self.put(b"[")?;
        let begin = self.out.len();
        for bytes in occurrences(from, field.number) {
            self.comma(begin)?;
            self.element(field, bytes?, object.depth + 1)?;
        }
        self.put(b"]")
    }

    /// Writes a map in the order of its keys, as Go does.
    fn map(&mut self, field: &'static Field, object: Object, from: Fields<'_>) -> Result<(), Error> {
        let mut entries: Vec<(&[u8], &[u8])> = Vec::new();
        for entry in occurrences(from, field.number) {
            if entries.len() == MAX_ENTRIES {
                return Err(Malformed::TooMany(field.name).into());
            }
            entries.push(entry_of(entry?)?);
        }
        // Stable: of entries with the same key, the last one counts.
        entries.sort_by_key(|(key, _)| *key);
        self.name(field.name, object)?;
        self.put(b"{")?;
        let begin = self.out.len();
        for (index, (key, value)) in entries.iter().enumerate() {
            if entries.get(index + 1).is_some_and(|(next, _)| next == key) {
                continue;
            }
            self.comma(begin)?;
            self.string(field, key)?;
            self.put(b":")?;
            self.element(field, value, object.depth + 1)?;
        }
        self.put(b"}")
    }

    /// Writes an element of a list or map. Those of Centrifugo's messages are texts and messages.
    fn element(&mut self, field: &'static Field, bytes: &[u8], depth: usize) -> Result<(), Error> {
        match field.kind {
            Kind::Message(inner) => self.message(inner, bytes, depth + 1),
            _ => self.string(field, bytes),
        }
    }

    fn text(&mut self, field: &'static Field, object: Object, text: &[u8]) -> Result<(), Error> {
        self.name(field.name, object)?;
        self.string(field, text)
    }

    fn base64(&mut self, name: &str, object: Object, bytes: &[u8]) -> Result<(), Error> {
        self.name(name, object)?;
        self.put(b"\"")?;
        let (at, length) = (self.out.len(), bytes.len().div_ceil(3) * 4);
        if length > self.limit.saturating_sub(at) {
            return Err(Error::TooLarge);
        }
        self.out.resize(at + length, 0);
        // It has exactly this length.
        let _ = STANDARD.encode_slice(bytes, &mut self.out[at..]);
        self.put(b"\"")
    }

    fn name(&mut self, name: &str, object: Object) -> Result<(), Error> {
        self.comma(object.begin)?;
        self.put(b"\"")?;
        self.put(name.as_bytes())?;
        self.put(b"\":")
    }

    /// Writes a comma, unless nothing is written behind `begin` yet.
    fn comma(&mut self, begin: usize) -> Result<(), Error> {
        if self.out.len() > begin { self.put(b",") } else { Ok(()) }
    }

    fn string(&mut self, field: &'static Field, text: &[u8]) -> Result<(), Error> {
        if str::from_utf8(text).is_err() {
            return Err(Malformed::NotUtf8(field.name).into());
        }
        self.put(b"\"")?;
        let mut rest = text;
        loop {
            let (stretch, after) = rest.split_at(plain(rest));
            self.put(stretch)?;
            let Some((special, after)) = after.split_first() else { break };
            self.escape(*special)?;
            rest = after;
        }
        self.put(b"\"")
    }

    fn escape(&mut self, byte: u8) -> Result<(), Error> {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        match byte {
            b'"' => self.put(b"\\\""),
            b'\\' => self.put(b"\\\\"),
            0x08 => self.put(b"\\b"),
            0x0c => self.put(b"\\f"),
            b'\n' => self.put(b"\\n"),
            b'\r' => self.put(b"\\r"),
            b'\t' => self.put(b"\\t"),
            _ => self.put(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 0x0f)],
            ]),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() > self.limit.saturating_sub(self.out.len()) {
            return Err(Error::TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

impl<'a> Found<'a> {
    /// Finds the fields of a message. As in every decoder, a field of another wire type is an unknown one.
    fn new(message: &'static Message, protobuf: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields: [Option<Occurrences<'a>>; MAX_FIELDS] = [None; MAX_FIELDS];
        let mut rest = Fields::of(protobuf);
        loop {
            let from = rest;
            let Some(found) = rest.next() else { return Ok(Self { message, fields }) };
            let protobuf::Field { number, value, .. } = found?;
            let Some(index) = message.numbered(number) else { continue };
            let is_varint = matches!(value, Value::Varint(_));
            if value == Value::Fixed || is_varint != message.fields[index].kind.is_varint() {
                continue;
            }
            let first = fields[index].map(|occurrences| occurrences.from);
            fields[index] =
                Some(Occurrences { from: first.unwrap_or(from), last: value, is_only: first.is_none() });
        }
    }

    /// Whether the field `name` has this text.
    fn has(&self, name: &str, text: &[u8]) -> bool {
        let index = self.message.fields.iter().position(|field| field.name == name);
        let found = index.and_then(|index| self.fields[index]).map_or(Value::Bytes(b""), |field| field.last);
        found == Value::Bytes(text)
    }
}

/// The contents of all fields with this number.
fn occurrences(from: Fields<'_>, number: u32) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    from.filter_map(move |field| match field {
        Ok(field) if field.number != number => None,
        Ok(field) => field.bytes().map(Ok),
        Err(malformed) => Some(Err(malformed.into())),
    })
}

fn concatenated(number: u32, from: Fields<'_>) -> Result<Vec<u8>, Malformed> {
    let mut all = Vec::new();
    for bytes in occurrences(from, number) {
        all.extend_from_slice(bytes?);
    }
    Ok(all)
}

/// The key and the value of a map's entry.
fn entry_of(entry: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let (mut key, mut value) = (&b""[..], &b""[..]);
    for field in Fields::of(entry) {
        match field? {
            protobuf::Field { number: 1, value: Value::Bytes(bytes), .. } => key = bytes,
            protobuf::Field { number: 2, value: Value::Bytes(bytes), .. } => value = bytes,
            _ => {}
        }
    }
    Ok((key, value))
}

/// The text of a number or truth value; `None` if it is zero or false. As in every decoder, the bits that do not fit are cut off.
#[allow(clippy::cast_possible_truncation, reason = "that is what decoders do")]
fn integer(kind: Kind, value: u64) -> Option<String> {
    let text = match kind {
        Kind::Bool => return (value != 0).then(|| "true".to_owned()),
        Kind::Int64 => value.cast_signed().to_string(),
        Kind::Uint32 => (value as u32).to_string(),
        _ => value.to_string(),
    };
    (text != "0").then_some(text)
}

impl Kind {
    fn is_varint(self) -> bool {
        matches!(self, Self::Bool | Self::Int64 | Self::Uint32 | Self::Uint64)
    }
}
