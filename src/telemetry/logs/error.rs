//! Why the log cannot be set up.

use std::io;

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened.
    #[error("{key}: cannot open the log {path}: {cause}")]
    Open {
        /// The setting that names it.
        key: String,
        /// Its path, as messages show it.
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
