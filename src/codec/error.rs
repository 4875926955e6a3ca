//! What is wrong with a message. Errors quote no values.

use std::fmt;

use crate::protobuf;

/// A request cannot be turned into JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidRequest {
    /// It is no message of its type.
    #[error("the request is not a valid {message}: {cause}")]
    Malformed { message: &'static str, cause: Malformed },
    /// It would take more bytes than a message may.
    #[error("the request as JSON is larger than the limit of {limit} bytes (centrifuge.max_message_size)")]
    TooLarge { limit: usize },
}

/// What is wrong with a protobuf message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("malformed protobuf")]
    Wire,
    #[error("{0} is not UTF-8")]
    NotUtf8(&'static str),
    #[error("{0} is not JSON")]
    NotJson(&'static str),
    #[error("{0} has too many entries")]
    TooMany(&'static str),
    #[error("nested too deeply")]
    TooDeep,
}

impl From<protobuf::Malformed> for Malformed {
    fn from(protobuf::Malformed: protobuf::Malformed) -> Self {
        Self::Wire
    }
}

/// The JSON of a worker's answer is no message of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidAnswer {
    pub(super) message: &'static str,
    /// The names of the fields around the mistake, the innermost first.
    pub(super) path: Vec<&'static str>,
    pub(super) mistake: Mistake,
    /// Where it is, in bytes from the start.
    pub(super) at: usize,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistake {
    Empty,
    NotUtf8,
    Syntax,
    End,
    Trailing,
    TooDeep,
    Expected(&'static str),
    OutOfRange,
    Twice,
    NotBase64,
}

impl InvalidAnswer {
    /// The same within the field `name`.
    pub(super) fn within(mut self, name: &'static str) -> Self {
        self.path.push(name);
        self
    }
}

impl fmt::Display for InvalidAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the worker's answer is not a valid {}: ", self.message)?;
        for (index, name) in self.path.iter().rev().enumerate() {
            write!(f, "{}{name}", if index > 0 { "." } else { "" })?;
        }
        if !self.path.is_empty() {
            f.write_str(": ")?;
        }
        match self.mistake {
            Mistake::Empty => return f.write_str("it is empty"),
            Mistake::NotUtf8 => f.write_str("invalid UTF-8")?,
            Mistake::Syntax => f.write_str("invalid JSON")?,
            Mistake::End => f.write_str("unexpected end")?,
            Mistake::Trailing => f.write_str("unexpected data after it")?,
            Mistake::TooDeep => f.write_str("nested too deeply")?,
            Mistake::Expected(what) => write!(f, "expected {what}")?,
            Mistake::OutOfRange => f.write_str("number out of range")?,
            Mistake::Twice => f.write_str("given twice")?,
            Mistake::NotBase64 => f.write_str("invalid base64")?,
        }
        write!(f, " at byte {}", self.at)
    }
}

impl std::error::Error for InvalidAnswer {}
