//! What workers print, made into lines of the log: on the log's own threads, since it can be much.

use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::json_line;
use super::style::{self, Line, Style};

/// Some lines of one worker, as it printed them. Each has its line feed, the last one perhaps not.
#[derive(Debug)]
pub(super) struct WorkerText {
    pub(super) time: SystemTime,
    pub(super) channel: &'static str,
    pub(super) pid: u64,
    /// Which of its streams.
    pub(super) stream: String,
    pub(super) text: Vec<u8>,
}

impl WorkerText {
    /// How many lines there are.
    pub(super) fn lines(&self) -> u64 {
        let ends = memchr::memchr_iter(b'\n', &self.text).count() as u64;
        ends + u64::from(self.text.last().is_some_and(|byte| *byte != b'\n'))
    }

    /// Hands each line of the log to `take`, whole, as `style` writes it. A line that is JSON with a level keeps its level and its fields;
    /// every other is info. In mode raw each line is what the worker printed, byte for byte.
    pub(super) fn write(
        &self,
        style: &Style,
        limit: LevelFilter,
        terminal: bool,
        mut take: impl FnMut(&[u8]),
    ) {
        let text = self.text.strip_suffix(b"\n").unwrap_or(&self.text);
        let mut out = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            if style.is_raw() {
                // RoadRunner logs all that workers print at info, whatever it says.
                if limit >= LevelFilter::INFO || level_of(line) <= limit {
                    out.clear();
                    out.extend_from_slice(line);
                    out.extend_from_slice(style.line_ending().as_bytes());
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
        let mut fields = Map::new();
        fields.insert("pid".into(), self.pid.into());
        fields.insert("stream".into(), Value::from(self.stream.as_str()));
        let json = json_line::parse(text);
        let level = json.as_ref().map_or(Level::INFO, |line| line.level);
        if level > limit {
            return None;
        }
        let message = json.map(|mut line| {
            // Many loggers name the process, too. What this server knows of it counts.
            if line.fields.get("pid") == fields.get("pid") {
                line.fields.shift_remove("pid");
            }
            let renamed = style::renamed(&line.fields, |name| fields.contains_key(name));
            fields.extend(renamed.unwrap_or(line.fields));
            line.message
        });
        let message = message.as_deref().unwrap_or(text);
        let line = Line { time: self.time, level, channel: self.channel, message, fields: &fields };
        Some(style.write(&line, terminal))
    }
}

fn level_of(line: &[u8]) -> Level {
    let json = str::from_utf8(line).ok().and_then(json_line::parse);
    json.map_or(Level::INFO, |line| line.level)
}
