//! How a request ended for its worker, or why the worker cannot be used any more.

use std::io;

use bytes::Bytes;

use crate::goridge::Violation;

/// How a request ended, as the worker sees it.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The body of the answer.
    Answer(Bytes),
    /// The worker's own error message; the worker is well.
    Error(String),
    /// The worker did not handle the request and wants to be replaced.
    Stop,
    /// The handler ended without an answer; the worker is well.
    Nothing,
    /// The answer is streamed: its messages follow.
    Streaming,
    /// The answer is streamed, but has to be one message; the worker is well.
    Streamed,
}

/// An error's text is cut at this size: callers get 4 KB of it.
const MAX_ERROR: usize = 64 * 1024;

impl Outcome {
    /// The worker's own error message.
    pub(super) fn error(text: &[u8]) -> Self {
        Self::Error(Self::text(text))
    }

    /// The text of an error, cut.
    pub(super) fn text(text: &[u8]) -> String {
        String::from_utf8_lossy(&text[..text.len().min(MAX_ERROR)]).into_owned()
    }
}

/// What the reader of a streamed answer gets next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message.
    Message(Bytes),
    /// It has ended well.
    End,
    /// The worker ended it with this error.
    Error(String),
    /// The handler ended, and not the stream.
    Unfinished,
    /// The worker sent more than it may.
    Overrun,
}

/// The worker cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// It was gone before any byte of the request was written.
    #[error("it was gone before the request was sent")]
    Unsent,
    /// It closed its side.
    #[error("it closed its relay")]
    Closed(#[source] Option<io::Error>),
    /// It sent what no worker may send.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// It has memory for a large frame, for which others wait, and makes no progress.
    #[error("it stopped in a large answer while others waited for the memory")]
    Stalled,
    /// It reads ahead or answers unasked, and got out of step.
    #[error("it answers out of order: cannot tell which request this answer belongs to")]
    OutOfStep,
    /// It sends its pid unasked, so that its pid does not mark the end of a request.
    #[error("it sends its pid without being asked")]
    MadeUp,
    /// Another process answers instead of it, or beside it.
    #[error("another process ({0}) answers in its place")]
    Another(u32),
}

impl Fault {
    /// The same for another request of the worker; only the first has the source.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Unsent => Self::Unsent,
            Self::Closed(_) => Self::Closed(None),
            Self::Violation(violation) => Self::Violation(violation.clone()),
            Self::Stalled => Self::Stalled,
            Self::OutOfStep => Self::OutOfStep,
            Self::MadeUp => Self::MadeUp,
            Self::Another(pid) => Self::Another(*pid),
        }
    }
}
