//! The `logs` section of `.rr.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::access::{can_append, can_append_in_new_folders};
use crate::compat::Compat;
use crate::findings::{Findings, Machine};

/// The channels of this server. Events with any other target come from a library.
pub(crate) const CHANNELS: [&str; 13] = [
    "server",
    "centrifuge",
    "rpc",
    "app",
    "endure",
    "config",
    "metrics",
    "status",
    "otel",
    "lock",
    "watch",
    "net",
    ACCESS,
];

/// The channel with a line per call, which most servers do not want.
const ACCESS: &str = "access";

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
    /// `logs.format`: lines with placeholders such as `%message%`, instead of those of the mode.
    pub format: Option<String>,
    /// `logs.time_format`: Go's layout of `%time%`; RFC 3339 unless set.
    pub time_format: Option<String>,
    /// `logs.line_ending`; a line feed unless set.
    pub line_ending: Option<String>,
    /// `logs.skip_line_ending`: nothing follows a line of `format`.
    pub skip_line_ending: Option<bool>,
    /// `logs.output`: stderr (unless set), stdout, or paths.
    pub output: Vec<String>,
    /// `logs.err_output`: where the log's own errors go; stderr unless set.
    pub err_output: Vec<String>,
    /// `logs.file_logger_options`: a file that is rotated, instead of `output`.
    pub file_logger_options: Option<File>,
    /// `logs.channels.<name>`: the same for one channel.
    pub channels: BTreeMap<String, Channel>,
    /// How messages show outputs in which variables were replaced: their values may be secrets.
    #[serde(skip)]
    pub(crate) references: BTreeMap<String, String>,
    /// Which RoadRunner's lines these are.
    #[serde(skip)]
    pub(crate) compat: Compat,
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
    /// As [`Config::format`].
    pub format: Option<String>,
    /// As [`Config::time_format`].
    pub time_format: Option<String>,
    /// As [`Config::line_ending`].
    pub line_ending: Option<String>,
    /// As [`Config::skip_line_ending`].
    pub skip_line_ending: Option<bool>,
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
    /// For people to read: time, level, channel, message, fields.
    Development,
    /// For log collectors: one JSON object per line.
    #[serde(alias = "json")]
    Production,
    /// Only the message and its fields.
    Raw,
    /// Nothing is logged.
    #[serde(alias = "off", alias = "false")]
    None,
    /// Any other word, which is development, as in RoadRunner.
    #[serde(other)]
    Unknown,
}

impl Mode {
    fn known(self) -> Self {
        if self == Self::Unknown { Self::Development } else { self }
    }
}

/// The least important level that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Everything.
    #[serde(alias = "trace")]
    Debug,
    /// Normal operation.
    #[serde(alias = "notice")]
    Info,
    /// What should not happen.
    #[serde(alias = "warning")]
    Warn,
    /// What needs attention.
    #[serde(alias = "critical", alias = "alert", alias = "emergency")]
    Error,
    /// zap's words for more than errors; unknown to RoadRunner 3.
    #[serde(alias = "panic", alias = "dpanic")]
    Fatal,
    /// Any other word, which is debug, as in RoadRunner.
    #[serde(other)]
    Unknown,
}

impl Level {
    fn known(self, compat: Compat) -> Self {
        match self {
            Self::Fatal if !compat.is_v3() => Self::Error,
            Self::Fatal | Self::Unknown => Self::Debug,
            known => known,
        }
    }
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
    /// The size of a file, in MB (2^20 bytes), at which it is rotated; 100.
    pub max_size: u64,
    /// Days after which old files are removed; 0 is never. RoadRunner's default is 24.
    pub max_age: u64,
    /// How many old files are kept, 10; 0 is all.
    pub max_backups: usize,
    /// Whether old files are compressed.
    pub compress: bool,
}

impl Default for File {
    fn default() -> Self {
        Self { log_output: PathBuf::new(), max_size: 100, max_age: 24, max_backups: 10, compress: false }
    }
}

