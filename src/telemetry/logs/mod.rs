//! The log: events of `tracing`, written as RoadRunner (that is, zap) writes them.
//!
//! ```text
//!  info!(target: "server", pid, "worker is ready")
//!     └─▶ Layer: which channel, is its level on? ─▶ Style: one line ─▶ queue ─▶ writer thread ─▶ stderr, stdout, files
//! ```
//!
//! An event's target is its channel: `server` is workers and what they print, `centrifuge` the proxy, `rpc`, `app`, `endure` the start and
//! the end. Libraries are heard from `warn` on.
//!
//! Lines are written by a thread of their own, each in one call, so that they never mix and a slow reader of the log never slows a
//! request. The queue is bounded: when it is full, lines are dropped, and how many is told once there is room again. The [`Guard`] writes
//! what is left at the end.
//!
//! The special field `fields_json` holds a JSON object whose entries become fields of the event: what a worker logs as JSON keeps its
//! shape.
//!
//! Deliberately absent: reopening files on a signal, since `file_logger_options` rotates by itself.

mod config;
mod layer;
mod rotate;
mod style;
mod writer;

use std::io;

use tracing_subscriber::layer::SubscriberExt as _;

pub use config::{Channel, Config, Encoding, File, Level, Mode};
pub use writer::Guard;

/// The log could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be opened.
    #[error("cannot open the log {path}: {source}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// There can be no thread to write it.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[source] io::Error),
    /// Somebody set up another one.
    #[error("the log is set up already")]
    Twice,
}

/// Sets up the log of this process. Keep the guard until the end.
///
/// # Errors
/// See [`Error`].
pub fn init(config: &Config) -> Result<Guard, Error> {
    let (layer, guard) = layer::Layer::new(config)?;
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    Ok(guard)
}

#[cfg(test)]
mod tests;
