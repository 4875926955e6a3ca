//! Telemetry: logs and metrics of a running bridge.
//!
//! [`logs`] writes the events of `tracing`, in RoadRunner's formats, so that log collectors need no change. [`metrics`] is the registry of
//! all metrics, `histogram` counts durations for it. [`trace`] makes and exports spans.
//!
//! A base module: it imports no other module, and any module may import it. Parts of the bridge log through `tracing`, and implement
//! `metrics::Collect` for their figures; `app` registers them, and `admin` serves the page.

pub(crate) mod histogram;
pub mod logs;
pub mod metrics;
pub mod trace;
