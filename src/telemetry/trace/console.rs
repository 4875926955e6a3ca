//! Spans as text, for the exporters `stdout` and `stderr`: one JSON object per line, with the keys that Go's SDK, and so RoadRunner, writes.

use std::fmt::Write as _;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value as Json, json};

use super::span::{Span, Value};
use super::{SCHEMA_URL, SCOPE, VERSION};

const NO_TRACE: &str = "00000000000000000000000000000000";
const NO_SPAN: &str = "0000000000000000";

/// The lines of these spans.
pub(super) fn lines(resource: &[(String, String)], spans: &[Span]) -> String {
    let resource: Vec<Json> =
        resource.iter().map(|(key, value)| attribute(key, &value.clone().into())).collect();
    let mut lines = String::new();
    for span in spans {
        let _ = writeln!(lines, "{}", object(&resource, span));
    }
    lines
}

fn object(resource: &[Json], span: &Span) -> Json {
    let state = span.state.as_deref().unwrap_or_default();
    let context = |id: String, flags: u8, is_remote: bool| {
        json!({
            "TraceID": span.context.trace_id.to_string(),
            "SpanID": id,
            "TraceFlags": format!("{flags:02x}"),
            "TraceState": state,
            "Remote": is_remote,
        })
    };
    let flags = span.context.flags();
    let parent = match span.parent {
        Some(parent) => context(parent.id.to_string(), flags, parent.is_remote),
        None => json!({
            "TraceID": NO_TRACE, "SpanID": NO_SPAN, "TraceFlags": "00", "TraceState": "", "Remote": false,
        }),
    };
    let code = if span.failure.is_some() { "Error" } else { "Unset" };
    let attributes: Vec<Json> = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    json!({
        "Name": span.name,
        "SpanContext": context(span.context.span_id.to_string(), flags, false),
        "Parent": parent,
        // The numbers of Go's SDK are those of OTLP.
        "SpanKind": span.kind as i32,
        "StartTime": time(span.start),
        "EndTime": time(span.start + span.took),
        "Attributes": attributes,
        "Events": null,
        "Links": null,
        "Status": {"Code": code, "Description": span.failure.as_deref().unwrap_or_default()},
        "DroppedAttributes": 0,
        "DroppedEvents": 0,
        "DroppedLinks": 0,
        "Resource": resource,
        "InstrumentationScope": {"Name": SCOPE, "Version": VERSION, "SchemaURL": SCHEMA_URL, "Attributes": null},
    })
}

fn attribute(key: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"Type": "STRING", "Value": text}),
        Value::Number(number) => json!({"Type": "INT64", "Value": number}),
    };
    json!({"Key": key, "Value": value})
}

fn time(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}
