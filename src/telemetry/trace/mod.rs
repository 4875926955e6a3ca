//! Traces: where a request stands in a trace of OpenTelemetry.
//!
//! `context` reads it from W3C's header `traceparent`. The settings of traces are read and checked already (`config`); spans are to come.

mod config;
mod context;

pub use config::Otel;
pub use context::{SpanId, TraceContext, TraceId};
