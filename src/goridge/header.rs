//! The header of a frame: flags, lengths, checksum, options.

use super::error::TooLarge;

/// Bytes of a header without options.
pub(super) const MIN_HEADER: usize = 12;

/// The most options of a header.
pub const MAX_OPTIONS: usize = 10;

/// The high half of the first byte.
const VERSION: u8 = 1;

bitflags::bitflags! {
    /// What a frame is, and how its payload is encoded: byte 1.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct Flags: u8 {
        /// Between the server and its workers: pid and stop.
        const CONTROL = 0x01;
        /// Plain bytes.
        const RAW = 0x04;
        /// JSON.
        const JSON = 0x08;
        /// MessagePack.
        const MSGPACK = 0x10;
        /// Go's gob.
        const GOB = 0x20;
        /// The payload is the text of an error.
        const ERROR = 0x40;
        /// Protocol Buffers.
        const PROTO = 0x80;
        // Unknown bits are kept.
        const _ = !0;
    }
}

bitflags::bitflags! {
    /// The state of a stream: byte 10.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub struct StreamBits: u8 {
        /// More frames follow.
        const STREAM = 0x01;
        /// Asks the peer to end the stream.
        const STOP = 0x02;
        /// Asks the peer for a PONG before more is sent.
        const PING = 0x04;
        /// The answer to PING.
        const PONG = 0x08;
        // Unknown bits are kept.
        const _ = !0;
    }
}

/// Up to ten numbers between header and payload.
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

/// An encoded header, including options.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    bytes: [u8; MIN_HEADER + 4 * MAX_OPTIONS],
    len: usize,
}

impl Head {
    /// Encodes the header of a frame with a payload of `payload` bytes.
    ///
    /// # Errors
    /// If that is no 32-bit number.
    pub fn new(flags: Flags, stream: StreamBits, options: Options, payload: usize) -> Result<Self, TooLarge> {
        let length = u32::try_from(payload).map_err(|_| TooLarge(payload))?;
        Ok(Self::encoded(flags, stream, options, length))
    }

    fn encoded(flags: Flags, stream: StreamBits, options: Options, length: u32) -> Self {
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
        Self { bytes, len }
    }

    /// Encodes the header of a frame without options and payload.
    pub(super) fn empty(flags: Flags, stream: StreamBits) -> Self {
        Self::encoded(flags, stream, Options::default(), 0)
    }
}

impl AsRef<[u8]> for Head {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// The decoded fixed part of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fixed {
    pub(super) flags: Flags,
    pub(super) stream: StreamBits,
    /// Bytes of header and options.
    pub(super) header: usize,
    /// Bytes of payload, as the peer claims.
    pub(super) payload: usize,
}

/// Whether these twelve bytes look like a header, apart from the checksum.
pub(super) fn resembles(bytes: &[u8; MIN_HEADER]) -> bool {
    may_begin(bytes[0]) && bytes[10] <= 0x0f && bytes[11] == 0
}

/// Whether a header can begin with this byte: version 1, three to thirteen words.
pub(super) fn may_begin(byte: u8) -> bool {
    matches!(byte, 0x13..=0x1d)
}

/// Decodes the fixed part; `None` if it is no header.
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
        flags: Flags::from_bits_retain(flags),
        stream: StreamBits::from_bits_retain(stream),
        header: 4 * usize::from(first & 0x0f),
        payload: u32::from_le_bytes([l0, l1, l2, l3]) as usize,
    })
}
