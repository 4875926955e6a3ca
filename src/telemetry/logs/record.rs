//! One event, taken apart but not formatted yet.

use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::config::Channel;
use super::fields::Fields;
use super::line::{Line, Source};
use super::style::Style;
use crate::compat::Compat;

/// How the lines of a channel are written, and which of them.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) style: Style,
    pub(super) level: LevelFilter,
}

impl Default for Format {
    fn default() -> Self {
        Self { style: Style::new(&Channel::default(), Compat::default()), level: LevelFilter::DEBUG }
    }
}

/// One event.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) time: SystemTime,
    pub(super) level: Level,
    pub(super) channel: &'static str,
    pub(super) message: String,
    pub(super) fields: Map<String, Value>,
    /// More fields, as the text of a JSON object.
    pub(super) fields_json: String,
    /// Where it is logged.
    pub(super) source: Option<Source>,
}

impl Record {
    /// A warning of the log about itself.
    pub(super) fn warning<const N: usize>(message: &str, fields: [(&str, Value); N]) -> Self {
        Self {
            time: SystemTime::now(),
            level: Level::WARN,
            channel: "endure",
            message: message.to_owned(),
            fields: fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            fields_json: String::new(),
            source: None,
        }
    }

    /// About how many bytes of memory it takes.
    pub(super) fn size(&self) -> usize {
        let of = |value: &Value| value.as_str().map_or(16, str::len);
        let fields: usize = self.fields.iter().map(|(name, value)| name.len() + of(value)).sum();
        self.message.len() + self.fields_json.len() + fields
    }

    /// The line of the log; in colour if `terminal` is true.
    pub(super) fn write(&self, style: &Style, terminal: bool) -> String {
        let mut fields: Fields =
            self.fields.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        if !self.fields_json.is_empty() {
            fields.extend(Fields::parse(&self.fields_json).unwrap_or_default());
        }
        let Self { time, level, channel, message, source, .. } = self;
        let line = Line { time: *time, level: *level, channel, message, fields, source: *source };
        style.write(line, terminal)
    }
}
