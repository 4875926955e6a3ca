//! Slots of a cluster: which node holds a key.
//!
//! Source: the Redis cluster specification, "Key distribution model" and "Hash tags".

use std::sync::LazyLock;

/// The number of slots.
const SLOTS: u16 = 16_384;

/// A number for each slot whose digits are hashed to it.
static TAGS: LazyLock<Box<[u32]>> = LazyLock::new(|| {
    let mut tags = vec![u32::MAX; SLOTS.into()];
    let mut missing = tags.len();
    for number in 0.. {
        let tag = &mut tags[usize::from(crc16(number.to_string().as_bytes()) % SLOTS)];
        if *tag == u32::MAX {
            *tag = number;
            missing -= 1;
        }
        if missing == 0 {
            break;
        }
    }
    tags.into()
});

/// The slot of a key: that of what is in its first braces, unless that is nothing.
pub(super) fn of(key: &[u8]) -> u16 {
    let tag = key.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = &key[open + 1..];
        let length = rest.iter().position(|byte| *byte == b'}')?;
        Some(&rest[..length]).filter(|tag| !tag.is_empty())
    });
    crc16(tag.unwrap_or(key)) % SLOTS
}

/// A text that puts a key into this slot, in braces.
pub(super) fn tag(slot: u16) -> u32 {
    TAGS[usize::from(slot % SLOTS)]
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `CLUSTER KEYSLOT` of Redis 7.0, and the check value of the specification.
    #[test]
    fn keys_have_the_slots_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(of(b"foo"), 12_182);
        assert_eq!(of(b"foo{bar}baz"), of(b"bar"));
        assert_eq!(of(b"{}bar"), crc16(b"{}bar") % SLOTS);
        assert_eq!(of(b"a{bar"), crc16(b"a{bar") % SLOTS);
        assert_eq!(of(b"a{b}{c}"), of(b"b"));
    }

    #[test]
    fn each_slot_has_a_tag() {
        for slot in 0..SLOTS {
            assert_eq!(of(format!("rr:fence:{{{}}}", tag(slot)).as_bytes()), slot);
        }
    }
}