/// Where lines go, as set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output<'a> {
    /// `stderr`, `stdout` or a path.
    Named(&'a str),
    /// A file that is rotated.
    Rotated(&'a File),
}

/// An output cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutputError {
    /// The file has no name.
    #[error("missing: expected a file such as app.log")]
    Missing,
    /// The file could not be appended to.
    #[error("cannot open the log {}: {reason}", path.display())]
    Open {
        /// Its path.
        path: PathBuf,
        /// What is in the way.
        reason: String,
    },
}

/// The path of an output, which may be a URL: `file:///var/log/app.log`.
pub(super) fn file_path(name: &str) -> &str {
    let url = name.strip_prefix("file://localhost").or_else(|| name.strip_prefix("file://"));
    url.filter(|path| path.starts_with('/')).unwrap_or(name)
}

impl fmt::Display for Output<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Rotated(file) => file.log_output.display().fmt(f),
        }
    }
}

impl Output<'_> {
    /// The file's path, if it is a file.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Named("stderr" | "stdout") => None,
            Self::Named(name) => Some(Path::new(file_path(name))),
            Self::Rotated(file) => Some(&file.log_output),
        }
    }

    fn check(&self, work_dir: &Path) -> Result<(), OutputError> {
        let Some(path) = self.path() else { return Ok(()) };
        if path.as_os_str().is_empty() {
            return Err(OutputError::Missing);
        }
        let file = work_dir.join(path);
        let result = match self {
            Self::Named(_) => can_append(&file),
            Self::Rotated(_) => can_append_in_new_folders(&file),
        };
        result.map_err(|reason| OutputError::Open { path: path.to_owned(), reason })
    }
}

