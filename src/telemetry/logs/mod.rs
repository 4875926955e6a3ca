//! The log: events of `tracing`, written as RoadRunner (that is, zap) writes them.
//!
//! ```text
//!  info!(target: "server", pid, "worker ready")
//!     └─▶ Layer: which channel, is its level on? ─▶ queue of each output ─▶ its thread ─▶ Style: one line ─▶ stderr, stdout, a file
//! ```
//!
//! An event's target is its channel: `server` is workers and what they print, `centrifuge` the proxy, `rpc`, `app`, `endure` the start and
//! the end. Libraries are heard from `warn` on.
//!
//! Each output has a thread, which makes lines of events and writes them, each in one call, so that they never mix, and that neither a
//! slow reader of the log nor a worker that prints much slows a request. What waits for an output is bounded in bytes: when there is no
//! room, lines are dropped, and how many is told once there is room again. So are lines that cannot be written. The [`Guard`] writes what
//! is left at the end, and waits for no more than two seconds for whoever does not read.
//!
//! What workers print comes as one event per read, with the bytes in the special field `worker_output`, and is taken apart on the output's
//! thread: a line that is JSON with a level keeps both.
//!
//! The special field `fields_json` holds a JSON object whose entries become fields of the event: what a worker logs as JSON keeps its
//! shape.
//!
//! Deliberately absent: reopening files on a signal, since `file_logger_options` rotates by itself.

mod config;
mod escape;
mod json_line;
mod layer;
mod outputs;
mod queue;
mod rotate;
mod sink;
mod style;
mod worker_text;

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;

use config::Output;
pub use config::{Channel, Config, Encoding, File, Level, Mode};
pub(crate) use layer::CHANNELS;
pub use outputs::Guard;
pub(crate) use outputs::{Stream, print};
pub(crate) use queue::Lost;

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
    /// There can be no thread to write it.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(io::Error),
    /// Somebody set up another one.
    #[error("the log is set up already")]
    Twice,
}

impl Error {
    /// The same error with the setting that names the file; `keys` are those of a channel's outputs.
    fn named(self, keys: &[(String, Output<'_>)]) -> Self {
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

/// Sets up the log of this process. Keep the guard until the end.
///
/// # Errors
/// See [`Error`].
pub fn init(config: &Config) -> Result<Guard, Error> {
    let (layer, console, guard) = layer::Layer::new(config)?;
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    console.install();
    Ok(guard)
}

#[cfg(test)]
mod tests;
