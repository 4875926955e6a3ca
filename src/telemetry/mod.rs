//! Telemetry: what operators see of a running bridge.
//!
//! [`logs`] writes what the rest of the house says through `tracing`, in RoadRunner's formats, so that log collectors need no change.
//! The settings of metrics, health and traces are read and checked already; they are to come, each in a file of its own.
//!
//! Nobody but `app` and `cli` imports this room: others speak through `tracing` alone.

mod config;
pub mod logs;

pub use config::{Collector, Metrics, Otel, Status};
