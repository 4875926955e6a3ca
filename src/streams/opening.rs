//! What is kept of the request that opened a stream: the events of the stream are made of it.

use bytes::Bytes;
use memchr::memmem;

use super::wire::{self, Malformed};

/// In a context, what stands in front of the type. In a text, its quotes would be escaped.
const TYPE: &[u8] = b"\"type\":[\"";

/// The context and the `SubscribeRequest`, in one piece of memory.
#[derive(Debug)]
pub(super) struct Opening {
    bytes: Box<[u8]>,
    context: usize,
}

impl Opening {
    pub(super) fn new(context: &[u8], request: &[u8]) -> Self {
        Self { bytes: [context, request].concat().into(), context: context.len() }
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// The `SubscribeRequest`.
    pub(super) fn request(&self) -> &[u8] {
        &self.bytes[self.context..]
    }

    /// The context of an event of this type, with a reason if there is one.
    pub(super) fn context(&self, kind: &str, reason: Option<&str>) -> Vec<u8> {
        let context = &self.bytes[..self.context];
        let mut out = Vec::with_capacity(context.len() + 48);
        let rest = match (reason, context.strip_prefix(b"{")) {
            (Some(reason), Some(rest)) => {
                out.extend_from_slice(b"{\"reason\":[\"");
                out.extend_from_slice(reason.as_bytes());
                out.extend_from_slice(b"\"],");
                rest
            }
            _ => context,
        };
        let Some(at) = memmem::find(rest, TYPE).map(|at| at + TYPE.len()) else { return out };
        let end = at + rest[at..].iter().position(|byte| *byte == b'"').unwrap_or_default();
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(&rest[end..]);
        out
    }

    /// The body of a `streampublish` with these data.
    ///
    /// # Errors
    /// When the request that opened the stream is no message.
    pub(super) fn publish_request(&self, data: &[u8]) -> Result<Bytes, Malformed> {
        wire::publish_request(self.request(), data).map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_context_of_an_event_is_that_of_the_opening_with_another_type() {
        let context = br#"{"cookie":["\"type\":[\"x"],"stream":["id"],"type":["subscribebidirectional"],"user-agent":["a"]}"#;
        let opening = Opening::new(context, b"request");
        assert_eq!(opening.request(), b"request");
        let expected =
            br#"{"cookie":["\"type\":[\"x"],"stream":["id"],"type":["streampublish"],"user-agent":["a"]}"#;
        assert_eq!(opening.context("streampublish", None), expected);
        let end = opening.context("streamend", Some("client"));
        let expected = br#"{"reason":["client"],"cookie":["\"type\":[\"x"],"stream":["id"],"type":["streamend"],"user-agent":["a"]}"#;
        assert_eq!(end, expected);
    }
}
