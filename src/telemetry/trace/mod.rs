//! Traces: what happens to a call, as spans of OpenTelemetry.
//!
//! ```text
//!  proxy, api ── headers ──▶ Tracer ── sampler: recorded? ──▶ Trace ──▶ traceparent for the worker, or for Centrifugo
//!                              └── at the end, if recorded ──▶ Span ──▶ queue ──▶ export ─┬─ otlp ──▶ client: HTTP, gRPC
//!                                                                                          └─ console: stdout, stderr
//!  otel, OTEL_* ──▶ settings (config, environment, endpoint)
//! ```
//!
//! A call's place in a trace (`context`) is read from its `traceparent`, or made up (`ids`). Whether it is recorded is decided first
//! (`sampler`); a call that is not costs that decision and nothing else. Spans are made when a call is over, of times that were taken anyway.
//!
//! Invariants:
//! - Without the section `otel`, nothing is read, decided or kept.
//! - No call waits for the queue, the exporter or the collector. What does not fit into the queue is dropped and counted.
//! - The queue is bounded, and so are the texts of a span.
//! - The shutdown waits for the collector once, and no longer than its deadline.
//!
//! OTLP is spoken over the HTTP client that is part of this program anyway: with OpenTelemetry's own crates, a queue that counts what it drops,
//! and that a slow collector does not stall, would have been ours as well.
//!
//! Deliberately absent: metrics and logs over OTLP, Zipkin's protocol, propagators other than W3C's; headers of others, such as `baggage`, reach
//! workers as any header does.

mod client;
mod config;
mod console;
mod context;
mod endpoint;
mod environment;
mod export;
#[cfg(test)]
mod export_tests;
mod health;
mod ids;
mod messages;
mod otlp;
mod queue;
mod sampler;
mod settings;
mod span;
#[cfg(test)]
mod tests;
mod tracer;

pub use config::Otel;
pub(crate) use context::TRACEPARENT;
pub use context::{SpanId, TraceContext, TraceId};
pub use export::Exporting;
pub(crate) use span::{Kind, Value, cut};
pub use tracer::Tracer;
pub(crate) use tracer::{Part, Pending, Trace};

/// The version of OpenTelemetry's semantic conventions that names of spans and attributes follow.
const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.43.0";

/// What makes the spans.
const SCOPE: &str = "causeway";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How the exporter introduces itself.
const USER_AGENT: &str = concat!("causeway/", env!("CARGO_PKG_VERSION"));
