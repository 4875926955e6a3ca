//! Protobuf's wire format: the fields of a message, without decoding it, and how fields are written.
//!
//! What passes through is not decoded: what is looked at or changed is found by its number, so that fields of a later Centrifugo survive. As
//! in every decoder, the last value of a field that occurs more than once counts, and a field of another wire type is an unknown one.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

#![allow(clippy::inline_always, reason = "looking for one field of a call takes twice as long otherwise")]

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The most bytes that a varint has.
pub(crate) const MAX_VARINT: usize = 10;

/// Bytes that are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf message")]
pub struct Malformed;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of a fixed size, which none of Centrifugo's fields has.
    Fixed,
}

/// One field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    /// All of it, its key included.
    pub(crate) whole: &'a [u8],
}

impl<'a> Field<'a> {
    /// The content, if it has a length.
    pub(crate) fn bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Varint(_) | Value::Fixed => None,
        }
    }
}

/// The fields of a message in their order; behind what is malformed, none follow. Groups are malformed: proto3 has none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self(message)
    }
}

#[allow(clippy::copy_iterator, reason = "a place in a message is noted, to come back to it")]
impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = read(&mut self.0).ok_or(Malformed);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[inline(always)]
fn read<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let start = *rest;
    let key = u32::try_from(varint(rest)?).ok()?;
    let number = key >> 3;
    if number == 0 {
        return None;
    }
    let value = match key & 7 {
        VARINT => Value::Varint(varint(rest)?),
        BYTES => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(rest.split_off(..length)?)
        }
        FIXED64 => rest.split_off(..8).map(|_| Value::Fixed)?,
        FIXED32 => rest.split_off(..4).map(|_| Value::Fixed)?,
        _ => return None,
    };
    Some(Field { number, value, whole: &start[..start.len() - rest.len()] })
}

#[inline(always)]
fn varint(rest: &mut &[u8]) -> Option<u64> {
    // Keys and most lengths are one byte.
    match rest.split_first() {
        Some((&byte @ ..0x80, after)) => {
            *rest = after;
            Some(byte.into())
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *rest.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // The tenth byte has one bit left.
            return (shift < 63 || byte <= 1).then_some(value);
        }
    }
    None
}

/// The content of the last field with this number; `None` if the message does not have it.
///
/// # Errors
/// When it is no message.
pub(crate) fn last(message: &[u8], number: u32) -> Result<Option<&[u8]>, Malformed> {
    let mut found = None;
    for field in Fields::of(message) {
        let field = field?;
        if field.number == number {
            found = field.bytes().or(found);
        }
    }
    Ok(found)
}

/// Appends a field with a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    put_number(out, u64::from(number << 3 | VARINT));
    put_number(out, value);
}

