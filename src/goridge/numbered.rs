//! Protocol 2, our extension for workers with several requests in flight: each frame that belongs to a request carries its number as a
//! second option. `docs/reference/goridge.md` specifies it.

use bytes::Bytes;

use super::codec::Codec;
use super::control::{MAX_ANSWER, control};
use super::error::{TooLarge, Violation, preview};
use super::frame::Frame;
use super::header::{Flags, Head, Options, StreamBits};
use super::reply::{Payload, STOP};

/// A frame of a worker that numbers its requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// What belongs to one request.
    Of {
        /// The number of the request.
        id: u32,
        /// What it is.
        part: Part,
    },
    /// How many requests the worker wants in flight, at most, from now on.
    Credit(u32),
    /// It may be sent more messages of a stream.
    Window {
        /// The number of the request that is streamed.
        id: u32,
        /// How many more.
        messages: u32,
    },
    /// It wants to know whether we are alive.
    Ping,
    /// It is alive.
    Pong,
    /// A pid, which nobody has asked for.
    Pid(u32),
    /// Something of a later version.
    Other,
}

/// What a frame means for its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The answer, or the last message of a streamed one; an empty one may be the end alone.
    Answer(Bytes),
    /// The request has failed; the text is the worker's.
    Error(Bytes),
    /// The worker has not handled the request and asks to be replaced.
    Stop,
    /// A message of a streamed answer; more may follow.
    Chunk(Bytes),
    /// The last message of a streamed answer, or its end alone if it is empty.
    Last(Bytes),
}

/// Why an answer is not wanted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// The caller's deadline has passed.
    Deadline,
    /// The caller has gone.
    Gone,
    /// The request has taken longer than `exec_ttl`.
    ExecTtl,
}

impl Cancel {
    fn name(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Gone => "gone",
            Self::ExecTtl => "exec_ttl",
        }
    }
}

/// A control frame of a worker; what else is in it is ignored, so that workers of a later version may say more.
#[derive(Debug, serde::Deserialize)]
struct Control {
    credit: Option<u64>,
    window: Option<u32>,
    messages: Option<u64>,
    pid: Option<u32>,
}

/// Parses a worker's frame.
///
/// # Errors
/// If a worker may not send it.
pub fn parse_numbered(frame: Frame) -> Result<Message, Violation> {
    if frame.flags.contains(Flags::CONTROL) {
        return parse_control(&frame.payload)
            .ok_or_else(|| Violation::Command { read: preview(&frame.payload) });
    }
    let &[context, id] = frame.options.as_slice() else {
        return match (frame.options.as_slice().is_empty() && frame.payload.is_empty(), frame.stream) {
            (true, bits) if bits.contains(StreamBits::PONG) => Ok(Message::Pong),
            (true, bits) if bits.contains(StreamBits::PING) => Ok(Message::Ping),
            _ => Err(Violation::NumberedOptions { found: frame.options.as_slice().len() }),
        };
    };
    let mut body = frame.payload;
    if frame.flags.contains(Flags::ERROR) {
        return Ok(Message::Of { id, part: Part::Error(body) });
    }
    if context as usize > body.len() {
        return Err(Violation::Context { context, payload: body.len() });
    }
    let payload = Payload { context: body.split_to(context as usize), body };
    let part = match (frame.stream.contains(StreamBits::STREAM), frame.stream.contains(StreamBits::STOP)) {
        (true, false) => Part::Chunk(payload.body),
        (true, true) => Part::Last(payload.body),
        (false, _) if payload.body.is_empty() && payload.context == STOP => Part::Stop,
        (false, _) => Part::Answer(payload.body),
    };
    Ok(Message::Of { id, part })
}

fn parse_control(payload: &[u8]) -> Option<Message> {
    if payload.len() > MAX_ANSWER {
        return None;
    }
    let capped = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    match serde_json::from_slice(payload).ok()? {
        Control { credit: Some(credit), .. } => Some(Message::Credit(capped(credit))),
        Control { window: Some(id), messages: Some(messages), .. } => {
            Some(Message::Window { id, messages: capped(messages) })
        }
        Control { pid: Some(pid), .. } => Some(Message::Pid(pid)),
        Control { credit: None, window: None, messages: None, pid: None } => Some(Message::Other),
        Control { .. } => None,
    }
}

/// The header of a request, which its context and its body of `body` bytes in this codec follow.
///
/// # Errors
/// If context and body are too long for a frame.
pub fn numbered_head(codec: Codec, id: u32, context: &[u8], body: usize) -> Result<Head, TooLarge> {
    head(codec, StreamBits::empty(), id, context.len(), body)
}

/// The header of a client's message on a stream, which its body of `body` bytes follows.
///
/// # Errors
/// If the body is too long for a frame.
pub fn message_head(codec: Codec, id: u32, body: usize) -> Result<Head, TooLarge> {
    head(codec, StreamBits::STREAM, id, 0, body)
}

fn head(codec: Codec, stream: StreamBits, id: u32, context: usize, body: usize) -> Result<Head, TooLarge> {
    let length = u32::try_from(context).map_err(|_| TooLarge(context))?;
    let options = Options::from_slice(&[length, id]).unwrap_or_default();
    Head::new(codec.flag(), stream, options, context + body)
}

