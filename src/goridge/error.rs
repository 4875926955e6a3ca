//! How a peer can violate the protocol.

/// A peer has violated the protocol. It is unknown where the next frame begins.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A header with a wrong checksum.
    #[error("frame header with a wrong checksum; read: \"{read}\"")]
    Checksum {
        /// The first bytes, escaped.
        read: String,
    },
    /// Something else where a header should be.
    #[error("not a frame; read: \"{read}\"")]
    NotAFrame {
        /// The first bytes, escaped.
        read: String,
    },
    /// The payload is longer than this side accepts.
    #[error("frame of {claimed} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of payload, as the header claims.
        claimed: usize,
        /// Bytes of payload that are allowed.
        limit: usize,
    },
    /// A response without exactly one option.
    #[error("expected one option, the length of the context, found {found}")]
    Options {
        /// The number of options.
        found: usize,
    },
    /// A frame of protocol 2 without exactly two options.
    #[error("expected two options, the length of the context and the number of the request, found {found}")]
    NumberedOptions {
        /// The number of options.
        found: usize,
    },
    /// A response whose context would be longer than its payload.
    #[error("context of {context} bytes in a payload of {payload}")]
    Context {
        /// Bytes of context, as the option claims.
        context: u32,
        /// Bytes of payload.
        payload: usize,
    },
    /// A control frame without a pid.
    #[error("control frame without a pid: \"{read}\"")]
    Control {
        /// The payload, escaped.
        read: String,
    },
    /// A control frame of protocol 2 that means nothing.
    #[error("control frame without a credit or a window: \"{read}\"")]
    Command {
        /// The payload, escaped.
        read: String,
    },
    /// A valid frame where a pid is expected.
    #[error("expected a pid, found {what}")]
    Unexpected {
        /// The kind of frame.
        what: &'static str,
    },
}

/// A payload that is too long for a frame, whose length is a 32-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit into one frame")]
pub struct TooLarge(pub usize);

/// The first bytes of `bytes`, escaped, for one line of a log.
pub(super) fn preview(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let dots = if bytes.len() > SHOWN { "..." } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
