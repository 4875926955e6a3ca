//! W3C Trace Context: where a request stands in a trace.
//!
//! Source: <https://www.w3.org/TR/trace-context/>.

use std::fmt;

use http::{HeaderMap, HeaderName};
use memchr::memmem;

/// The header that names the trace of a request and the span that caused it.
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header with what other tracing systems know of that trace.
pub(super) static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Bytes of a `traceparent` of version 00: `00-` trace id `-` span id `-` flags.
pub(crate) const LENGTH: usize = 55;

/// The flag of a trace that is recorded.
const SAMPLED: u8 = 1;

/// The flags that have a meaning: sampled, and that the trace id is random.
const KNOWN_FLAGS: u8 = 3;

/// In the context of a request, what stands in front of its `traceparent`. In a text, its quotes would be escaped.
const IN_CONTEXT: &[u8] = b"\"traceparent\":[\"";

/// The id of a trace; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub(super) [u8; 16]);

/// The id of a span; never zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub(super) [u8; 8]);

/// A place in a trace: a span, perhaps of another program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace_id: TraceId,
    /// The span.
    pub span_id: SpanId,
    /// The flags of `traceparent`.
    flags: u8,
}

impl TraceContext {
    pub(super) fn new(trace_id: TraceId, span_id: SpanId, is_sampled: bool) -> Self {
        Self { trace_id, span_id, flags: if is_sampled { SAMPLED } else { 0 } }
    }

    /// Reads a `traceparent`. Of versions later than 00, it reads what they have in common with it.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        if known[2] != b'-' || known[35] != b'-' || known[52] != b'-' {
            return None;
        }
        let [version] = decode(&known[..2])?;
        let is_complete = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let trace_id = decode(&known[3..35]).filter(|id| *id != [0; 16])?;
        let span_id = decode(&known[36..52]).filter(|id| *id != [0; 8])?;
        let [flags] = decode(&known[53..])?;
        let flags = flags & KNOWN_FLAGS;
        is_complete.then_some(Self { trace_id: TraceId(trace_id), span_id: SpanId(span_id), flags })
    }

    /// Reads the `traceparent` of a call's headers. Several of them are none.
    pub fn of_headers(headers: &HeaderMap) -> Option<Self> {
        let mut found = headers.get_all(&TRACEPARENT).iter();
        match (found.next(), found.next()) {
            (Some(only), None) => Self::parse(only.as_bytes()),
            _ => None,
        }
    }

    /// Reads the `traceparent` of a request's context, which is JSON: as its caller sent it, or as this server handed it to the worker. A
    /// search, without decoding the rest: for what is rare, such as a slow request.
    pub fn of_context(context: &[u8]) -> Option<Self> {
        let start = memmem::find(context, IN_CONTEXT)? + IN_CONTEXT.len();
        let (text, rest) = context[start..].split_at_checked(LENGTH)?;
        rest.starts_with(b"\"]").then(|| Self::parse(text)).flatten()
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    /// The same trace, at another span.
    pub(super) fn at(self, span_id: SpanId) -> Self {
        Self { span_id, ..self }
    }

    /// The flags of `traceparent`.
    pub(super) fn flags(&self) -> u8 {
        self.flags
    }

    /// The `traceparent` of what this span causes.
    pub(crate) fn traceparent(&self) -> [u8; LENGTH] {
        let mut text = [b'-'; LENGTH];
        encode(&[0], &mut text[..2]);
        encode(&self.trace_id.0, &mut text[3..35]);
        encode(&self.span_id.0, &mut text[36..52]);
        encode(&[self.flags], &mut text[53..]);
        text
    }
}

/// Decodes hexadecimal digits in lower case; the standard allows no others.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn encode(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    /// The standard's example.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parse(text: &str) -> Option<TraceContext> {
        TraceContext::parse(text.as_bytes())
    }

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = parse(EXAMPLE).unwrap();
        assert_eq!(context.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id.to_string(), "00f067aa0ba902b7");
        assert!(context.is_sampled());
        assert_eq!(context.traceparent(), EXAMPLE.as_bytes());
        assert!(!parse(&EXAMPLE.replace("-01", "-00")).unwrap().is_sampled());
    }

    #[test]
    fn unknown_flags_are_not_passed_on() {
        let context = parse(&EXAMPLE.replace("-01", "-ff")).unwrap();
        assert_eq!(context.traceparent(), EXAMPLE.replace("-01", "-03").as_bytes());
    }

    #[test]
    fn a_traceparent_of_a_later_version_may_be_longer() {
        let later = EXAMPLE.replacen("00", "cc", 1);
        assert_eq!(parse(&later), parse(EXAMPLE));
        assert_eq!(parse(&format!("{later}-what-the-future-will-be-like")), parse(EXAMPLE));
        for wrong in [format!("{later}."), format!("{EXAMPLE}-more"), later.replace("cc", "ff")] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        let zero = |part: &str| EXAMPLE.replace(part, &"0".repeat(part.len()));
        let wrong = [
            String::new(),
            EXAMPLE[..54].to_owned(),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replace('-', "_"),
            EXAMPLE.replace('4', "g"),
            zero("4bf92f3577b34da6a3ce929d0e0e4736"),
            zero("00f067aa0ba902b7"),
        ];
        for wrong in wrong {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn of_several_traceparents_none_counts() {
        let mut headers = HeaderMap::new();
        assert_eq!(TraceContext::of_headers(&headers), None);
        headers.append(&TRACEPARENT, HeaderValue::from_static(EXAMPLE));
        assert_eq!(TraceContext::of_headers(&headers), parse(EXAMPLE));
        headers.append(&TRACEPARENT, HeaderValue::from_static(EXAMPLE));
        assert_eq!(TraceContext::of_headers(&headers), None);
    }

    #[test]
    fn the_context_of_a_request_names_its_trace() {
        let context = |values: &str| {
            format!(
                r#"{{":authority":["a"],"x":["\"traceparent\":[\"{EXAMPLE}\"]"],"traceparent":[{values}],"type":["rpc"]}}"#
            )
        };
        let of = |context: String| TraceContext::of_context(context.as_bytes());
        assert_eq!(of(context(&format!("\"{EXAMPLE}\""))), parse(EXAMPLE));
        assert_eq!(of(context(&format!("\"{EXAMPLE}\",\"{EXAMPLE}\""))), None);
        assert_eq!(of(context("\"\"")), None);
        assert_eq!(of(context("").replace("\"traceparent\"", "\"other\"")), None);
    }
}