/// Tells the worker that the answer to a request is not wanted any more.
pub fn cancel(id: u32, reason: Cancel) -> Bytes {
    control(format!(r#"{{"cancel":{id},"reason":"{}"}}"#, reason.name()).as_bytes())
}

/// Tells the worker that it gets no new requests.
pub fn drain() -> Bytes {
    control(br#"{"drain":true}"#)
}

/// Lets the worker send more messages of a stream.
pub fn window(id: u32, messages: u32) -> Bytes {
    control(format!(r#"{{"window":{id},"messages":{messages}}}"#).as_bytes())
}

/// Asks whether the worker is alive.
pub fn ping() -> Head {
    empty(StreamBits::PING)
}

/// Answers a PING.
pub fn pong() -> Head {
    empty(StreamBits::PONG)
}

/// Asks a worker of protocol 1 to end its streamed answer.
pub fn stop_stream() -> Head {
    empty(StreamBits::STOP)
}

fn empty(stream: StreamBits) -> Head {
    Head::empty(Flags::empty(), stream)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::goridge::{Decoder, Item, encode};

    fn parse(
        flags: Flags,
        stream: StreamBits,
        options: &[u32],
        payload: &[u8],
    ) -> Result<Message, Violation> {
        let mut bytes = BytesMut::new();
        encode(&mut bytes, flags, stream, Options::from_slice(options).unwrap(), &[payload]).unwrap();
        match Decoder::strict(1 << 20).decode(&mut bytes) {
            Ok(Some(Item::Frame(frame))) => parse_numbered(frame),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_frame_of_a_request_has_its_number() {
        let plain = Flags::empty();
        let of = |part| Ok(Message::Of { id: 7, part });
        let body = Bytes::from_static(b"body");
        assert_eq!(parse(plain, StreamBits::empty(), &[2, 7], b"{}body"), of(Part::Answer(body.clone())));
        assert_eq!(parse(Flags::ERROR, StreamBits::empty(), &[0, 7], b"body"), of(Part::Error(body.clone())));
        assert_eq!(parse(plain, StreamBits::empty(), &[13, 7], br#"{"stop":true}"#), of(Part::Stop));
        assert_eq!(parse(plain, StreamBits::STREAM, &[0, 7], b"body"), of(Part::Chunk(body.clone())));
        let last = StreamBits::STREAM | StreamBits::STOP;
        assert_eq!(parse(plain, last, &[0, 7], b"body"), of(Part::Last(body)));
        for options in [&[][..], &[0], &[0, 7, 0]] {
            let found = options.len();
            assert_eq!(
                parse(plain, StreamBits::empty(), options, b"x"),
                Err(Violation::NumberedOptions { found })
            );
        }
        assert_eq!(
            parse(plain, StreamBits::empty(), &[9, 7], b"x"),
            Err(Violation::Context { context: 9, payload: 1 })
        );
    }

    #[test]
    fn control_frames_and_signs_of_life_have_none() {
        let control = |text: &[u8]| parse(Flags::CONTROL | Flags::JSON, StreamBits::empty(), &[], text);
        assert_eq!(control(br#"{"credit":0}"#), Ok(Message::Credit(0)));
        assert_eq!(control(br#"{"credit":99999999999}"#), Ok(Message::Credit(u32::MAX)));
        assert_eq!(control(br#"{"window":7,"messages":32}"#), Ok(Message::Window { id: 7, messages: 32 }));
        assert_eq!(control(br#"{"pid":5,"later":1}"#), Ok(Message::Pid(5)));
        assert_eq!(control(br#"{"later":1}"#), Ok(Message::Other));
        for wrong in [&br#"{"window":7}"#[..], br#"{"credit":-1}"#, b"[1]", b"{"] {
            assert!(matches!(control(wrong), Err(Violation::Command { .. })), "{}", wrong.escape_ascii());
        }
        assert_eq!(parse(Flags::empty(), StreamBits::PING, &[], b""), Ok(Message::Ping));
        assert_eq!(parse(Flags::empty(), StreamBits::PONG, &[], b""), Ok(Message::Pong));
    }

    #[test]
    fn what_workers_are_sent_is_a_frame() {
        let mut bytes = BytesMut::new();
        for frame in [cancel(7, Cancel::ExecTtl), drain(), window(7, 32)] {
            bytes.extend_from_slice(&frame);
        }
        for head in [ping(), pong(), stop_stream()] {
            bytes.extend_from_slice(head.as_ref());
        }
        bytes.extend_from_slice(numbered_head(Codec::Json, 7, b"{}", 3).unwrap().as_ref());
        bytes.extend_from_slice(b"{}123");
        bytes.extend_from_slice(message_head(Codec::Proto, 7, 3).unwrap().as_ref());
        bytes.extend_from_slice(b"123");
        let mut decoder = Decoder::strict(1000);
        let mut seen = Vec::new();
        while let Some(Item::Frame(frame)) = decoder.decode(&mut bytes).unwrap() {
            let text = String::from_utf8(frame.payload.to_vec()).unwrap();
            let options = frame.options.as_slice().to_vec();
            seen.push((frame.flags.bits(), frame.stream.bits(), options, text));
        }
        let frame =
            |flags, stream, options: &[u32], text: &str| (flags, stream, options.to_vec(), text.to_owned());
        assert_eq!(
            seen,
            [
                frame(0x09, 0, &[], r#"{"cancel":7,"reason":"exec_ttl"}"#),
                frame(0x09, 0, &[], r#"{"drain":true}"#),
                frame(0x09, 0, &[], r#"{"window":7,"messages":32}"#),
                frame(0, 4, &[], ""),
                frame(0, 8, &[], ""),
                frame(0, 2, &[], ""),
                frame(0x08, 0, &[2, 7], "{}123"),
                frame(0x80, 1, &[0, 7], "123"),
            ]
        );
    }
}
