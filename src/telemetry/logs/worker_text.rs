//! Splits the output of workers into log lines, on the log's threads since it can be a lot.

use std::time::SystemTime;

use serde_json::Value;
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::fields::Fields;
use super::json_line;
use super::line::Line;
use super::style::Style;

/// Some lines of one worker, as printed. Each ends with a line feed, except perhaps the last.
#[derive(Debug)]
pub(super) struct WorkerText {
    pub(super) time: SystemTime,
    pub(super) channel: &'static str,
    pub(super) pid: u64,
    /// `stdout` or `stderr`.
    pub(super) stream: String,
    /// The trace of the request that printed it, if that is certain.
    pub(super) trace_id: Option<Value>,
    pub(super) text: Vec<u8>,
}

impl WorkerText {
    /// The number of lines.
    pub(super) fn lines(&self) -> u64 {
        let ends = memchr::memchr_iter(b'\n', &self.text).count() as u64;
        ends + u64::from(self.text.last().is_some_and(|byte| *byte != b'\n'))
    }

    /// Passes each whole log line to `take`, as `style` writes it. A line that is JSON with a level keeps its level and fields; any other
    /// is info. In mode raw each line is what the worker printed, byte for byte.
    pub(super) fn write(
        &self,
        style: &Style,
        limit: LevelFilter,
        terminal: bool,
        mut take: impl FnMut(&[u8]),
    ) {
        let mut out = Vec::new();
        for line in self.text.split_inclusive(|byte| *byte == b'\n') {
            let end = line.strip_suffix(b"\n");
            let (line, is_whole) = (end.unwrap_or(line), end.is_some());
            if style.is_raw() {
                // RoadRunner logs the output of workers at info, whatever level it names.
                if limit >= LevelFilter::INFO || level_of(line) <= limit {
                    out.clear();
                    style.write_raw(line, is_whole, &mut out);
                    take(&out);
                }
            } else if let Some(line) = self.entry(line, style, limit, terminal) {
                take(line.as_bytes());
            }
        }
    }

    fn entry(&self, line: &[u8], style: &Style, limit: LevelFilter, terminal: bool) -> Option<String> {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_end();
        if text.is_empty() {
            return None;
        }
        let mut fields = Fields::default();
        fields.insert("pid", &self.pid.into());
        fields.insert("stream", &Value::from(self.stream.as_str()));
        let json = json_line::parse(text);
        let level = json.as_ref().map_or(Level::INFO, |line| line.level);
        if level > limit {
            return None;
        }
        let message = json.map(|mut line| {
            // Many loggers add the pid as well.
            if line.fields.get("pid") == fields.get("pid") {
                line.fields.remove("pid");
            }
            let renamed = line.fields.rename(|name| fields.contains(name));
            fields.extend(renamed);
            line.message
        });
        // A line may name its trace by itself.
        if let Some(trace_id) = self.trace_id.as_ref().filter(|_| !fields.contains("trace_id")) {
            fields.insert("trace_id", trace_id);
        }
        let message = message.as_deref().unwrap_or(text);
        let line = Line { time: self.time, level, channel: self.channel, message, fields, source: None };
        Some(style.write(line, terminal))
    }
}

fn level_of(line: &[u8]) -> Level {
    let json = str::from_utf8(line).ok().and_then(json_line::parse);
    json.map_or(Level::INFO, |line| line.level)
}
