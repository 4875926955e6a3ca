//! The fixed part of a frame: flags, lengths, checksum, options.

use super::error::TooLarge;

/// Bytes of a header without options.
pub(super) const MIN_HEADER: usize = 12;

/// Options that a header can hold.
pub const MAX_OPTIONS: usize = 10;

/// The first byte's high half.
const VERSION: u8 = 1;

macro_rules! bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub struct $name(u8);

        impl $name {
            /// No bit at all.
            pub const NONE: Self = Self(0);
            $($(#[$bit_doc])* pub const $bit: Self = Self($value);)*

            /// The bits as they travel.
            pub const fn bits(self) -> u8 {
                self.0
            }

            /// Whatever a peer sent, unknown bits included.
            pub const fn from_bits(bits: u8) -> Self {
                Self(bits)
            }

            /// Whether all bits of `other` are set.
            pub const fn contains(self, other: Self) -> bool {
                self.0 & other.0 == other.0
            }
        }

        impl std::ops::BitOr for $name {
            type Output = Self;

            fn bitor(self, other: Self) -> Self {
                Self(self.0 | other.0)
            }
        }
    };
}

bits! {
    /// What a frame is, and how its payload is encoded: byte 1.
    Flags {
        /// Between supervisor and worker: pid and stop.
        CONTROL = 0x01,
        /// Plain bytes.
        RAW = 0x04,
        /// JSON.
        JSON = 0x08,
        /// MessagePack.
        MSGPACK = 0x10,
        /// Go's gob.
        GOB = 0x20,
        /// The payload is the text of an error.
        ERROR = 0x40,
        /// Protocol Buffers.
        PROTO = 0x80,
    }
}

bits! {
    /// The state of a stream: byte 10.
    StreamBits {
        /// More frames follow.
        STREAM = 0x01,
        /// Please end the stream.
        STOP = 0x02,
        /// Please answer with a PONG before more is sent.
        PING = 0x04,
        /// The answer to PING.
        PONG = 0x08,
    }
}

/// Up to ten numbers behind the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    values: [u32; MAX_OPTIONS],
    len: u8,
}

impl Options {
    /// The numbers.
    pub fn as_slice(&self) -> &[u32] {
        &self.values[..usize::from(self.len)]
    }

    /// `None` for more than ten numbers.
    pub fn from_slice(values: &[u32]) -> Option<Self> {
        let mut options = Self::default();
        options.values.get_mut(..values.len())?.copy_from_slice(values);
        options.len = u8::try_from(values.len()).ok()?;
        Some(options)
    }
}

/// A header in the form in which it travels, options included.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; MIN_HEADER + 4 * MAX_OPTIONS],
    len: usize,
}

impl Head {
    /// The header of a frame with a payload of `payload` bytes.
    ///
    /// # Errors
    /// When the payload's length is no 32-bit number.
    pub fn new(flags: Flags, stream: StreamBits, options: Options, payload: usize) -> Result<Self, TooLarge> {
        let length = u32::try_from(payload).map_err(|_| TooLarge(payload))?;
        let len = MIN_HEADER + 4 * usize::from(options.len);
        let mut bytes = [0; MIN_HEADER + 4 * MAX_OPTIONS];
        bytes[0] = VERSION << 4 | (3 + options.len);
        bytes[1] = flags.bits();
        bytes[2..6].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..6]);
        bytes[6..10].copy_from_slice(&checksum.to_le_bytes());
        bytes[10] = stream.bits();
        for (place, option) in bytes[MIN_HEADER..].chunks_exact_mut(4).zip(options.as_slice()) {
            place.copy_from_slice(&option.to_le_bytes());
        }
        Ok(Self { bytes, len })
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The fixed part of a header, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) flags: Flags,
    pub(super) stream: StreamBits,
    /// Bytes of header and options.
    pub(super) header: usize,
    /// Bytes of payload, as the peer says.
    pub(super) payload: usize,
}

/// Whether these twelve bytes look like a header, the checksum aside.
pub(super) fn resembles(bytes: &[u8; MIN_HEADER]) -> bool {
    may_begin(bytes[0]) && bytes[10] <= 0x0f && bytes[11] == 0
}

/// Whether a header can begin with this byte: version 1, three to thirteen words.
pub(super) fn may_begin(byte: u8) -> bool {
    matches!(byte, 0x13..=0x1d)
}

/// Reads the fixed part; `None` when it is no header.
pub(super) fn parse(bytes: &[u8; MIN_HEADER]) -> Option<Fixed> {
    let [first, flags, l0, l1, l2, l3, c0, c1, c2, c3, stream, zero] = *bytes;
    if !may_begin(first)
        || stream > 0x0f
        || zero != 0
        || crc32fast::hash(&bytes[..6]) != u32::from_le_bytes([c0, c1, c2, c3])
    {
        return None;
    }
    Some(Fixed {
        flags: Flags(flags),
        stream: StreamBits(stream),
        header: 4 * usize::from(first & 0x0f),
        payload: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
    })
}
