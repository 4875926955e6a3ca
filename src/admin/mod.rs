//! What operators see over HTTP: health, readiness and metrics.
//!
//! ```text
//!  metrics.address ─┐                ┌─ /metrics ─▶ metrics ─▶ telemetry's registry
//!  status.address ──┴─▶ Server ─▶ Site ─ /health ─┬▶ health ─▶ pools
//!                       (connection)  └─ /ready ──┘
//! ```
//!
//! `server` binds one listener per address: sections that name the same address share it. `connection` serves HTTP/1 with keep-alive and
//! deadlines. `site` is the table of one listener, from path and method to page; `health` and `metrics` are the pages, `process` the figures
//! of this process. `config` holds the `metrics` and `status` sections.
//!
//! Invariants:
//! - No peer holds a connection or memory for long, whether it is silent, slow or one of many: every wait has a deadline, and at the limit
//!   of connections an idle one is closed for a new one (see `net`).
//! - A probe is answered at once, whatever else is served: what takes long runs on other threads.
//! - Pages are read-only.
//!
//! A page gets the whole request and returns a whole answer. A page that changes something adds a row with its method to the table;
//! authentication belongs in front of the table, in `Site`, TLS below it, in `net::Stream`; a stream of events needs another kind of body
//! beside whole bytes, which `connection` then leaves without a deadline.

mod answer;
mod config;
mod connection;
mod health;
mod metrics;
mod process;
mod server;
mod site;

pub(crate) use config::is_same_listener;
pub use config::{Metrics, Status};
pub(crate) use process::Process;
pub use server::Server;
pub(crate) use server::Sources;
