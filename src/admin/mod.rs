//! What operators see over HTTP: health, readiness, metrics, and a page for people.
//!
//! ```text
//!                                               ┌─ /health, /ready ... ▶ health ─▶ pools
//!  status.address ──┐                           ├─ /, /api/... ─▶ page ─▶ gate, overview
//!                   ├─▶ server ─▶ connection ─▶ site
//!  metrics.address ─┘                           └─ /metrics ────────▶ metrics ─▶ telemetry's registry
//! ```
//!
//! `server` binds one listener per address: sections that name the same address share it. `connection` serves HTTP/1 with keep-alive and
//! deadlines. `site` is the table of one listener, from path and method to page; `health`, `metrics` and `page` are the pages, `gate` decides
//! which requests `page` answers, `basic_auth` stands in front of pages that have a password, `process` and `connections` are figures of this process, `large` the limit on large pages. `config` holds
//! the `metrics` and `status` sections.
//!
//! Invariants:
//! - No peer holds a connection or memory for long, whether silent, slow or one of many: every wait has a deadline, and at the limit an idle
//!   connection is closed for a new one (see `net`).
//! - A probe is answered at once, whatever else is served: slow work runs on other threads.
//! - Nothing changes by GET, and nothing at all unless `status.control` is set.
//! - A stream of events has a deadline for each event, and is closed for a new connection when there are too many.
//! - A page behind a password is not asked before the password is.

mod answer;
mod basic_auth;
mod config;
mod connection;
mod connections;
mod gate;
mod health;
mod large;
mod metrics;
mod page;
mod process;
mod server;
mod site;

pub use basic_auth::BasicAuth;
pub use config::{Metrics, Status};
pub(crate) use config::{is_same_listener, validate_shared};
pub(crate) use connections::OpenConnections;
pub(crate) use process::Process;
pub use server::Server;
pub(crate) use server::Sources;
