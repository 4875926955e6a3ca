//! Control frames: the handshake and the request to leave.

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, encode};
use super::header::{Flags, Options, StreamBits};

/// The longest control frame that is parsed, in bytes. It holds a pid; anything beside that must cost no time.
const MAX_ANSWER: usize = 4096;

/// `CONTROL|JSON {"pid":n}`: sends our pid and asks for the receiver's. The handshake, and the fence after each request.
pub fn pid_request(own: u32) -> Bytes {
    control(format!(r#"{{"pid":{own}}}"#).as_bytes())
}

/// `CONTROL|JSON {"stop":true}`: the worker leaves its loop and exits.
pub fn stop() -> Bytes {
    control(br#"{"stop":true}"#)
}

fn control(payload: &[u8]) -> Bytes {
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

/// A worker's answer to the handshake on a socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Greeting {
    /// Its pid.
    pub pid: u32,
    /// The secret that proves it is a worker, if it knows one.
    pub secret: Option<String>,
}

/// Parses a greeting; `None` if the frame is something else.
pub fn greeting(frame: &Frame) -> Option<Greeting> {
    if frame.flags.contains(Flags::CONTROL) { serde_json::from_slice(&frame.payload).ok() } else { None }
}
