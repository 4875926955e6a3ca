//! Bytes in, frames out.
//!
//! A worker on the pipes relay shares its standard output with everything that its code prints, so a lenient decoder returns text between
//! frames as noise, up to the next valid header. A *broken* frame is something else: twelve bytes that look like a header in every respect
//! except the checksum. What follows may be anything, including a client's message, so the decoder does not search for the next header
//! there. There is one exception: if a valid header begins within these twelve bytes, a piece of a header was printed in front of a real
//! frame, and that piece is noise.

use bytes::{Bytes, BytesMut};

use super::error::{Violation, preview};
use super::frame::Frame;
use super::header::{self, Fixed, Flags, MIN_HEADER, Options};

/// A frame, or the bytes between two of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A complete frame.
    Frame(Frame),
    /// Bytes that belong to no frame.
    Noise(Bytes),
}

/// Splits a stream of bytes into frames.
#[derive(Debug, Clone)]
pub struct Decoder {
    max_payload: usize,
    lenient: bool,
}

/// A frame whose header has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// What the frame is, and how its payload is encoded.
    pub flags: Flags,
    /// The numbers between header and payload.
    pub options: Options,
    /// Bytes of header and options.
    pub header: usize,
    /// Bytes of payload, as the peer claims.
    pub payload: usize,
}

/// What the buffer begins with.
enum Front {
    Header(Fixed),
    /// This many bytes of noise.
    Noise(usize),
    /// It takes more bytes to know.
    Unclear,
}

impl Decoder {
    /// For a worker's output: text between frames is [`Item::Noise`]. A payload has at most `max_payload` bytes.
    pub fn lenient(max_payload: usize) -> Self {
        Self { max_payload, lenient: true }
    }

    /// For connections that carry nothing but frames.
    pub fn strict(max_payload: usize) -> Self {
        Self { max_payload, lenient: false }
    }

    /// Removes the next item from the front of `buffer`; `None` if more bytes are needed.
    ///
    /// # Errors
    /// If the bytes violate the protocol. The stream cannot be used any further.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Item>, Violation> {
        match self.front(buffer)? {
            Front::Unclear => Ok(None),
            Front::Noise(bytes) => Ok(Some(Item::Noise(buffer.split_to(bytes).freeze()))),
            Front::Header(fixed) if fixed.payload > self.max_payload => {
                Err(Violation::TooLarge { claimed: fixed.payload, limit: self.max_payload })
            }
            Front::Header(fixed) if buffer.len() < fixed.header + fixed.payload => Ok(None),
            Front::Header(fixed) => Ok(Some(Item::Frame(take(buffer, fixed)))),
        }
    }

    /// How many more bytes the frame at the front of `buffer` needs, as far as its header says: a hint for the next read. It can be as
    /// large as `max_payload`, so a reader has to bound it.
    pub fn wanted(&self, buffer: &[u8]) -> usize {
        let Some(fixed) = buffer.first_chunk().and_then(header::parse) else { return 1 };
        (fixed.header + fixed.payload).saturating_sub(buffer.len()).clamp(1, self.max_payload.max(1))
    }

    /// The header at the front of `buffer`; `None` until header and options have arrived. So a reader can judge a frame before it has read
    /// all of it.
    pub fn begun(&self, buffer: &[u8]) -> Option<Begun> {
        let fixed = buffer.first_chunk().and_then(header::parse)?;
        let words = buffer.get(MIN_HEADER..fixed.header)?;
        Some(Begun {
            flags: fixed.flags,
            options: options(words),
            header: fixed.header,
            payload: fixed.payload,
        })
    }

    fn front(&self, buffer: &[u8]) -> Result<Front, Violation> {
        match buffer.first() {
            None => return Ok(Front::Unclear),
            Some(first) if self.lenient && !header::may_begin(*first) => {
                return Ok(Front::Noise(noise(buffer)));
            }
            Some(first) if !header::may_begin(*first) => {
                return Err(Violation::NotAFrame { read: preview(buffer) });
            }
            Some(_) => {}
        }
        let Some(first) = buffer.first_chunk::<MIN_HEADER>() else { return Ok(Front::Unclear) };
        if let Some(fixed) = header::parse(first) {
            return Ok(Front::Header(fixed));
        }
        if !self.lenient {
            let read = preview(buffer);
            let known = header::resembles(first);
            return Err(if known { Violation::Checksum { read } } else { Violation::NotAFrame { read } });
        }
        if !header::resembles(first) {
            return Ok(Front::Noise(noise(buffer)));
        }
        // A header that begins within these twelve bytes is complete after at most eleven more.
        match (1..MIN_HEADER).find(|at| buffer[*at..].first_chunk().and_then(header::parse).is_some()) {
            Some(at) => Ok(Front::Noise(at)),
            None if buffer.len() < 2 * MIN_HEADER - 1
                && first[1..].iter().any(|byte| header::may_begin(*byte)) =>
            {
                Ok(Front::Unclear)
            }
            None => Err(Violation::Checksum { read: preview(buffer) }),
        }
    }
}

/// The number of bytes at the front that belong to no header: at least one, and all up to the next twelve bytes that look like a header, or
/// that the buffer holds only in part. One pass finds the whole run and inspects each byte a constant number of times, however many bytes
/// there are that a header may begin with.
fn noise(buffer: &[u8]) -> usize {
    let mut at = 1;
    while let Some(candidate) = buffer[at..].iter().position(|byte| header::may_begin(*byte)) {
        at += candidate;
        match buffer[at..].first_chunk() {
            Some(bytes) if !header::resembles(bytes) => at += 1,
            _ => return at,
        }
    }
    buffer.len()
}

/// Removes a complete frame from the buffer.
fn take(buffer: &mut BytesMut, fixed: Fixed) -> Frame {
    let head = buffer.split_to(fixed.header);
    Frame {
        flags: fixed.flags,
        stream: fixed.stream,
        options: options(&head[MIN_HEADER..]),
        payload: buffer.split_to(fixed.payload).freeze(),
    }
}

/// The numbers between a header and its payload.
fn options(bytes: &[u8]) -> Options {
    let (words, _) = bytes.as_chunks::<4>();
    let mut values = [0; header::MAX_OPTIONS];
    for (value, word) in values.iter_mut().zip(words) {
        *value = u32::from_le_bytes(*word);
    }
    // A header of thirteen words has ten options: never more.
    Options::from_slice(&values[..words.len().min(header::MAX_OPTIONS)]).unwrap_or_default()
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
