//! Decoding: whatever Go's library accepts, and names in JSON.

use rmp::Marker;
use serde_json::{Map, Value};

use super::Error;
use crate::rpc::codec::layout::{Kind, Layout, MAX_DEPTH, Member, Structure};
use crate::rpc::codec::{Items, Shape, scalar};

/// Decodes an argument.
///
/// # Errors
/// When the bytes are no such value.
pub(in crate::rpc::codec) fn decode(shape: &Shape, bytes: &[u8], items: Items) -> Result<Value, Error> {
    let layout = Layout::of(shape);
    Reader { layout: &layout, rest: bytes, items }.value(layout.root(), 0)
}

struct Reader<'a> {
    layout: &'a Layout,
    rest: &'a [u8],
    items: Items,
}

impl<'a> Reader<'a> {
    fn value(&mut self, place: usize, depth: usize) -> Result<Value, Error> {
        if depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        let layout = self.layout;
        let kind = &layout.get(place).kind;
        if matches!(kind, Kind::List(_) | Kind::Map(_) | Kind::Struct(_)) {
            self.items.container()?;
        }
        self.items.value()?;
        match kind {
            Kind::Bool => self.boolean(),
            Kind::Int => self.int().map(Value::from),
            Kind::Uint => self.uint().map(Value::from),
            Kind::Float => self.float().map(scalar::of_float),
            Kind::Bytes => self.bytes().map(scalar::of_bytes),
            Kind::Text => self.bytes().map(scalar::of_text),
            Kind::List(items) => self.list(*items, depth),
            Kind::Map(items) => self.map(*items, depth),
            Kind::Struct(structure) => self.structure(structure, depth),
        }
    }

    fn boolean(&mut self) -> Result<Value, Error> {
        match self.marker()? {
            Marker::Null | Marker::False => Ok(Value::Bool(false)),
            Marker::True => Ok(Value::Bool(true)),
            other => Err(invalid(other, "bool")),
        }
    }

    fn int(&mut self) -> Result<i64, Error> {
        let marker = self.marker()?;
        let number = self.integer(marker)?.and_then(|number| i64::try_from(number).ok());
        number.ok_or_else(|| invalid(marker, "int64"))
    }

