//! Protobuf's wire format.
//!
//! Source: <https://protobuf.dev/programming-guides/encoding/>.

use super::error::Malformed;

const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const BYTES: u32 = 2;
const FIXED32: u32 = 5;

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Of a fixed size, which none of Centrifugo's fields has.
    Fixed,
}

/// The fields of a message, one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// Returns the number and the value of the next field; `None` at the end. Groups are refused: proto3 has none.
    pub(super) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed::Wire)?;
        let number = key >> 3;
        if number == 0 {
            return Err(Malformed::Wire);
        }
        let value = match key & 7 {
            VARINT => Value::Varint(self.varint()?),
            BYTES => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed::Wire)?;
                Value::Bytes(self.rest.split_off(..length).ok_or(Malformed::Wire)?)
            }
            FIXED64 => self.fixed(8)?,
            FIXED32 => self.fixed(4)?,
            _ => return Err(Malformed::Wire),
        };
        Ok(Some((number, value)))
    }

    fn fixed(&mut self, length: usize) -> Result<Value<'a>, Malformed> {
        self.rest.split_off(..length).map(|_| Value::Fixed).ok_or(Malformed::Wire)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.rest.split_off_first().ok_or(Malformed::Wire)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // The tenth byte has one bit left.
                return if shift < 63 || byte <= 1 { Ok(value) } else { Err(Malformed::Wire) };
            }
        }
        Err(Malformed::Wire)
    }
}

/// Appends a field with a varint.
pub(super) fn write_varint(out: &mut Vec<u8>, number: u32, value: u64) {
    varint(out, u64::from(number << 3 | VARINT));
    varint(out, value);
}

/// Appends a field with bytes.
pub(super) fn write_bytes(out: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    varint(out, u64::from(number << 3 | BYTES));
    varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Appends a field with the bytes that `write` appends.
pub(super) fn write_nested<E>(
    out: &mut Vec<u8>,
    number: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    varint(out, u64::from(number << 3 | BYTES));
    // Most fit into the one byte that is reserved for their length.
    let at = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - at - 1;
    if let Ok(length @ ..0x80) = u8::try_from(length) {
        out[at] = length;
        return Ok(());
    }
    let end = out.len();
    varint(out, length as u64);
    // The length is behind the bytes now: they change places.
    let bytes = out.len() - end;
    let mut prefix = [0; 10];
    prefix[..bytes].copy_from_slice(&out[end..]);
    out.copy_within(at + 1..end, at + bytes);
    out.truncate(at + bytes + length);
    out[at..at + bytes].copy_from_slice(&prefix[..bytes]);
    Ok(())
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}
