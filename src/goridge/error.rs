//! What can be wrong with a frame.

/// A peer broke the protocol; where the next frame begins cannot be known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A header whose checksum is wrong.
    #[error("a frame with a wrong checksum; read: \"{read}\"")]
    Checksum {
        /// The first bytes, escaped.
        read: String,
    },
    /// What should be a header is none.
    #[error("not a frame; read: \"{read}\"")]
    NotAFrame {
        /// The first bytes, escaped.
        read: String,
    },
    /// The payload is longer than this side accepts.
    #[error("a frame of {claimed} bytes, more than the {limit} that are allowed")]
    TooLarge {
        /// Bytes of payload, as the header says.
        claimed: usize,
        /// Bytes of payload that are allowed.
        limit: usize,
    },
    /// A response without exactly one option.
    #[error("a response with {found} options instead of one, the length of its context")]
    Options {
        /// How many there are.
        found: usize,
    },
    /// A response whose context would reach beyond its payload.
    #[error("a response whose context of {context} bytes is longer than its payload of {payload}")]
    Context {
        /// The context's length, as the option says.
        context: u32,
        /// The payload's length.
        payload: usize,
    },
    /// A control frame that does not hold a pid.
    #[error("a control frame without a pid: \"{read}\"")]
    Control {
        /// The payload, escaped.
        read: String,
    },
    /// A good frame at the wrong time.
    #[error("{what} instead of a pid")]
    Unexpected {
        /// The kind of frame.
        what: &'static str,
    },
}

/// A payload that no frame can hold: its length is a 32-bit number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} bytes do not fit into one frame")]
pub struct TooLarge(pub usize);

/// The first bytes of `bytes` in a form that fits into one line of a log.
pub(super) fn preview(bytes: &[u8]) -> String {
    const SHOWN: usize = 120;
    let shown = &bytes[..bytes.len().min(SHOWN)];
    let dots = if bytes.len() > SHOWN { "..." } else { "" };
    format!("{}{dots}", shown.escape_ascii())
}
