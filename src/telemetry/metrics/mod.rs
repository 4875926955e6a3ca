//! Metrics: those of the application, which workers write over `rpc`, and the bridge's own.
//!
//! ```text
//!  metrics.Declare, Add, ... ──▶ registry ──┐
//!  metrics.collect ─────────────▶           ├─▶ text ──▶ server ──HTTP──▶ Prometheus
//!  pool, proxy ──────────────────▶ bridge ──┘
//! ```
//!
//! `registry` holds the application's collectors, `family` one of them, `series` its values, `summary` estimates quantiles; `budget` bounds
//! what they take; `bridge` tells of the bridge
//! itself; `text` writes Prometheus' text format, and `server` answers with it.
//!
//! Invariants:
//! - No call harms another one: what cannot be counted is refused, and what is refused changes nothing.
//! - Each name stands on the page once. Names may be any text; on the page, what Prometheus' older format does not allow is an underscore.
//! - What collectors take is bounded, whatever is declared and counted; past a bound the call is refused, and those before it go on.
//! - The page is written from copies of a few series at a time; whoever counts meanwhile waits for one such copy at most. Those who ask
//!   for the page at the same time share one.
//!
//! Deliberately absent: OpenMetrics.
//!
//! The registry is our own because the crates that there are have no summaries, know label names at compile time, or lock everything
//! while a page is written.

mod bridge;
mod budget;
mod family;
mod registry;
mod series;
mod server;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use registry::{DeclareError, Registry, Write, WriteError};
pub use server::Server;
pub(crate) use server::Sources;
