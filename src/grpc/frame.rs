//! A message behind its prefix: one byte for whether it is compressed, four for its length.

use bytes::{BufMut as _, Bytes, BytesMut};

/// Bytes of the prefix.
pub(crate) const PREFIX: usize = 5;

/// Messages from this size on are not copied behind their prefix.
const COPY_LIMIT: usize = 16 * 1024;

/// What stands in front of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Prefix {
    pub(crate) is_compressed: bool,
    /// Bytes of the message, as its sender claims.
    pub(crate) length: usize,
}

/// A message that gRPC's prefix cannot express.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message is larger than gRPC allows")]
pub(crate) struct TooLong;

impl Prefix {
    /// Reads the prefix; `None` until all of it has arrived.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[flag, a, b, c, d] = bytes.first_chunk::<PREFIX>()?;
        Some(Self { is_compressed: flag != 0, length: u32::from_be_bytes([a, b, c, d]) as usize })
    }
}

/// A message behind its prefix: in one piece, or, when it is large, in two, the second of which is not copied.
///
/// # Errors
/// When the message has 4 GiB or more.
pub(crate) fn frame(message: &Bytes, is_compressed: bool) -> Result<(Bytes, Bytes), TooLong> {
    let length = u32::try_from(message.len()).map_err(|_| TooLong)?;
    let is_small = message.len() < COPY_LIMIT;
    let mut first = BytesMut::with_capacity(PREFIX + if is_small { message.len() } else { 0 });
    first.put_u8(u8::from(is_compressed));
    first.put_u32(length);
    if is_small {
        first.put_slice(message);
        Ok((first.freeze(), Bytes::new()))
    } else {
        Ok((first.freeze(), message.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_framed_with_its_length_and_copied_only_if_small() {
        let (first, second) = frame(&Bytes::from_static(b"abc"), true).unwrap();
        assert_eq!((&first[..], second.len()), (&b"\x01\0\0\0\x03abc"[..], 0));
        let large = Bytes::from(vec![7; COPY_LIMIT]);
        let (first, second) = frame(&large, false).unwrap();
        assert_eq!((first.len(), second.as_ptr()), (PREFIX, large.as_ptr()));
        assert_eq!(Prefix::parse(&first), Some(Prefix { is_compressed: false, length: COPY_LIMIT }));
        assert_eq!(Prefix::parse(&first[1..]), None);
    }
}
