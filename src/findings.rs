//! What a part of the program finds in its settings before anything is started: mistakes, with which it could not start, and what is odd.
//!
//! A part knows the keys of its settings, but not where they stand in a file: `config` adds that, and says what was found there. So
//! `check` and `serve` say the same, in the same words.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What is there, apart from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine<'a> {
    /// Where relative paths start.
    pub(crate) work_dir: &'a Path,
    /// The variables of workers, without those of the settings; the last value of a name wins.
    pub(crate) env: &'a [(OsString, OsString)],
}

impl<'a> Machine<'a> {
    pub(crate) fn variables(self) -> impl DoubleEndedIterator<Item = (&'a OsStr, &'a OsStr)> {
        self.env.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

/// What the parts have found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<Finding>,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Finding {
    /// The setting, as a dotted path from the top of the file.
    pub(crate) key: String,
    /// What is wrong or odd; it names no value that could be a secret.
    pub(crate) message: String,
    pub(crate) weight: Weight,
}

/// What a finding means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weight {
    /// Nothing can be started.
    Mistake,
    /// It can, but not as it may have been meant.
    Odd,
}

impl Findings {
    /// With this, nothing can be started.
    pub(crate) fn mistake(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.list.push(Finding { key: key.into(), message: message.into(), weight: Weight::Mistake });
    }

    /// With this it can, but not as it may have been meant.
    pub(crate) fn odd(&mut self, key: impl Into<String>, message: impl Into<String>) {
        self.list.push(Finding { key: key.into(), message: message.into(), weight: Weight::Odd });
    }

    /// Adds a mistake if there is one.
    pub(crate) fn check(&mut self, key: impl Into<String>, result: Result<(), String>) {
        if let Err(message) = result {
            self.mistake(key, message);
        }
    }

    pub(crate) fn into_list(self) -> Vec<Finding> {
        self.list
    }
}
