//! Control frames: the handshake and the request to leave.

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, encode};
use super::header::{Flags, Options, StreamBits};

/// The longest control frame that is parsed, in bytes. It holds a pid; anything beside that must cost no time.
pub(super) const MAX_ANSWER: usize = 4096;

/// `CONTROL|JSON {"pid":n}`: sends our pid and asks for the receiver's. The handshake, and the fence after each request.
pub fn pid_request(own: u32) -> Bytes {
    control(format!(r#"{{"pid":{own}}}"#).as_bytes())
}

/// `CONTROL|JSON {"stop":true}`: the worker leaves its loop and exits.
pub fn stop() -> Bytes {
    control(br#"{"stop":true}"#)
}

pub(super) fn control(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    // A short payload always fits into a frame.
    let _ =
        encode(&mut frame, Flags::CONTROL | Flags::JSON, StreamBits::empty(), Options::default(), &[payload]);
    frame.freeze()
}

/// The pid in the payload of a control frame.
pub(super) fn parse_pid(payload: &[u8]) -> Option<u32> {
    #[derive(serde::Deserialize)]
    struct Pid {
        pid: u32,
    }
    if payload.len() > MAX_ANSWER {
        return None;
    }
    serde_json::from_slice::<Pid>(payload).ok().map(|answer| answer.pid)
}

/// A worker's answer to the handshake. All but the pid is optional: workers for RoadRunner send nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Deserialize)]
pub struct Greeting {
    /// Its pid.
    pub pid: u32,
    /// The secret that proves on a socket that it is a worker.
    pub secret: Option<String>,
    /// The version of the protocol that it speaks: 1, or 2 if its requests are to be numbered.
    pub protocol: Option<u64>,
    /// How many requests it takes at a time, with protocol 2.
    pub concurrency: Option<u64>,
    /// The name and version of its library, for the log.
    pub name: Option<String>,
    /// How bodies are encoded; see [`Codec::named`](super::Codec::named).
    pub codec: Option<String>,
    /// The signal on which it prints where in its code it is.
    pub backtrace: Option<String>,
    /// The thread that waits for it.
    pub thread: Option<u32>,
}

/// Parses a greeting; `None` if the frame is something else.
pub fn greeting(frame: &Frame) -> Option<Greeting> {
    let is_greeting = frame.flags.contains(Flags::CONTROL) && frame.payload.len() <= MAX_ANSWER;
    if is_greeting { serde_json::from_slice(&frame.payload).ok() } else { None }
}
