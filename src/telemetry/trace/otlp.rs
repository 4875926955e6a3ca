//! Spans as a message of OTLP.

use std::time::SystemTime;

use prost::Message as _;

use super::messages::{
    Any, AnyValue, ExportTraceServiceRequest, KeyValue, Resource, ResourceSpans, Scope, ScopeSpans, Status,
};
use super::span::{Span, Value};
use super::{SCHEMA_URL, SCOPE, VERSION, messages};

/// The flags of a span whose parent is known to be local, or to be remote.
const PARENT_IS_LOCAL: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x300;

/// The code of a span's status if it failed.
const ERROR: i32 = 2;

/// Encodes an `ExportTraceServiceRequest`.
pub(super) fn encode(resource: &[(String, String)], spans: Vec<Span>) -> Vec<u8> {
    let attributes = resource.iter().map(|(key, value)| attribute(key, value.clone().into())).collect();
    let scope = Scope { name: SCOPE.into(), version: VERSION.into() };
    let spans = ScopeSpans {
        scope: Some(scope),
        spans: spans.into_iter().map(span).collect(),
        schema_url: SCHEMA_URL.into(),
    };
    let resource = ResourceSpans {
        resource: Some(Resource { attributes }),
        scope_spans: vec![spans],
        schema_url: SCHEMA_URL.into(),
    };
    ExportTraceServiceRequest { resource_spans: vec![resource] }.encode_to_vec()
}

fn span(span: Span) -> messages::Span {
    let is_remote = span.parent.is_some_and(|parent| parent.is_remote);
    let flags = if is_remote { PARENT_IS_REMOTE } else { PARENT_IS_LOCAL };
    let status = span.failure.map(|failure| Status { message: failure.into(), code: ERROR });
    messages::Span {
        trace_id: span.context.trace_id.0.to_vec(),
        span_id: span.context.span_id.0.to_vec(),
        trace_state: span.state.map(String::from).unwrap_or_default(),
        parent_span_id: span.parent.map(|parent| parent.id.0.to_vec()).unwrap_or_default(),
        name: span.name.into_owned(),
        kind: span.kind as i32,
        start_time_unix_nano: nanos(span.start),
        end_time_unix_nano: nanos(span.start + span.took),
        attributes: span.attributes.into_iter().map(|(key, value)| attribute(key, value)).collect(),
        status,
        flags: flags | u32::from(span.context.flags()),
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    let value = match value {
        Value::Text(text) => Any::Text(text.into_owned()),
        Value::Number(number) => Any::Number(number),
    };
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }) }
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
