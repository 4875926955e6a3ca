//! Bytes in, frames out.
//!
//! A worker on the pipes relay shares its standard output with whatever its code prints, so a lenient decoder takes text between frames
//! for what it is: noise, handed out as such, up to the next valid header. A *broken* frame is something else: twelve bytes that look
//! like a header in every respect but for their checksum. What follows it may be anything, somebody's message included, so the decoder
//! does not go looking for the next header there. There is one exception: where a valid header begins within these twelve bytes, somebody
//! printed a piece of a header in front of a real frame, and that piece is noise.

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

/// Cuts a stream of bytes into frames.
#[derive(Debug, Clone)]
pub struct Decoder {
    max_payload: usize,
    lenient: bool,
}

/// A frame whose header has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begun {
    /// How the payload is encoded.
    pub flags: Flags,
    /// The numbers behind the header.
    pub options: Options,
    /// Bytes of header and options.
    pub header: usize,
    /// Bytes of payload, as the peer says.
    pub payload: usize,
}

/// What stands at the front of the buffer.
enum Front {
    Header(Fixed),
    /// So many bytes of noise.
    Noise(usize),
    /// More bytes will tell.
    Unclear,
}

impl Decoder {
    /// For a worker's output: text between frames is [`Item::Noise`]. A payload may have `max_payload` bytes.
    pub fn lenient(max_payload: usize) -> Self {
        Self { max_payload, lenient: true }
    }

    /// For connections on which nothing but frames may travel.
    pub fn strict(max_payload: usize) -> Self {
        Self { max_payload, lenient: false }
    }

    /// Takes the next item off the front of `buffer`; `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes break the protocol. The stream cannot be used any further.
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

    /// How many more bytes the frame at the front of `buffer` wants, as far as its header tells: a hint for the next read. It can be as
    /// large as `max_payload`, so a reader bounds it.
    pub fn wanted(&self, buffer: &[u8]) -> usize {
        let Some(fixed) = buffer.first_chunk().and_then(header::parse) else { return 1 };
        (fixed.header + fixed.payload).saturating_sub(buffer.len()).clamp(1, self.max_payload.max(1))
    }

    /// What the header at the front of `buffer` tells of its frame; none until the header and its options are there. So a reader can
    /// judge a frame before it has read it.
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
        // A header that begins within these twelve bytes needs eleven more at the most to be known.
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

/// How many bytes at the front belong to no header: at least one, and all up to the next place where twelve bytes look like a header, or
/// where the buffer ends too soon to tell. The whole run is found in one pass, in which each byte is looked at a constant number of times,
/// however many bytes there are with which a header may begin.
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

/// Takes a frame that is there as a whole.
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
