//! What a supervisor writes to its worker, and what the worker may answer.

use bytes::{Bytes, BytesMut};

use super::control::parse_pid;
use super::error::{TooLarge, Violation, preview};
use super::frame::{Frame, encode};
use super::header::{Flags, Head, Options, StreamBits};

/// The context with which a worker says that it did not handle a request and wants to be replaced; its body is empty.
const STOP: &[u8] = br#"{"stop":true}"#;

/// Context and body.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Payload {
    /// What the body is about; JSON for Centrifugo's events.
    pub context: Bytes,
    /// The message.
    pub body: Bytes,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Its pid: the echo of a handshake or a fence.
    Pid(u32),
    /// The answer to a request, or the last frame of a streamed one.
    Answer(Payload),
    /// The request failed, the worker is well. The text is the worker's.
    Error(Bytes),
    /// The worker did not handle the request and wants to be replaced.
    Stop,
    /// A piece of a streamed answer; more follows.
    Chunk {
        /// The piece.
        payload: Payload,
        /// The worker goes on only after a PONG.
        ping: bool,
    },
}

impl Violation {
    /// `reply` came where a pid was due.
    pub(crate) fn unexpected(reply: &Reply) -> Self {
        let what = match reply {
            Reply::Pid(_) => "a pid",
            Reply::Answer(_) => "an answer",
            Reply::Error(_) => "an error",
            Reply::Stop => "a wish to stop",
            Reply::Chunk { .. } => "a piece of a stream",
        };
        Self::Unexpected { what }
    }
}

/// Appends a request to `out`.
///
/// # Errors
/// When context and body are too long for a frame.
pub fn request(out: &mut BytesMut, context: &[u8], body: &[u8]) -> Result<(), TooLarge> {
    let options = context_option(context)?;
    encode(out, Flags::PROTO, StreamBits::NONE, options, &[context, body])
}

/// Appends a request to `out`, all but its body of `body` bytes, which is to be written behind it.
///
/// # Errors
/// When context and body are too long for a frame.
pub fn request_head(out: &mut BytesMut, context: &[u8], body: usize) -> Result<(), TooLarge> {
    let head = Head::new(Flags::PROTO, StreamBits::NONE, context_option(context)?, context.len() + body)?;
    out.extend_from_slice(head.as_ref());
    out.extend_from_slice(context);
    Ok(())
}

fn context_option(context: &[u8]) -> Result<Options, TooLarge> {
    let length = u32::try_from(context.len()).map_err(|_| TooLarge(context.len()))?;
    Ok(Options::from_slice(&[length]).unwrap_or_default())
}

/// Says what a worker's frame is.
///
/// # Errors
/// When it is nothing that a worker may send.
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
    if frame.stream.contains(StreamBits::STREAM) {
        return Ok(Reply::Chunk { payload, ping: frame.stream.contains(StreamBits::PING) });
    }
    if payload.body.is_empty() && payload.context == STOP {
        return Ok(Reply::Stop);
    }
    Ok(Reply::Answer(payload))
}
