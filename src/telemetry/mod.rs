//! Telemetry: what operators see of a running bridge.
//!
//! [`logs`] writes what the rest of the house says through `tracing`, in RoadRunner's formats, so that log collectors need no change.
//! [`metrics`] counts, and shows it on a page; `health` says whether the server lives and is ready. The settings of traces are read and
//! checked already; they are to come.
//!
//! Nobody but `app` and `cli` imports this room, and `rpc` for the metrics: others speak through `tracing` alone.

mod config;
mod health;
mod http;
pub mod logs;
pub mod metrics;

pub use config::{Collector, CollectorKind, Metrics, Otel, Status};
pub use health::Health;
