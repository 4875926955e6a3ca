//! Type definitions, and the numbers that everything is made of.

use std::collections::HashMap;

use super::Error;

/// The first id of types other than those of [`id`].
pub(super) const FIRST_FREE: i64 = 64;

/// Types that a sender may define, at most. All messages of Centrifugo's API together are fewer than 300.
pub(super) const MAX_TYPES: usize = 1_000;

/// The ids of predefined types.
pub(super) mod id {
    pub(in super::super) const BOOL: i64 = 1;
    pub(in super::super) const INT: i64 = 2;
    pub(in super::super) const UINT: i64 = 3;
    pub(in super::super) const FLOAT: i64 = 4;
    pub(in super::super) const BYTES: i64 = 5;
    pub(in super::super) const TEXT: i64 = 6;
    pub(in super::super) const COMPLEX: i64 = 7;
    pub(in super::super) const INTERFACE: i64 = 8;
}

/// What is left of a message.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Numbers below 128 are one byte; for others the first byte is the negated count of those that follow, the highest first.
    pub(super) fn uint(&mut self) -> Result<u64, Error> {
        let first = self.take(1)?.iter().fold(0, |_, byte| *byte);
        if first < 128 {
            return Ok(first.into());
        }
        let count = usize::from(first.wrapping_neg());
        if count > size_of::<u64>() {
            return Err(Error::IntegerTooLong);
        }
        Ok(self.take(count)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// The lowest bit says whether the others are complemented.
    pub(super) fn int(&mut self) -> Result<i64, Error> {
        let number = self.uint()?;
        let half = (number >> 1).cast_signed();
        Ok(if number & 1 == 0 { half } else { !half })
    }

    /// The bits of a float are sent with the exponent last, so that zeros in the mantissa need no bytes.
    pub(super) fn float(&mut self) -> Result<f64, Error> {
        self.uint().map(|bits| f64::from_bits(bits.swap_bytes()))
    }

    /// A length, and as many bytes.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.uint()?;
        self.take(usize::try_from(length).unwrap_or(usize::MAX))
    }

    /// The number of the structure's next field after `field`; `None` at its end, or at the message's.
    pub(super) fn next_field(&mut self, field: Option<usize>) -> Result<Option<usize>, Error> {
        if self.is_empty() {
            return Ok(None);
        }
        let delta = usize::try_from(self.uint()?).unwrap_or(usize::MAX);
        match delta.checked_sub(1) {
            None => Ok(None),
            Some(skipped) => Ok(Some(field.map_or(skipped, |field| field.saturating_add(delta)))),
        }
    }

    /// Checks that there are bytes for the next of `count` items: a count is only a claim.
    pub(super) fn expect_item(&self, count: u64) -> Result<(), Error> {
        if self.is_empty() {
            return Err(Error::TooFewItems(count));
        }
        Ok(())
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// A type that the sender defined.
#[derive(Debug)]
pub(super) struct Definition<'a> {
    pub(super) name: &'a str,
    pub(super) kind: Defined<'a>,
}

/// The kind of a type. Other types are referred to by id.
#[derive(Debug)]
pub(super) enum Defined<'a> {
    /// An array of fixed length, sent like a list.
    Array(i64),
    List(i64),
    Map(i64, i64),
    Struct(Vec<(&'a str, i64)>),
    /// Bytes that only the sender's code understands.
    Opaque,
}

/// The types that the sender has defined so far.
#[derive(Debug, Default)]
pub(super) struct Definitions<'a> {
    by_id: HashMap<i64, Definition<'a>>,
}

impl<'a> Definitions<'a> {
    pub(super) fn get(&self, id: i64) -> Option<&Definition<'a>> {
        self.by_id.get(&id)
    }

    /// The fields of `id`, if that is a structure.
    pub(super) fn fields(&self, id: i64) -> Option<&[(&'a str, i64)]> {
        match &self.get(id)?.kind {
            Defined::Struct(fields) => Some(fields),
            _ => None,
        }
    }

    /// The name of a type in messages.
    pub(super) fn name(&self, id: i64) -> &'a str {
        match id {
            id::BOOL => "bool",
            id::INT => "int",
            id::UINT => "uint",
            id::FLOAT => "float",
            id::BYTES => "bytes",
            id::TEXT => "string",
            id::COMPLEX => "complex",
            id::INTERFACE => "interface",
            id => self.get(id).map_or("unknown type", |definition| definition.name),
        }
    }

    /// Reads the definition of `id`, which ends its message.
    pub(super) fn define(&mut self, id: i64, message: &mut Reader<'a>) -> Result<(), Error> {
        if id < FIRST_FREE || self.by_id.contains_key(&id) {
            return Err(Error::DuplicateType);
        }
        if self.by_id.len() == MAX_TYPES {
            return Err(Error::TooManyTypes);
        }
        let definition = definition(message)?;
        if !message.is_empty() {
            return Err(Error::ExtraData);
        }
        self.by_id.insert(id, definition);
        Ok(())
    }
}

