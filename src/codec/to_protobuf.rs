//! Answers: from JSON to protobuf.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::error::{InvalidAnswer, Mistake};
use super::shape::{Field, Kind, Label, Message};
use super::text::{self, MAX_TYPED_DEPTH, Reader};
use crate::protobuf::{put_bytes, put_nested, put_varint};

impl Message {
    /// Converts a message of this type from JSON to protobuf.
    ///
    /// # Errors
    /// Names the field that is wrong.
    pub(crate) fn to_protobuf(&'static self, json: &[u8]) -> Result<Vec<u8>, InvalidAnswer> {
        let error = |mistake, at| InvalidAnswer { message: self.name, path: Vec::new(), mistake, at };
        if json.is_empty() {
            return Err(error(Mistake::Empty, 0));
        }
        let text = str::from_utf8(json).map_err(|invalid| error(Mistake::NotUtf8, invalid.valid_up_to()))?;
        let mut converter = Converter { message: self, reader: Reader::new(text) };
        let mut out = Vec::with_capacity(json.len());
        if !converter.null()? {
            converter.fields(self, 1, &mut out)?;
        }
        converter.reader.end().map_err(|(mistake, at)| error(mistake, at))?;
        Ok(out)
    }
}

struct Converter<'a> {
    /// The outermost one.
    message: &'static Message,
    reader: Reader<'a>,
}

type Result<T, E = InvalidAnswer> = std::result::Result<T, E>;

impl<'a> Converter<'a> {
    fn error(&self, mistake: Mistake) -> InvalidAnswer {
        self.at((mistake, self.reader.at()))
    }

    fn at(&self, (mistake, at): text::Error) -> InvalidAnswer {
        InvalidAnswer { message: self.message.name, path: Vec::new(), mistake, at }
    }

    /// Reads an object that is `depth` levels deep and writes its fields.
    fn fields(&mut self, message: &'static Message, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        let mut seen = 0_u32;
        let mut has_more = self.begin(b'{', b'}', depth)?;
        while has_more {
            let key = self.reader.key().map_err(|error| self.at(error))?;
            if let Some(field) = message.named(&key) {
                // A field and its base64 have the same number.
                let bit = 1 << field.number;
                if seen & bit != 0 {
                    return Err(self.error(Mistake::Twice).within(field.name));
                }
                seen |= bit;
                self.field(field, depth, out).map_err(|error| error.within(field.name))?;
            } else {
                self.reader.skip_value(depth).map_err(|error| self.at(error))?;
            }
            has_more = self.more(b'}')?;
        }
        Ok(())
    }

    /// Reads a field's value and writes the field.
    fn field(&mut self, field: &'static Field, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        if let Kind::Json(_) = field.kind {
            let value = self.reader.skip_value(depth).map_err(|error| self.at(error))?;
            put_bytes(out, field.number, value.as_bytes());
            return Ok(());
        }
        if self.null()? {
            return Ok(());
        }
        match field.label {
            Label::Optional | Label::Always => self.value(field, field.number, depth, out),
            Label::Repeated => {
                let mut has_more = self.begin(b'[', b']', depth + 1)?;
                while has_more {
                    self.element(field, field.number, depth + 1, out)?;
                    has_more = self.more(b']')?;
                }
                Ok(())
            }
            Label::Map => {
                let mut has_more = self.begin(b'{', b'}', depth + 1)?;
                while has_more {
                    let key = self.reader.key().map_err(|error| self.at(error))?;
                    put_nested(out, field.number, |out| {
                        put_bytes(out, 1, key.as_bytes());
                        self.element(field, 2, depth + 1, out)
                    })?;
                    has_more = self.more(b'}')?;
                }
                Ok(())
            }
        }
    }

    /// Reads and writes an element of a list or map. As in Go, `null` is an empty one.
    fn element(&mut self, field: &'static Field, number: u32, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        if self.null()? {
            put_bytes(out, number, b"");
            return Ok(());
        }
        self.value(field, number, depth, out)
    }

    /// Reads a value of the field's kind and writes it as the field `number`. What is empty or zero is left out where that means the same.
    fn value(&mut self, field: &'static Field, number: u32, depth: usize, out: &mut Vec<u8>) -> Result<()> {
        let is_element = matches!(field.label, Label::Repeated | Label::Map);
        match field.kind {
            Kind::Message(inner) => put_nested(out, number, |out| self.fields(inner, depth + 1, out))?,
            Kind::String => {
                let text = self.string()?;
                if is_element || !text.is_empty() {
                    put_bytes(out, number, text.as_bytes());
                }
            }
            Kind::Base64 => {
                let base64 = self.string()?;
                let bytes = STANDARD.decode(base64.as_bytes()).map_err(|_| self.error(Mistake::NotBase64))?;
                put_bytes(out, number, &bytes);
            }
            kind => {
                let value = self.varint(kind)?;
                if value != 0 {
                    put_varint(out, number, value);
                }
            }
        }
        Ok(())
    }

    /// Reads a value that protobuf writes as a varint.
    fn varint(&mut self, kind: Kind) -> Result<u64> {
        if let Kind::Bool = kind {
            return self.reader.bool().map(u64::from).map_err(|error| self.at(error));
        }
        let is_64_bit = matches!(kind, Kind::Int64 | Kind::Uint64);
        let number: Cow<'a, str> = match self.peek()? {
            b'"' if is_64_bit => self.string()?,
            _ => self.reader.number().map_err(|error| self.at(error))?.into(),
        };
        let digits = number.strip_prefix('-').unwrap_or(&number);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(self.error(Mistake::Expected("an integer")));
        }
        let value = match kind {
            Kind::Int64 => number.parse::<i64>().map(i64::cast_unsigned),
            Kind::Uint32 => number.parse::<u32>().map(u64::from),
            _ => number.parse::<u64>(),
        };
        value.map_err(|_| self.error(Mistake::OutOfRange))
    }

    fn begin(&mut self, open: u8, close: u8, depth: usize) -> Result<bool> {
        let expected = if open == b'{' { "an object" } else { "a list" };
        if self.peek()? != open {
            return Err(self.error(Mistake::Expected(expected)));
        }
        if depth > MAX_TYPED_DEPTH {
            return Err(self.error(Mistake::TooDeep));
        }
        self.reader.begin(open, close).map_err(|error| self.at(error))
    }

    fn more(&mut self, close: u8) -> Result<bool> {
        self.reader.more(close).map_err(|error| self.at(error))
    }

    fn null(&mut self) -> Result<bool> {
        self.reader.null().map_err(|error| self.at(error))
    }

    fn peek(&mut self) -> Result<u8> {
        self.reader.peek().map_err(|error| self.at(error))
    }

    fn string(&mut self) -> Result<Cow<'a, str>> {
        self.reader.string().map_err(|error| self.at(error))
    }
}