/// Appends a field with bytes.
pub(crate) fn put_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    put_length(out, number, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends the beginning of a field whose content of `length` bytes follows.
pub(crate) fn put_length(out: &mut Vec<u8>, number: u32, length: usize) {
    put_number(out, u64::from(number << 3 | BYTES));
    put_number(out, length as u64);
}

/// How many bytes a field takes whose content has this length; the numbers of all fields here are below 16, and their keys one byte.
pub(crate) fn len_with(length: usize) -> usize {
    1 + (1..MAX_VARINT).find(|bytes| length >> (7 * bytes) == 0).unwrap_or(MAX_VARINT) + length
}

/// Appends a field with the bytes that `put` appends.
pub(crate) fn put_nested<E>(
    out: &mut Vec<u8>,
    number: u32,
    put: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    put_number(out, u64::from(number << 3 | BYTES));
    // Most fit into the one byte that is reserved for their length.
    let at = out.len();
    out.push(0);
    put(out)?;
    let length = out.len() - at - 1;
    if let Ok(length @ ..0x80) = u8::try_from(length) {
        out[at] = length;
        return Ok(());
    }
    let end = out.len();
    put_number(out, length as u64);
    // The length is behind the bytes now: they change places.
    let bytes = out.len() - end;
    let mut prefix = [0; MAX_VARINT];
    prefix[..bytes].copy_from_slice(&out[end..]);
    out.copy_within(at + 1..end, at + bytes);
    out.truncate(at + bytes + length);
    out[at..at + bytes].copy_from_slice(&prefix[..bytes]);
    Ok(())
}

fn put_number(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        // The low seven bits, and the mark that more follow.
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bolero::TypeGenerator;
    use prost::Message as _;

    use super::*;

    /// A field as it is written.
    #[derive(Debug, Clone, TypeGenerator)]
    enum Written {
        Varint(u16, u64),
        Bytes(u16, Vec<u8>),
        /// Of a fixed size, which is never written here.
        Fixed(u16, bool),
    }

    impl Written {
        fn number(&self) -> u32 {
            let (Self::Varint(number, _) | Self::Bytes(number, _) | Self::Fixed(number, _)) = self;
            u32::from(*number) + 1
        }

        fn put(&self, out: &mut Vec<u8>) {
            match self {
                Self::Varint(_, value) => put_varint(out, self.number(), *value),
                Self::Bytes(_, bytes) => put_bytes(out, self.number(), bytes),
                Self::Fixed(_, is_long) => {
                    let (kind, length) = if *is_long { (FIXED64, 8) } else { (FIXED32, 4) };
                    put_number(out, u64::from(self.number() << 3 | kind));
                    out.resize(out.len() + length, 7);
                }
            }
        }

        fn value(&self) -> Value<'_> {
            match self {
                Self::Varint(_, value) => Value::Varint(*value),
                Self::Bytes(_, bytes) => Value::Bytes(bytes),
                Self::Fixed(..) => Value::Fixed,
            }
        }
    }

    #[test]
    fn what_was_written_is_read() {
        bolero::check!().with_type::<Vec<Written>>().with_iterations(3_000).for_each(|all| {
            let mut message = Vec::new();
            for field in all {
                field.put(&mut message);
            }
            let read: Vec<_> = Fields::of(&message).map(Result::unwrap).collect();
            let fields: Vec<_> = read.iter().map(|field| (field.number, field.value)).collect();
            let expected: Vec<_> = all.iter().map(|field| (field.number(), field.value())).collect();
            assert_eq!(fields, expected);
            let whole: Vec<u8> = read.iter().flat_map(|field| field.whole).copied().collect();
            assert_eq!(whole, message);
        });
    }

    #[test]
    fn bytes_are_a_message_if_a_decoder_says_so() {
        bolero::check!().with_type::<Vec<u8>>().with_iterations(20_000).for_each(|bytes| {
            // Small keys and lengths, so that they look like messages now and then.
            let bytes: Vec<u8> =
                bytes.iter().map(|byte| if byte % 3 == 0 { 8 | (byte % 6) } else { byte % 12 }).collect();
            for message in [&bytes[..], &bytes[..bytes.len() / 2]] {
                // It skips all fields, since it knows none.
                let is_message = <()>::decode(message).is_ok();
                let mut fields = Fields::of(message);
                let is_read = fields.by_ref().all(|field| field.is_ok());
                assert!(is_message || !is_read, "{message:?}");
                assert!(fields.next().is_none());
                // Groups are a message for the decoder alone.
                let has_groups = message.iter().any(|byte| matches!(byte & 7, 3 | 4));
                assert!(is_read || !is_message || has_groups, "{message:?}");
            }
        });
    }

    #[test]
    fn what_is_malformed_is_refused() {
        for message in [
            &[11 << 3 | 2][..],
            &[11 << 3 | 2, 5, b'a'],
            &[0x80],
            &[0],
            &[11 << 3 | 3, 11 << 3 | 4],
            &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
            &[9, 1, 2],
            &[0xf8, 0xff, 0xff, 0xff, 0x1f, 0],
            &[11 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
        ] {
            assert_eq!(last(message, 11), Err(Malformed), "{message:?}");
        }
    }

    #[test]
    fn the_last_value_of_the_right_type_counts() {
        let mut message = Vec::new();
        put_bytes(&mut message, 11, b"first");
        assert_eq!(last(&message, 11), Ok(Some(&b"first"[..])));
        assert_eq!(last(&message, 12), Ok(None));
        put_bytes(&mut message, 11, b"second");
        put_varint(&mut message, 11, 150);
        assert_eq!(last(&message, 11), Ok(Some(&b"second"[..])));
        assert_eq!(last(b"", 11), Ok(None));
    }

    #[test]
    fn nested_fields_and_lengths_are_the_same_however_long_they_are() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let content = vec![b'x'; length];
            let (mut plain, mut nested) = (b"before".to_vec(), b"before".to_vec());
            put_bytes(&mut plain, 3, &content);
            let put = |out: &mut Vec<u8>| {
                out.extend_from_slice(&content);
                Ok::<_, Infallible>(())
            };
            put_nested(&mut nested, 3, put).unwrap();
            assert_eq!(plain, nested);
            assert_eq!(plain.len(), b"before".len() + len_with(length));
        }
    }
}
