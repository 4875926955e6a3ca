//! Control frames: who are you, and please leave.

use bytes::{Bytes, BytesMut};

use super::frame::{Frame, encode};
use super::header::{Flags, Options, StreamBits};

/// The longest control frame that is read, in bytes: one holds a pid, and must not keep anybody busy with what it holds beside.
const MAX_ANSWER: usize = 4096;

/// `CONTROL|JSON {"pid":n}`: says the sender's pid and asks for the receiver's. The handshake, and the fence behind each request.
pub fn pid_request(own: u32) -> Bytes {
    control(format!(r#"{{"pid":{own}}}"#).as_bytes())
}

/// `CONTROL|JSON {"stop":true}`: the worker leaves its loop and exits.
pub fn stop() -> Bytes {
    control(br#"{"stop":true}"#)
}

fn control(payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    // A few bytes always fit into a frame.
    let _ =
        encode(&mut frame, Flags::CONTROL | Flags::JSON, StreamBits::NONE, Options::default(), &[payload]);
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

/// What a worker answers first on a socket.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
pub struct Greeting {
    /// Its pid.
    pub pid: u32,
    /// What proves that it is a worker, if it knows of that.
    pub secret: Option<String>,
}

/// The greeting in a frame, if it is one.
pub fn greeting(frame: &Frame) -> Option<Greeting> {
    if frame.flags.contains(Flags::CONTROL) { serde_json::from_slice(&frame.payload).ok() } else { None }
}
