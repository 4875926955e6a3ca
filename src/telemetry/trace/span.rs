//! What is kept of a span until it is exported.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::context::{SpanId, TraceContext};

/// Bytes of a text in a span, at most: texts come from callers, workers and Centrifugo, and the memory of all spans is bounded.
pub(crate) const MAX_TEXT: usize = 256;

/// A span that is over.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: Cow<'static, str>,
    pub(crate) kind: Kind,
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<Parent>,
    /// The caller's `tracestate`.
    pub(crate) state: Option<Box<str>>,
    pub(crate) start: SystemTime,
    pub(crate) took: Duration,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// What went wrong, if it failed.
    pub(crate) failure: Option<Box<str>>,
}

/// The span that caused another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) id: SpanId,
    /// Whether it is of another program.
    pub(crate) is_remote: bool,
}

/// The role of a span, in OpenTelemetry's terms. The numbers are those of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(Cow<'static, str>),
    Number(i64),
}

impl From<&'static str> for Value {
    fn from(text: &'static str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

/// The beginning of a text, no longer than [`MAX_TEXT`].
pub(crate) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT)]
}
