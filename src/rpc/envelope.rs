//! Calls and replies as frames.
//!
//! ```text
//!  options: sequence, length of the method's name     payload: name ++ argument (or result, or the text of an error)
//! ```

use bytes::{Bytes, BytesMut};

use super::codec::Codec;
use super::outbox::Outbox;
use crate::goridge::{Flags, Frame, Head, Options, StreamBits, TooLarge, encode};

/// Bytes of a method's name, at most.
pub(super) const MAX_METHOD: usize = 256;

/// Bytes of an error's text, at most: it may quote the caller.
pub(super) const MAX_ERROR: usize = 8 << 10;

/// A call as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Call {
    /// The caller's number for this call.
    pub(super) sequence: u32,
    /// `service.method`, not known to be UTF-8.
    pub(super) method: Bytes,
    pub(super) argument: Bytes,
    pub(super) flags: Flags,
}

/// Why a frame is not a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoCall {
    /// Without a sequence it cannot be answered.
    #[error("expected two options, the sequence number and the length of the method name, found {0}")]
    Options(usize),
    /// The name of the method is longer than the payload.
    #[error("method name of {length} bytes in a payload of {payload}")]
    Method {
        /// The caller's number for the call.
        sequence: u32,
        /// Bytes of the name, as the caller claims.
        length: u32,
        /// Bytes of the payload.
        payload: usize,
    },
    /// No method has a name of more than [`MAX_METHOD`] bytes.
    #[error("method name too long: {length} bytes, limit {MAX_METHOD}")]
    Name {
        /// The caller's number for the call.
        sequence: u32,
        /// Bytes of the name.
        length: usize,
    },
}

impl Call {
    /// Parses a frame.
    pub(super) fn parse(frame: Frame) -> Result<Self, NoCall> {
        let &[sequence, length] = frame.options.as_slice() else {
            return Err(NoCall::Options(frame.options.as_slice().len()));
        };
        let mut argument = frame.payload;
        match usize::try_from(length) {
            Ok(end) if end > MAX_METHOD && end <= argument.len() => {
                Err(NoCall::Name { sequence, length: end })
            }
            Ok(end) if end <= argument.len() => {
                let method = argument.split_to(end);
                Ok(Self { sequence, method, argument, flags: frame.flags })
            }
            _ => Err(NoCall::Method { sequence, length, payload: argument.len() }),
        }
    }

    /// The call as a frame.
    ///
    /// # Errors
    /// When it does not fit into one.
    pub(super) fn write(&self, out: &mut BytesMut) -> Result<(), TooLarge> {
        write(out, self.flags, self.sequence, &self.method, &self.argument)
    }
}

/// Appends the reply to a call: its result, or the text of an error.
pub(super) fn reply(
    out: &mut Outbox,
    flags: Flags,
    sequence: u32,
    method: &[u8],
    result: &Result<Bytes, String>,
) {
    let codec = Codec::of_reply(flags).flag();
    let written = match result {
        Ok(bytes) => head(out.tail(), codec, sequence, method, bytes.len()).map(|()| out.push(bytes)),
        Err(text) => write(out.tail(), codec | Flags::ERROR, sequence, method, shortened(text).as_bytes()),
    };
    if let Err(error) = written {
        // Only a result of four gigabytes is too large.
        let _ = write(out.tail(), codec | Flags::ERROR, sequence, &[], error.to_string().as_bytes());
    }
}

/// The text, cut to [`MAX_ERROR`] bytes.
fn shortened(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= MAX_ERROR {
        return text.into();
    }
    let end = text.floor_char_boundary(MAX_ERROR - "...".len());
    format!("{}...", &text[..end]).into()
}

/// Writes a frame without the last `rest` bytes of its payload.
fn head(out: &mut BytesMut, flags: Flags, sequence: u32, method: &[u8], rest: usize) -> Result<(), TooLarge> {
    let head = Head::new(flags, StreamBits::empty(), options(sequence, method)?, method.len() + rest)?;
    out.extend_from_slice(head.as_ref());
    out.extend_from_slice(method);
    Ok(())
}

fn options(sequence: u32, method: &[u8]) -> Result<Options, TooLarge> {
    let length = u32::try_from(method.len()).map_err(|_| TooLarge(method.len()))?;
    Ok(Options::from_slice(&[sequence, length]).unwrap_or_default())
}

fn write(
    out: &mut BytesMut,
    flags: Flags,
    sequence: u32,
    method: &[u8],
    rest: &[u8],
) -> Result<(), TooLarge> {
    encode(out, flags, StreamBits::empty(), options(sequence, method)?, &[method, rest])
}
