//! `app`: log lines of the application, on channel `app`.

use std::fmt::Write as _;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::task::JoinError;
use tracing::{debug, error, info, warn};

use crate::compat::Compat;
use crate::offload;
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;
use crate::rpc::services::Services;
use crate::telemetry::logs;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    message: String,
    log_attrs: Vec<Attribute>,
}

impl Entry {
    fn size(&self) -> usize {
        let attributes = self.log_attrs.iter().map(|Attribute { key, value }| key.len() + value.len() + 64);
        self.message.len() + attributes.sum::<usize>()
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attribute {
    key: String,
    value: String,
}

#[derive(Debug, Serialize)]
struct Logged {}

/// Bytes of an entry, at most.
const MAX_ENTRY: usize = 4 << 20;

/// Logs a message and its fields, which are a JSON object as text.
type Log = fn(&str, &str);

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    // `tracing` needs the level at compile time.
    let error: Log = |message, fields_json| error!(target: "app", fields_json, "{message}");
    let warning: Log = |message, fields_json| warn!(target: "app", fields_json, "{message}");
    let info: Log = |message, fields_json| info!(target: "app", fields_json, "{message}");
    let debug: Log = |message, fields_json| debug!(target: "app", fields_json, "{message}");
    let methods = [
        ("app.Error", plain(error)),
        ("app.Warning", plain(warning)),
        ("app.Info", plain(info)),
        ("app.Debug", plain(debug)),
        ("app.Log", Method::new(Shape::Text, Shape::Bool, raw)),
        ("app.ErrorWithContext", with_context(error)),
        ("app.WarningWithContext", with_context(warning)),
        ("app.InfoWithContext", with_context(info)),
        ("app.DebugWithContext", with_context(debug)),
        ("app.LogWithContext", Method::new(entry(), logged(), raw_with_context)),
    ];
    methods.into_iter().map(|(name, method)| (name, method.up_to(MAX_ENTRY))).collect()
}

fn entry() -> Shape {
    Shape::message("causeway.rpc.LogEntry")
}

fn logged() -> Shape {
    Shape::message("causeway.rpc.LogResponse")
}

fn plain(log: Log) -> Method {
    Method::new(Shape::Text, Shape::Bool, move |_, message: String| async move {
        offload::run(message.len(), move || {
            log(&message, "{}");
            true
        })
        .await
    })
}

fn with_context(log: Log) -> Method {
    Method::new(entry(), logged(), move |_, entry: Entry| async move {
        offload::run(entry.size(), move || {
            let fields: Map<String, Value> = entry
                .log_attrs
                .into_iter()
                .map(|attribute| (attribute.key, attribute.value.into()))
                .collect();
            log(&entry.message, &Value::Object(fields).to_string());
            Logged {}
        })
        .await
    })
}

/// Writes the text as it is, bypassing the log and its settings.
async fn raw(services: Arc<Services>, text: String) -> Result<bool, JoinError> {
    offload::run(text.len(), move || {
        write(text, services.compat);
        true
    })
    .await
}

async fn raw_with_context(services: Arc<Services>, entry: Entry) -> Result<Logged, JoinError> {
    offload::run(entry.size(), move || {
        write(in_one_line(entry), services.compat);
        Logged {}
    })
    .await
}

/// `message key:value,key:value`, as RoadRunner intends; its own output lacks the last character.
fn in_one_line(entry: Entry) -> String {
    let mut text = entry.message;
    for (place, Attribute { key, value }) in entry.log_attrs.iter().enumerate() {
        let separator = if place == 0 { ' ' } else { ',' };
        let _ = write!(text, "{separator}{key}:{value}");
    }
    text
}

/// Writes through the log's queue, so that no caller waits for a slow reader of standard error.
fn write(text: String, compat: Compat) {
    logs::print(logs::Stream::Stderr, &ended(text, compat));
}

/// The text as this RoadRunner writes it: version 3 ends it with one line feed, version 2025 leaves it as it is.
fn ended(mut text: String, compat: Compat) -> String {
    if compat.is_v3() {
        text.truncate(text.trim_end_matches('\n').len());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_line_ends_with_one_line_feed_under_roadrunner_3() {
        for (text, ended_3) in
            [("x", "x\n"), ("x\n", "x\n"), ("x\n\n", "x\n"), ("a\nb", "a\nb\n"), ("", "\n")]
        {
            assert_eq!(ended(text.into(), Compat::V3), ended_3);
            assert_eq!(ended(text.into(), Compat::V2025), text);
        }
    }

    #[test]
    fn a_raw_line_has_its_attributes_behind_it() {
        let entry = |value| in_one_line(serde_json::from_value(value).unwrap());
        let attributes =
            serde_json::json!([{"key": "user", "value": "42"}, {"key": "note", "value": "\"q\""}]);
        assert_eq!(entry(serde_json::json!({"message": "bare"})), "bare");
        assert_eq!(
            entry(serde_json::json!({"message": "m", "log_attrs": attributes})),
            "m user:42,note:\"q\""
        );
    }
}