impl Config {
    /// Finds what would keep the log from being written.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let mut checked = Vec::new();
        for name in CHANNELS.into_iter().chain([""]) {
            if self.channel(name).mode == Some(Mode::None) {
                continue;
            }
            for (key, output) in self.keys(name) {
                if !checked.contains(&key) {
                    let usable = output.check(machine.work_dir).map_err(|error| error.to_string());
                    findings.check(&key, usable);
                    checked.push(key);
                }
            }
        }
        self.unknown_words("logs", self.mode, self.level, findings);
        for (name, own) in &self.channels {
            self.unknown_words(&format!("logs.channels.{name}"), own.mode, own.level, findings);
        }
        if self.compat.is_v3() {
            return;
        }
        let twice = |output: &[String], file: &Option<File>| !output.is_empty() && file.is_some();
        let mut idle = |section: &str| {
            let text = "has no effect: file_logger_options beside it names a file";
            findings.odd(format!("{section}.output"), text);
        };
        if twice(&self.output, &self.file_logger_options) {
            idle("logs");
        }
        for (name, own) in &self.channels {
            if twice(&own.output, &own.file_logger_options) {
                idle(&format!("logs.channels.{name}"));
            }
        }
    }

    /// Reports words that are no mode or level. RoadRunner starts with its defaults.
    fn unknown_words(
        &self,
        section: &str,
        mode: Option<Mode>,
        level: Option<Level>,
        findings: &mut Findings,
    ) {
        if mode == Some(Mode::Unknown) {
            let text = "unknown mode, read as development; expected development, production, raw or none";
            findings.odd(format!("{section}.mode"), text);
        }
        if level == Some(Level::Unknown) || (level == Some(Level::Fatal) && self.compat.is_v3()) {
            let text = "unknown level, read as debug; expected debug, info, warn or error";
            findings.odd(format!("{section}.level"), text);
        }
    }

    /// An output as messages show it.
    pub(super) fn shown(&self, output: &str) -> String {
        self.references.get(output).map_or(output, String::as_str).to_owned()
    }

    /// The outputs of one channel, with the settings that name them.
    pub(super) fn keys(&self, name: &str) -> Vec<(String, Output<'_>)> {
        let own = self.channels.get(name);
        let section = format!("logs.channels.{name}");
        // As in `channel`.
        let (section, file, output) = match own {
            _ if self.compat.is_v3() => match own {
                Some(own) => (section, &None, &own.output),
                None => ("logs".into(), &None, &self.output),
            },
            Some(own) if own.file_logger_options.is_some() || !own.output.is_empty() => {
                (section, &own.file_logger_options, &own.output)
            }
            Some(own) if own.mode == Some(Mode::Raw) => ("logs".into(), &None, &self.output),
            _ => ("logs".into(), &self.file_logger_options, &self.output),
        };
        match (file, &output[..]) {
            (Some(file), _) => {
                let key = format!("{section}.file_logger_options.log_output");
                vec![(key, Output::Rotated(file))]
            }
            (None, [single]) => vec![(format!("{section}.output"), Output::Named(single))],
            (None, output) => {
                let keyed = output.iter().enumerate();
                keyed
                    .map(|(index, name)| (format!("{section}.output[{index}]"), Output::Named(name)))
                    .collect()
            }
        }
    }

    /// All settings of one channel, with the words that this RoadRunner knows.
    pub(super) fn channel(&self, name: &str) -> Channel {
        if name == ACCESS && !self.has_access_log() {
            return Channel { mode: Some(Mode::None), ..Channel::default() };
        }
        let inherited = match self.compat {
            Compat::V2025 => self.inheriting(name),
            Compat::V3 => self.separate(name),
        };
        let mut level = inherited.level.map(|level| level.known(self.compat));
        if name == ACCESS && self.channels.get(name).is_some_and(|own| own.level.is_none()) {
            // Whoever sets it up wants to see it.
            level = level.map(|level| level.min(Level::Info));
        }
        Channel { mode: inherited.mode.map(Mode::known), level, ..inherited }
    }

    /// Whether calls are logged: if the channel is set up, or all is to be logged.
    fn has_access_log(&self) -> bool {
        self.channels.contains_key(ACCESS) || self.level == Some(Level::Debug)
    }

    /// A channel of RoadRunner 3: if it has a section, it inherits nothing. Files are not rotated, and there are no encodings.
    fn separate(&self, name: &str) -> Channel {
        let own = self.channels.get(name).cloned().unwrap_or_else(|| Channel {
            mode: self.mode,
            level: self.level,
            format: self.format.clone(),
            time_format: self.time_format.clone(),
            line_ending: self.line_ending.clone(),
            skip_line_ending: self.skip_line_ending,
            output: self.output.clone(),
            ..Channel::default()
        });
        Channel { encoding: None, file_logger_options: None, ..own }
    }

    /// A channel of RoadRunner 2025. An encoding belongs to a mode, and so does a format: a channel with a mode of its own does not inherit
    /// that of the section. Nor does a raw channel inherit its level: raw means every line, as in RoadRunner.
    fn inheriting(&self, name: &str) -> Channel {
        let own = self.channels.get(name).cloned().unwrap_or_default();
        let has_mode = own.mode.is_some();
        let encoding = if has_mode { None } else { self.encoding };
        let format = if has_mode { None } else { self.format.clone() };
        let level = if own.mode == Some(Mode::Raw) { None } else { self.level };
        let list = |own: Vec<String>, base: &[String]| if own.is_empty() { base.to_vec() } else { own };
        // A channel with an output of its own does not write to the section's file, nor does a raw one: a rotated file is JSON.
        let file = if own.output.is_empty() && own.mode != Some(Mode::Raw) {
            self.file_logger_options.clone()
        } else {
            None
        };
        Channel {
            mode: own.mode.or(self.mode),
            level: own.level.or(level),
            encoding: own.encoding.or(encoding),
            format: own.format.or(format),
            time_format: own.time_format.or_else(|| self.time_format.clone()),
            skip_line_ending: own.skip_line_ending.or(self.skip_line_ending),
            line_ending: own.line_ending.or_else(|| self.line_ending.clone()),
            output: list(own.output, &self.output),
            err_output: list(own.err_output, &self.err_output),
            file_logger_options: own.file_logger_options.or(file),
        }
    }
}
