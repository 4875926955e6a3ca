//! The `logs` section of `.rr.yaml`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

/// The `logs` section. What a channel does not set is as in the section itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `logs.mode`, development unless set.
    pub mode: Option<Mode>,
    /// `logs.level`, debug unless set.
    pub level: Option<Level>,
    /// `logs.encoding`; the mode's own unless set.
    pub encoding: Option<Encoding>,
    /// `logs.line_ending`; a line feed unless set.
    pub line_ending: Option<String>,
    /// `logs.output`: stderr (unless set), stdout, or paths.
    pub output: Vec<String>,
    /// `logs.err_output`: where the log's own errors go; stderr unless set.
    pub err_output: Vec<String>,
    /// `logs.file_logger_options`: a file that is rotated, instead of `output`.
    pub file_logger_options: Option<File>,
    /// `logs.channels.<name>`: the same for one channel.
    pub channels: BTreeMap<String, Channel>,
}

/// One of `logs.channels`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Channel {
    /// As [`Config::mode`].
    pub mode: Option<Mode>,
    /// As [`Config::level`].
    pub level: Option<Level>,
    /// As [`Config::encoding`].
    pub encoding: Option<Encoding>,
    /// As [`Config::line_ending`].
    pub line_ending: Option<String>,
    /// As [`Config::output`].
    pub output: Vec<String>,
    /// As [`Config::err_output`].
    pub err_output: Vec<String>,
    /// As [`Config::file_logger_options`].
    pub file_logger_options: Option<File>,
}

/// What lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// For people: time, level, channel, message, fields.
    Development,
    /// For collectors: one JSON object a line.
    Production,
    /// The message and its fields alone.
    Raw,
    /// Nothing is logged.
    #[serde(alias = "off", alias = "false")]
    None,
}

/// Less important events are not logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything.
    Debug,
    /// What happens.
    Info,
    /// What should not happen.
    #[serde(alias = "warning")]
    Warn,
    /// What needs somebody.
    #[serde(alias = "dpanic", alias = "panic", alias = "fatal")]
    Error,
}

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Fields separated by tabs.
    Console,
    /// A JSON object.
    Json,
}

/// `logs.file_logger_options`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct File {
    /// The file.
    pub log_output: PathBuf,
    /// MB (2^20 bytes) after which a new file is begun; 100.
    pub max_size: u64,
    /// Days after which old files are removed; 0: never. RoadRunner's default is 24.
    pub max_age: u64,
    /// How many old files are kept; 10; 0: all.
    pub max_backups: usize,
    /// Whether old files are compressed.
    pub compress: bool,
}

impl Default for File {
    fn default() -> Self {
        Self { log_output: PathBuf::new(), max_size: 100, max_age: 24, max_backups: 10, compress: false }
    }
}

impl Config {
    /// The settings of one channel, whole. An encoding belongs to a mode: a channel with a mode of its own does not take over the common
    /// one. Nor does a raw channel take over the common level: who wants lines as they are wants all of them, as with RoadRunner.
    pub(super) fn channel(&self, name: &str) -> Channel {
        let own = self.channels.get(name).cloned().unwrap_or_default();
        let encoding = if own.mode.is_some() { None } else { self.encoding };
        let level = if own.mode == Some(Mode::Raw) { None } else { self.level };
        let list = |own: Vec<String>, base: &[String]| if own.is_empty() { base.to_vec() } else { own };
        // A channel with an output of its own does not write into the common file, nor does a raw one: a rotated file is JSON.
        let file = if own.output.is_empty() && own.mode != Some(Mode::Raw) {
            self.file_logger_options.clone()
        } else {
            None
        };
        Channel {
            mode: own.mode.or(self.mode),
            level: own.level.or(level),
            encoding: own.encoding.or(encoding),
            line_ending: own.line_ending.or_else(|| self.line_ending.clone()),
            output: list(own.output, &self.output),
            err_output: list(own.err_output, &self.err_output),
            file_logger_options: own.file_logger_options.or(file),
        }
    }
}
