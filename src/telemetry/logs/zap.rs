//! Lines of RoadRunner 2025, which are zap's.
//!
//! Source: lines of RoadRunner 2025.1.15 in each mode and encoding, which the tests contain.

use std::time::SystemTime;

use serde_json::{Map, Value};

use super::config::{Channel, Encoding, Mode};
use super::escape;
use super::go_time::Layout;
use super::line::Line;

/// The width of a channel's name in development mode.
const NAME_WIDTH: usize = 12;

/// How lines are written.
#[derive(Debug, Clone)]
pub(super) struct Zap {
    mode: Mode,
    encoding: Encoding,
    line_ending: String,
    layout: Layout,
}

impl Zap {
    pub(super) fn new(channel: &Channel) -> Self {
        let mode = channel.mode.unwrap_or(Mode::Development);
        let own = if mode == Mode::Production { Encoding::Json } else { Encoding::Console };
        // A rotated file is JSON, whatever the encoding.
        let encoding = match &channel.file_logger_options {
            Some(_) => Encoding::Json,
            None => channel.encoding.unwrap_or(own),
        };
        let line_ending = channel.line_ending.clone().unwrap_or_else(|| "\n".into());
        Self { mode, encoding, line_ending, layout: Layout::utc("2006-01-02T15:04:05-0700") }
    }

    /// Whether the output of workers is written as it is.
    pub(super) fn is_raw(&self) -> bool {
        self.mode == Mode::Raw
    }

    /// Appends a line of a worker in mode raw: as it is, or as the message of a JSON object, with its line feed, as in RoadRunner. What is
    /// not whole gets no line ending: the rest of it follows.
    pub(super) fn write_raw(&self, line: &[u8], is_whole: bool, out: &mut Vec<u8>) {
        match self.encoding {
            Encoding::Console => {
                out.extend_from_slice(line);
                if !is_whole {
                    return;
                }
            }
            Encoding::Json => {
                let message = String::from_utf8_lossy(line) + if is_whole { "\n" } else { "" };
                let mut object = Map::new();
                object.insert("message".into(), Value::from(message));
                out.extend_from_slice(escape::json(Value::Object(object).to_string()).as_bytes());
            }
        }
        out.extend_from_slice(self.line_ending.as_bytes());
    }

    /// Formats the line; in colour if `terminal` is true.
    pub(super) fn write(&self, line: Line<'_>, terminal: bool) -> String {
        let mut out = match self.encoding {
            Encoding::Console => self.console(&line, terminal),
            Encoding::Json => escape::json(self.json(line)),
        };
        out.push_str(&self.line_ending);
        out
    }

    fn console(&self, line: &Line<'_>, terminal: bool) -> String {
        let mut parts: Vec<String> = Vec::with_capacity(5);
        match self.mode {
            Mode::Development | Mode::Unknown => {
                let name = format!("{:NAME_WIDTH$}", line.channel);
                parts.push(self.layout.text(line.time));
                parts.push(paint(terminal, colour(line.level), line.level.as_str()));
                parts.push(paint(terminal, 92, &name));
            }
            Mode::Production => {
                parts.push(nanoseconds(line.time).to_string());
                parts.push(line.level.as_str().to_lowercase());
                parts.push(line.channel.to_owned());
            }
            Mode::Raw | Mode::None => {}
        }
        parts.push(self.shown(line.message));
        if !line.fields.is_empty() {
            parts.push(self.shown(&format!("{{{}}}", line.fields.write(true))));
        }
        parts.join("\t")
    }

    /// Escapes text, so that it can neither begin a line nor move a terminal's cursor; raw is raw.
    fn shown(&self, text: &str) -> String {
        if self.mode == Mode::Raw {
            return text.to_owned();
        }
        let mut out = String::with_capacity(text.len());
        escape::push(&mut out, text);
        out
    }

    fn json(&self, line: Line<'_>) -> String {
        let mut object = Map::new();
        match self.mode {
            Mode::Development | Mode::Unknown => {
                object.insert("level".into(), line.level.as_str().into());
                object.insert("ts".into(), self.layout.text(line.time).into());
                object.insert("logger".into(), format!("{:NAME_WIDTH$}", line.channel).into());
                object.insert("msg".into(), line.message.into());
            }
            Mode::Production => {
                object.insert("level".into(), line.level.as_str().to_lowercase().into());
                object.insert("ts".into(), nanoseconds(line.time).into());
                object.insert("logger".into(), line.channel.into());
                object.insert("msg".into(), line.message.into());
            }
            Mode::Raw | Mode::None => drop(object.insert("message".into(), line.message.into())),
        }
        line.fields.behind(object)
    }
}

fn paint(terminal: bool, colour: u8, text: &str) -> String {
    if terminal { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

fn colour(level: tracing::Level) -> u8 {
    match level {
        tracing::Level::ERROR => 91,
        tracing::Level::WARN => 93,
        tracing::Level::INFO => 96,
        _ => 97,
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
