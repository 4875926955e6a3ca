//! The form of a line: that of the RoadRunner in force, or one of its own.

use super::config::{Channel, Mode};
use super::line::Line;
use super::pattern::Pattern;
use super::slog::Slog;
use super::zap::Zap;
use crate::compat::Compat;

/// How the lines of a channel are written.
#[derive(Debug, Clone)]
pub(super) enum Style {
    Zap(Zap),
    Slog(Slog),
    /// `format`, which takes precedence over the mode.
    Pattern(Pattern),
    /// Mode raw of RoadRunner 3: the message alone.
    Message,
}

impl Style {
    pub(super) fn new(channel: &Channel, compat: Compat) -> Self {
        if let Some(format) = channel.format.as_deref().filter(|format| !format.is_empty()) {
            let line_ending = match &channel.line_ending {
                _ if channel.skip_line_ending == Some(true) => "",
                Some(line_ending) => line_ending,
                None => "\n",
            };
            let time_format = channel.time_format.as_deref().filter(|format| !format.is_empty());
            return Self::Pattern(Pattern::new(format, time_format, line_ending));
        }
        match (compat, channel.mode) {
            (Compat::V2025, _) => Self::Zap(Zap::new(channel)),
            (Compat::V3, Some(Mode::Production)) => Self::Slog(Slog::json()),
            (Compat::V3, Some(Mode::Raw)) => Self::Message,
            (Compat::V3, _) => Self::Slog(Slog::text()),
        }
    }

    /// Whether the output of workers is written as it is.
    pub(super) fn is_raw(&self) -> bool {
        match self {
            Self::Zap(zap) => zap.is_raw(),
            Self::Message => true,
            Self::Slog(_) | Self::Pattern(_) => false,
        }
    }

    /// Appends a line of a worker in mode raw, with its line feed. What is not whole gets no line ending: the rest of it follows.
    pub(super) fn write_raw(&self, line: &[u8], is_whole: bool, out: &mut Vec<u8>) {
        if let Self::Zap(zap) = self {
            return zap.write_raw(line, is_whole, out);
        }
        out.extend_from_slice(line);
        if is_whole {
            out.push(b'\n');
        }
    }

    /// Formats the line; in colour if `terminal` is true and RoadRunner has colours.
    pub(super) fn write(&self, line: Line<'_>, terminal: bool) -> String {
        let mut out = match self {
            Self::Zap(zap) => return zap.write(line, terminal),
            Self::Pattern(pattern) => return pattern.write(&line),
            Self::Slog(slog) => slog.write(line),
            Self::Message => line.message.to_owned(),
        };
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out
    }
}