/// A `wireType`: one of several structures, each of which begins with a `CommonType`.
fn definition<'a>(message: &mut Reader<'a>) -> Result<Definition<'a>, Error> {
    let mut result = None;
    let mut field = None;
    while let Some(number) = message.next_field(field)? {
        result = Some(match number {
            0 => with_ids(message, |ids| Defined::Array(ids[0]))?,
            1 => with_ids(message, |ids| Defined::List(ids[0]))?,
            2 => structure(message)?,
            3 => with_ids(message, |ids| Defined::Map(ids[0], ids[1]))?,
            4..=6 => with_ids(message, |_| Defined::Opaque)?,
            _ => return Err(Error::FieldOutOfBounds),
        });
        field = Some(number);
    }
    result.ok_or(Error::UnknownType)
}

/// `{CommonType, Elem, Len}`, `{CommonType, Elem}`, `{CommonType, Key, Elem}` or `{CommonType}`: numbers after the name.
fn with_ids<'a>(
    message: &mut Reader<'a>,
    kind: impl Fn([i64; 2]) -> Defined<'a>,
) -> Result<Definition<'a>, Error> {
    let (mut name, mut ids) = ("", [0; 2]);
    let mut field = None;
    while let Some(number) = message.next_field(field)? {
        match number {
            0 => name = common(message)?,
            1 | 2 => ids[number - 1] = message.int()?,
            _ => return Err(Error::FieldOutOfBounds),
        }
        field = Some(number);
    }
    Ok(Definition { name, kind: kind(ids) })
}

/// `{CommonType, Field []{Name, Id}}`.
fn structure<'a>(message: &mut Reader<'a>) -> Result<Definition<'a>, Error> {
    let (mut name, mut fields) = ("", Vec::new());
    let mut field = None;
    while let Some(number) = message.next_field(field)? {
        match number {
            0 => name = common(message)?,
            1 => fields = fields_of(name, message)?,
            _ => return Err(Error::FieldOutOfBounds),
        }
        field = Some(number);
    }
    Ok(Definition { name, kind: Defined::Struct(fields) })
}

fn fields_of<'a>(name: &str, message: &mut Reader<'a>) -> Result<Vec<(&'a str, i64)>, Error> {
    let mut fields = Vec::new();
    let count = message.uint()?;
    for _ in 0..count {
        message.expect_item(count)?;
        let (field, id) = named_id(message)?;
        if field.is_empty() {
            return Err(Error::UnnamedField(name.to_owned()));
        }
        fields.push((field, id));
    }
    Ok(fields)
}

/// A `CommonType`. Only its name matters: the id precedes the definition too.
fn common<'a>(message: &mut Reader<'a>) -> Result<&'a str, Error> {
    named_id(message).map(|(name, _)| name)
}

fn named_id<'a>(message: &mut Reader<'a>) -> Result<(&'a str, i64), Error> {
    let (mut name, mut id) = ("", 0);
    let mut field = None;
    while let Some(number) = message.next_field(field)? {
        match number {
            0 => name = std::str::from_utf8(message.bytes()?)?,
            1 => id = message.int()?,
            _ => return Err(Error::FieldOutOfBounds),
        }
        field = Some(number);
    }
    Ok((name, id))
}

/// The counterpart of [`Reader::uint`].
pub(super) fn put_uint(out: &mut Vec<u8>, number: u64) {
    match u8::try_from(number) {
        Ok(small) if small < 128 => out.push(small),
        _ => {
            let bytes = number.to_be_bytes();
            let significant = bytes.iter().skip_while(|byte| **byte == 0);
            out.push(significant.clone().fold(0, |count: u8, _| count.wrapping_sub(1)));
            out.extend(significant);
        }
    }
}

/// The counterpart of [`Reader::int`].
pub(super) fn put_int(out: &mut Vec<u8>, number: i64) {
    put_uint(out, (number << 1 ^ number >> 63).cast_unsigned());
}

/// The counterpart of [`Reader::bytes`].
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_uint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
