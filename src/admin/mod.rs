//! What operators see over HTTP: health, readiness and metrics.
//!
//! ```text
//!  status.address ──┐                           ┌─ /health, /ready ... ▶ health ─▶ pools
//!                   ├─▶ server ─▶ connection ─▶ site
//!  metrics.address ─┘                           └─ /metrics ────────▶ metrics ─▶ telemetry's registry
//! ```
//!
//! `server` binds one listener per address: sections that name the same address share it. `connection` serves HTTP/1 with keep-alive and
//! deadlines. `site` is the table of one listener, from path and method to page; `health` and `metrics` are the pages, `process` and
//! `connections` figures of this process, `large` the limit on large pages. `config` holds the `metrics` and `status` sections.
//!
//! Invariants:
//! - No peer holds a connection or memory for long, whether silent, slow or one of many: every wait has a deadline, and at the limit an idle
//!   connection is closed for a new one (see `net`).
//! - A probe is answered at once, whatever else is served: slow work runs on other threads.
//! - Pages are read-only.
//!
//! Where extensions belong: a page that changes something is a row with its own method; authentication is a check of the site, before the
//! table; TLS is below, in `net::Stream`; a stream of events is a second kind of body in `Answer`, which `connection` exempts from the
//! deadline of an answer.

mod answer;
mod config;
mod connection;
mod connections;
mod health;
mod large;
mod metrics;
mod process;
mod server;
mod site;

pub(crate) use config::is_same_listener;
pub use config::{Metrics, Status};
pub(crate) use connections::OpenConnections;
pub(crate) use process::Process;
pub use server::Server;
pub(crate) use server::Sources;
