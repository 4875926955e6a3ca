//! One frame, decoded or to be encoded.

use bytes::{Bytes, BytesMut};

use super::error::TooLarge;
use super::header::{Flags, Head, Options, StreamBits};

/// A decoded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is and how its payload is encoded.
    pub flags: Flags,
    /// The state of its stream.
    pub stream: StreamBits,
    /// Numbers, whose meaning depends on the kind of frame.
    pub options: Options,
    /// What follows header and options.
    pub payload: Bytes,
}

/// Appends a complete frame to `out`. Its payload is the concatenation of `parts`.
///
/// # Errors
/// If the payload is too long for a frame; `out` is unchanged then.
pub fn encode(
    out: &mut BytesMut,
    flags: Flags,
    stream: StreamBits,
    options: Options,
    parts: &[&[u8]],
) -> Result<(), TooLarge> {
    let payload = parts.iter().map(|part| part.len()).sum();
    let head = Head::new(flags, stream, options, payload)?;
    out.reserve(head.as_ref().len() + payload);
    out.extend_from_slice(head.as_ref());
    for part in parts {
        out.extend_from_slice(part);
    }
    Ok(())
}
