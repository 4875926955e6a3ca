//! Requests to a worker, and its replies.

use bytes::{Bytes, BytesMut};

use super::codec::Codec;
use super::control::parse_pid;
use super::error::{TooLarge, Violation, preview};
use super::frame::{Frame, encode};
use super::header::{Flags, Head, Options, StreamBits};

/// The context of a reply that declines a request and asks to be replaced; the body is empty.
pub(super) const STOP: &[u8] = br#"{"stop":true}"#;

/// Context and body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// Metadata of the body; JSON for Centrifugo's events.
    pub context: Bytes,
    /// The message.
    pub body: Bytes,
}

/// A worker's frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Its pid: the echo of a handshake or a fence.
    Pid(u32),
    /// The answer to a request, or the last frame of a streamed one.
    Answer(Payload),
    /// The request has failed; the worker is fine. The text is the worker's.
    Error(Bytes),
    /// The worker has not handled the request and asks to be replaced.
    Stop,
    /// A part of a streamed answer; more follows.
    Chunk {
        /// The part.
        payload: Payload,
        /// Whether the worker waits for a PONG.
        ping: bool,
    },
}

impl Violation {
    /// `reply` where a pid is expected.
    pub(crate) fn unexpected(reply: &Reply) -> Self {
        let what = match reply {
            Reply::Pid(_) => "a pid",
            Reply::Answer(_) => "an answer",
            Reply::Error(_) => "an error",
            Reply::Stop => "a request to stop",
            Reply::Chunk { .. } => "a part of a stream",
        };
        Self::Unexpected { what }
    }
}

/// Appends a request to `out`.
///
/// # Errors
/// If context and body are too long for a frame.
pub fn request(out: &mut BytesMut, context: &[u8], body: &[u8]) -> Result<(), TooLarge> {
    let options = context_option(context)?;
    encode(out, Flags::PROTO, StreamBits::empty(), options, &[context, body])
}

/// The header of a request, which its context and its body of `body` bytes in this codec follow.
///
/// # Errors
/// If context and body are too long for a frame.
pub fn request_head(codec: Codec, context: &[u8], body: usize) -> Result<Head, TooLarge> {
    Head::new(codec.flag(), StreamBits::empty(), context_option(context)?, context.len() + body)
}

fn context_option(context: &[u8]) -> Result<Options, TooLarge> {
    let length = u32::try_from(context.len()).map_err(|_| TooLarge(context.len()))?;
    Ok(Options::from_slice(&[length]).unwrap_or_default())
}

/// Parses a worker's frame.
///
/// # Errors
/// If a worker may not send it.
pub fn classify(frame: Frame) -> Result<Reply, Violation> {
    if frame.flags.contains(Flags::CONTROL) {
        return parse_pid(&frame.payload)
            .map(Reply::Pid)
            .ok_or_else(|| Violation::Control { read: preview(&frame.payload) });
    }
    if frame.flags.contains(Flags::ERROR) {
        return Ok(Reply::Error(frame.payload));
    }
    let &[context] = frame.options.as_slice() else {
        return Err(Violation::Options { found: frame.options.as_slice().len() });
    };
    let mut body = frame.payload;
    if context as usize > body.len() {
        return Err(Violation::Context { context, payload: body.len() });
    }
    let payload = Payload { context: body.split_to(context as usize), body };
    // With STOP it is the last one, as in protocol 2.
    if frame.stream.contains(StreamBits::STREAM) && !frame.stream.contains(StreamBits::STOP) {
        return Ok(Reply::Chunk { payload, ping: frame.stream.contains(StreamBits::PING) });
    }
    if payload.body.is_empty() && payload.context == STOP {
        return Ok(Reply::Stop);
    }
    Ok(Reply::Answer(payload))
}
