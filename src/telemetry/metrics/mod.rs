//! The metrics registry: the application's collectors, which workers write over RPC, and the figures of the bridge's own parts.
//!
//! ```text
//!  metrics.Declare, Add, ... ─▶ Registry ◀─ metrics.collect
//!                                  │
//!  pool, proxy, logs, process ─Collect─▶ Figures ─▶ Page ─▶ Prometheus' text format
//! ```
//!
//! `registry` holds the application's collectors by name, `family` one of them, `series` the values of one combination of labels; `summary`
//! estimates quantiles, `bounds` and `budget` limit what they take. Parts of the bridge implement `Collect` and are registered by `app`.
//! `exposition` writes the text format; `admin` serves it.
//!
//! Invariants:
//! - A call that is refused changes nothing, and no call affects another collector.
//! - Each name is on the page once. Names may be any text; on the page, what Prometheus' older format does not allow is an underscore.
//! - What collectors take is bounded, whatever is declared and written; past a bound the call is refused, and existing series go on.
//! - The page is written from copies of a few series at a time; a call waits for one such copy at most.
//!
//! Deliberately absent: OpenMetrics.
//!
//! The registry is our own because the available crates have no summaries, know label names at compile time, or lock everything while a
//! page is written.

mod bounds;
mod budget;
mod collect;
mod collector;
mod error;
mod exposition;
mod family;
mod registry;
mod series;
mod summary;
#[cfg(test)]
mod tests;

pub(crate) use collect::{Collect, Collected, Figures, ready};
pub use collector::{Collector, CollectorKind, Write};
pub use error::{DeclareError, LabelError, WriteError};
pub(crate) use exposition::{FamilyText, Page, approximate};
pub(crate) use family::is_quantile;
pub use registry::Registry;
