//! What a component finds wrong with its settings before anything is started: mistakes, with which it cannot start, and oddities.
//!
//! A component knows the keys of its settings, but not their place in a file: `config` adds that and reports the findings. So `check` and
//! `serve` print the same messages.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::Path;

/// The environment of the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'a> {
    /// The folder that relative paths start in.
    pub(crate) work_dir: &'a Path,
    /// The variables of workers, except those of the settings. The last value of a name wins.
    pub(crate) env: &'a [(OsString, OsString)],
}

impl<'a> Machine<'a> {
    pub(crate) fn variables(self) -> impl DoubleEndedIterator<Item = (&'a OsStr, &'a OsStr)> {
        self.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

/// What the components have found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
}

/// One finding.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The setting, as a dotted path.
    pub(crate) key: String,
    /// What is wrong or odd. It contains no value that could be a secret.
    pub(crate) message: String,
    pub(crate) weight: Weight,
}

/// How serious a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The server cannot start.
    Mistake,
    /// The server can start, but perhaps not as intended.
    Odd,
}

impl Findings {
    /// Adds a mistake: the server cannot start.
    pub(crate) fn mistake(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.list.push(Finding { key: key.into(), message: message.into(), weight: Weight::Mistake });
    }

    /// Adds an oddity: the server can start, but perhaps not as intended.
    pub(crate) fn odd(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.list.push(Finding { key: key.into(), message: message.into(), weight: Weight::Odd });
    }

    /// Adds a mistake if `result` is one.
    pub(crate) fn check(&mut self, key: impl Into<String>, result: Result<(), impl fmt::Display>) {
        if let Err(error) = result {
            self.mistake(key, error.to_string());
        }
    }

    pub(crate) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}
