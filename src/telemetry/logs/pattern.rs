//! `logs.format`: lines of any form, with placeholders.

use std::fmt::Write as _;

use super::escape;
use super::go_time::Layout;
use super::line::Line;

/// The layout of times, unless set.
const RFC_3339: &str = "2006-01-02T15:04:05Z07:00";

/// A format.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    parts: Vec<Part>,
    layout: Layout,
    line_ending: String,
    /// Otherwise the channel is the first of the attributes.
    has_logger: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Time,
    Level,
    Message,
    Logger,
    Attributes,
    File,
    Line,
    Function,
}

impl Pattern {
    /// Reads a format. Unknown placeholders stay as they are.
    pub(super) fn new(format: &str, time_format: Option<&str>, line_ending: &str) -> Self {
        let mut parts: Vec<Part> = Vec::new();
        let mut literal = String::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            literal.push_str(&rest[..at]);
            rest = &rest[at..];
            let name = rest[1..].split_once('%').map(|(name, _)| name);
            if let Some((name, part)) = name.and_then(|name| Some((name, placeholder(name)?))) {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal)));
                }
                parts.push(part);
                rest = &rest[name.len() + 2..];
            } else {
                literal.push('%');
                rest = &rest[1..];
            }
        }
        literal.push_str(rest);
        parts.push(Part::Literal(literal));
        let has_logger = parts.contains(&Part::Logger);
        let layout = Layout::local(time_format.unwrap_or(RFC_3339));
        Self { parts, layout, line_ending: line_ending.to_owned(), has_logger }
    }

    /// Formats the line. Control characters are escaped, so that no text can begin a line of its own.
    pub(super) fn write(&self, line: &Line<'_>) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Time => self.layout.push(&mut out, line.time),
                Part::Level => out.push_str(line.level.as_str()),
                Part::Message => escape::push(&mut out, line.message),
                Part::Logger => escape::push(&mut out, line.channel),
                Part::Attributes => self.push_attributes(&mut out, line),
                Part::File => out.push_str(line.source.map_or("", |source| source.file)),
                Part::Function => out.push_str(line.source.map_or("", |source| source.module)),
                Part::Line => {
                    if let Some(source) = line.source {
                        let _ = write!(out, "{}", source.line);
                    }
                }
            }
        }
        out.push_str(&self.line_ending);
        out
    }

    fn push_attributes(&self, out: &mut String, line: &Line<'_>) {
        let logger = (!self.has_logger).then(|| ("logger", line.channel.into()));
        for (index, (name, value)) in logger.into_iter().chain(line.fields.texts()).enumerate() {
            if index > 0 {
                out.push(' ');
            }
            escape::push(out, name);
            out.push('=');
            escape::push(out, &value);
        }
    }
}

fn placeholder(name: &str) -> Option<Part> {
    match name {
        "time" => Some(Part::Time),
        "level" => Some(Part::Level),
        "message" => Some(Part::Message),
        "logger" => Some(Part::Logger),
        "attrs" => Some(Part::Attributes),
        "source_file" => Some(Part::File),
        "source_line" => Some(Part::Line),
        "source_func" => Some(Part::Function),
        _ => None,
    }
}
