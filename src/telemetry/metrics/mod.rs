//! Metrics: those of the application, which workers write over `rpc`, and the bridge's own.
//!
//! ```text
//!  metrics.Declare, Add, ... ──▶ registry ──┐
//!  metrics.collect ─────────────▶           ├─▶ text ──▶ server ──HTTP──▶ Prometheus
//!  pool, proxy ──────────────────▶ bridge ──┘
//! ```
//!
//! `registry` holds the application's collectors, `family` one of them, `summary` estimates quantiles; `bridge` tells of the bridge
//! itself; `text` writes Prometheus' text format, and `server` answers with it.
//!
//! Invariants:
//! - No call harms another one: what cannot be counted is refused, and what is refused changes nothing.
//! - Each name stands on the page once. Names may be any text; on the page, what Prometheus' older format does not allow is an underscore.
//! - The page is written family by family; whoever counts meanwhile waits for one family at most.
//!
//! Deliberately absent: a bound on how many values the labels of a collector take, which is the application's choice; OpenMetrics.
//!
//! The registry is our own because the crates that there are have no summaries, know label names at compile time, or lock everything
//! while a page is written.

mod bridge;
mod family;
mod registry;
mod server;
mod summary;
#[cfg(test)]
mod tests;
mod text;

pub use registry::{DeclareError, Registry, Write, WriteError};
pub use server::Server;
pub(crate) use server::Sources;
