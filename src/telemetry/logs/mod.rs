//! The log: events of `tracing`, written as RoadRunner writes them: version 2025 with zap, version 3 with slog.
//!
//! ```text
//!  info!(target: "server", pid, "worker ready")
//!     └─▶ Layer: which channel, is its level on? ─▶ queue of each output ─▶ its thread ─▶ Style: one line ─▶ stderr, stdout, a file
//! ```
//!
//! The target of an event is its channel: `server` is workers and their output, `centrifuge` the proxy, `rpc`, `app`, `endure` startup and
//! shutdown. Events of libraries are logged from `warn` on.
//!
//! Each output has a thread, which formats events and writes each line with one call. So lines never mix, and neither a slow reader of the
//! log nor a worker that prints a lot delays a request. The queue of an output is bounded in bytes: lines that do not fit are dropped, and
//! their number is logged once there is room again; likewise for lines that cannot be written. The `Guard` writes the remaining lines at
//! shutdown, and waits two seconds at most for readers that do not read.
//!
//! The output of a worker comes as one event per read, with the bytes in the special field `worker_output`, and is split on the output's
//! thread: a line that is JSON with a level keeps its level and fields. The special field `fields_json` holds a JSON object whose entries
//! become fields of the event.
//!
//! `config`, `fields`, `line` and `record` are the bottom, `style` (`zap`, `slog`, `pattern` with Go's layouts in `go_time`), `json_line` and
//! `worker_text` format, `queue`, `sink`, `rotate` and `outputs` write,
//! `layer` is the top; `lost` counts what is missing.
//!
//! A reload of the configuration replaces the `Targets` of all channels as a whole; an event looks them up without a lock.
//!
//! Deliberately absent: reopening files on a signal, since `file_logger_options` rotates by itself.

mod config;
mod error;
mod escape;
mod fields;
mod go_time;
mod json_line;
mod layer;
mod line;
mod lost;
mod outputs;
mod pattern;
mod queue;
mod record;
mod rotate;
mod sink;
mod slog;
mod style;
mod worker_text;
mod zap;

use std::sync::Arc;

use arc_swap::ArcSwap;
use tracing_subscriber::layer::SubscriberExt as _;

use layer::Targets;

pub(crate) use config::CHANNELS;
pub use config::{Channel, Config, Encoding, File, Level, Mode};
pub use error::Error;
pub(crate) use lost::{Lost, LostLines};
use outputs::Guard;
pub(crate) use outputs::{Stream, print};

/// The log of this process. Dropped, it writes the remaining lines.
#[derive(Debug)]
#[must_use = "the last lines are lost without it"]
pub struct Log {
    targets: Arc<ArcSwap<Targets>>,
    guard: Guard,
}

/// Settings that the log can go on with. Dropped, they change nothing.
#[derive(Debug)]
#[must_use = "nothing changes until it is committed"]
pub(crate) struct Prepared<'a> {
    log: &'a Log,
    targets: Targets,
}

/// Sets up the log of this process.
///
/// # Errors
/// See [`Error`].
pub fn init(config: &Config) -> Result<Log, Error> {
    let (layer, console, guard) = layer::Layer::new(config)?;
    let targets = layer.targets();
    let subscriber = tracing_subscriber::registry().with(layer);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| Error::Twice)?;
    console.install();
    Ok(Log { targets, guard })
}

impl Log {
    /// Prepares to go on with other settings. Outputs that are open stay so; new ones are opened.
    ///
    /// # Errors
    /// If one cannot be opened.
    pub(crate) fn prepare(&self, config: &Config) -> Result<Prepared<'_>, Error> {
        let mut outputs = outputs::Outputs::beside(&self.guard);
        let targets = Targets::new(config, &mut outputs)?;
        outputs.join(&self.guard).map_err(Error::Thread)?;
        Ok(Prepared { log: self, targets })
    }
}

impl Prepared<'_> {
    /// Logs with these settings from now on.
    pub(crate) fn commit(self) {
        self.log.targets.store(Arc::new(self.targets));
        // What is logged at all is remembered for each place in the code.
        tracing::callsite::rebuild_interest_cache();
    }
}

#[cfg(test)]
mod tests;