    fn uint(&mut self) -> Result<u64, Error> {
        let marker = self.marker()?;
        let number = self.integer(marker)?.and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| invalid(marker, "uint64"))
    }

    /// Integers are floats too, but not the other way round.
    fn float(&mut self) -> Result<f64, Error> {
        let marker = self.marker()?;
        match marker {
            Marker::F32 => Ok(f32::from_be_bytes(self.array()?).into()),
            Marker::F64 => Ok(f64::from_be_bytes(self.array()?)),
            #[expect(clippy::cast_precision_loss, reason = "as when Go converts it")]
            _ => match self.integer(marker)? {
                Some(number) => Ok(number as f64),
                // RoadRunner names this one for both widths.
                None => Err(invalid(marker, "float32")),
            },
        }
    }

    /// The integer that a marker begins; `None` if it begins something else.
    fn integer(&mut self, marker: Marker) -> Result<Option<i128>, Error> {
        Ok(Some(match marker {
            Marker::Null => 0,
            Marker::FixPos(number) => number.into(),
            Marker::FixNeg(number) => number.into(),
            Marker::U8 => u8::from_be_bytes(self.array()?).into(),
            Marker::U16 => u16::from_be_bytes(self.array()?).into(),
            Marker::U32 => u32::from_be_bytes(self.array()?).into(),
            Marker::U64 => u64::from_be_bytes(self.array()?).into(),
            Marker::I8 => i8::from_be_bytes(self.array()?).into(),
            Marker::I16 => i16::from_be_bytes(self.array()?).into(),
            Marker::I32 => i32::from_be_bytes(self.array()?).into(),
            Marker::I64 => i64::from_be_bytes(self.array()?).into(),
            _ => return Ok(None),
        }))
    }

    /// Text or bytes, which are the same to Go.
    fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = match self.marker()? {
            Marker::Null => 0,
            Marker::FixStr(length) => length.into(),
            Marker::Str8 | Marker::Bin8 => self.length::<1>()?,
            Marker::Str16 | Marker::Bin16 => self.length::<2>()?,
            Marker::Str32 | Marker::Bin32 => self.length::<4>()?,
            other => return Err(invalid(other, "string/bytes length")),
        };
        self.take(length)
    }

    fn list(&mut self, items: usize, depth: usize) -> Result<Value, Error> {
        let marker = self.marker()?;
        let count = self.list_length(marker)?.ok_or_else(|| invalid(marker, "array length"))?;
        let mut values = Vec::new();
        for _ in 0..count {
            values.push(self.value(items, depth + 1)?);
        }
        Ok(Value::Array(values))
    }

    fn list_length(&mut self, marker: Marker) -> Result<Option<usize>, Error> {
        Ok(Some(match marker {
            Marker::Null => 0,
            Marker::FixArray(count) => count.into(),
            Marker::Array16 => self.length::<2>()?,
            Marker::Array32 => self.length::<4>()?,
            _ => return Ok(None),
        }))
    }

    fn map(&mut self, items: usize, depth: usize) -> Result<Value, Error> {
        let marker = self.marker()?;
        let count = self.map_length(marker)?.ok_or(Error::NotAMap(marker))?;
        let mut values = Map::new();
        for _ in 0..count {
            self.items.value()?;
            let key = scalar::to_key(self.key()?);
            values.insert(key, self.value(items, depth + 1)?);
        }
        Ok(Value::Object(values))
    }

    /// Text or a number.
    fn key(&mut self) -> Result<Value, Error> {
        match self.rest.first().map(|code| Marker::from_u8(*code)) {
            Some(Marker::F32 | Marker::F64) => self.float().map(scalar::of_float),
            Some(Marker::FixNeg(_) | Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64) => {
                self.int().map(Value::from)
            }
            Some(Marker::FixPos(_) | Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64) => {
                self.uint().map(Value::from)
            }
            _ => self.bytes().map(scalar::of_text),
        }
    }

    fn map_length(&mut self, marker: Marker) -> Result<Option<usize>, Error> {
        Ok(Some(match marker {
            Marker::Null => 0,
            Marker::FixMap(count) => count.into(),
            Marker::Map16 => self.length::<2>()?,
            Marker::Map32 => self.length::<4>()?,
            _ => return Ok(None),
        }))
    }

    /// A map of fields, or a list of all of them in the order of their declaration.
    fn structure(&mut self, structure: &'a Structure, depth: usize) -> Result<Value, Error> {
        let marker = self.marker()?;
        let mut values = Map::new();
        if let Some(count) = self.map_length(marker)? {
            for _ in 0..count {
                self.items.value()?;
                let key = self.bytes()?;
                self.field(structure, key, &mut values, depth)?;
            }
            return Ok(Value::Object(values));
        }
        let count = self.list_length(marker)?.ok_or(Error::NotAMap(marker))?;
        if count != 0 && count != structure.members.len() {
            return Err(Error::WrongLength);
        }
        for member in structure.members.iter().take(count) {
            self.member(member, &mut values, depth)?;
        }
        Ok(Value::Object(values))
    }

    fn field(
        &mut self,
        structure: &'a Structure,
        key: &[u8],
        values: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        if let Some(member) = find(structure, key) {
            return self.member(member, values, depth);
        }
        for (outer, embedded) in self.embedded(structure) {
            if let Some(member) = find(embedded, key) {
                let inner = values.entry(outer).or_insert_with(|| Value::Object(Map::new()));
                return match inner {
                    Value::Object(inner) => self.member(member, inner, depth + 1),
                    _ => self.skip(),
                };
            }
        }
        self.skip()
    }

    /// Null is left out.
    fn member(
        &mut self,
        member: &'a Member,
        values: &mut Map<String, Value>,
        depth: usize,
    ) -> Result<(), Error> {
        if self.rest.first().is_some_and(|code| Marker::from_u8(*code) == Marker::Null) {
            return self.skip();
        }
        values.insert(member.name.clone(), self.value(member.place, depth + 1)?);
        Ok(())
    }

    /// The embedded structures of a structure: in Go, such a field is named after its type.
    fn embedded(&self, structure: &'a Structure) -> impl Iterator<Item = (&'a str, &'a Structure)> + use<'a> {
        let layout = self.layout;
        structure.members.iter().filter_map(|member| match &layout.get(member.place).kind {
            Kind::Struct(inner) if inner.name == member.go => Some((member.name.as_str(), inner)),
            _ => None,
        })
    }

    /// Skips a value, whatever it is and however deep it nests: its parts are only counted.
    fn skip(&mut self) -> Result<(), Error> {
        let mut pending: usize = 1;
        while pending > 0 {
            let marker = self.marker()?;
            let (length, values) = self.extent(marker)?;
            self.take(length)?;
            pending = (pending - 1).saturating_add(values);
        }
        Ok(())
    }

    /// The numbers of bytes and of values that follow a marker.
    fn extent(&mut self, marker: Marker) -> Result<(usize, usize), Error> {
        if let Some(count) = self.list_length(marker)? {
            return Ok((0, count));
        }
        if let Some(count) = self.map_length(marker)? {
            return Ok((0, count.saturating_mul(2)));
        }
        let length = match marker {
            Marker::FixPos(_) | Marker::FixNeg(_) | Marker::True | Marker::False => 0,
            Marker::U8 | Marker::I8 => 1,
            Marker::U16 | Marker::I16 | Marker::FixExt1 => 2,
            Marker::FixExt2 => 3,
            Marker::U32 | Marker::I32 | Marker::F32 => 4,
            Marker::FixExt4 => 5,
            Marker::U64 | Marker::I64 | Marker::F64 => 8,
            Marker::FixExt8 => 9,
            Marker::FixExt16 => 17,
            Marker::FixStr(length) => length.into(),
            Marker::Str8 | Marker::Bin8 => self.length::<1>()?,
            Marker::Str16 | Marker::Bin16 => self.length::<2>()?,
            Marker::Str32 | Marker::Bin32 => self.length::<4>()?,
            // One more byte holds the type.
            Marker::Ext8 => self.length::<1>()?.saturating_add(1),
            Marker::Ext16 => self.length::<2>()?.saturating_add(1),
            Marker::Ext32 => self.length::<4>()?.saturating_add(1),
            other => return Err(Error::Unknown(other)),
        };
        Ok((length, 0))
    }

    fn marker(&mut self) -> Result<Marker, Error> {
        self.array().map(|[code]: [u8; 1]| Marker::from_u8(code))
    }

    /// A length of `N` bytes, the highest first.
    fn length<const N: usize>(&mut self) -> Result<usize, Error> {
        let bytes: [u8; N] = self.array()?;
        Ok(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?.try_into().map_err(|_| truncated(self.rest))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| truncated(self.rest))?;
        self.rest = rest;
        Ok(taken)
    }
}

fn find<'a>(structure: &'a Structure, key: &[u8]) -> Option<&'a Member> {
    let is_named = |name: &str| name.as_bytes().eq_ignore_ascii_case(key);
    structure.members.iter().find(|member| is_named(&member.go) || is_named(&member.name))
}

fn truncated(rest: &[u8]) -> Error {
    if rest.is_empty() { Error::Eof } else { Error::UnexpectedEof }
}

fn invalid(found: Marker, wanted: &'static str) -> Error {
    Error::Invalid { found, wanted }
}
