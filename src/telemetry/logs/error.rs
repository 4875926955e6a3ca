//! Why the log cannot be set up.

use std::io;

use super::config::Output;

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened.
    #[error("{key}: cannot open the log {path}: {cause}")]
    Open {
        /// The setting that names it.
        key: String,
        /// Its path.
        path: String,
        /// Why; part of the text, and so no source.
        cause: io::Error,
    },
    /// The thread of an output cannot be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    /// The process has a log already.
    #[error("logging is already set up")]
    Twice,
}

impl Error {
    /// The same error with the setting that names the file; `keys` are those of a channel's outputs.
    pub(super) fn named(self, keys: &[(String, Output<'_>)]) -> Self {
        match self {
            Self::Open { path, cause, .. } => {
                let is_it = |output: &Output<'_>| output.path().is_some_and(|other| *other == *path);
                let key = keys.iter().find(|(_, output)| is_it(output)).map_or("logs", |(key, _)| key);
                Self::Open { key: key.to_owned(), path, cause }
            }
            other => other,
        }
    }
}
