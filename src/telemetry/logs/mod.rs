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
//! their number is logged once there is room again; likewise for lines that cannot be written. The [`Guard`] writes the remaining lines at
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

use tracing_subscriber::layer::SubscriberExt as _;

pub(crate) use config::CHANNELS;
pub use config::{Channel, Config, Encoding, File, Level, Mode};
pub use error::Error;
pub(crate) use lost::{Lost, LostLines};
pub use outputs::Guard;
pub(crate) use outputs::{Stream, print};

/// Sets up the log of this process. Keep the guard until the process exits.
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
