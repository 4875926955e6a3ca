//! All pools of the bridge, by name: the one module through which proxy, RPC and pages reach workers.
//!
//! ```text
//!   proxy ── type, message ──▶ route (pure; scan, rule, glob) ──▶ number ──▶ Pool::exec
//!   rpc ──── name ──▶ NamedPool::reset, resize
//!   rpc, metrics, pages ◀── Snapshot: workers, what they use, sizes, counts and readiness of every pool
//! ```
//!
//! The default pool is named after RoadRunner's plugin, `centrifuge`, and the pool `x` of `centrifuge.pools` is `centrifuge.x`. Nothing is
//! shared between pools but the listener of a relay that they both name: each has its own queue, limits, supervisor, allocator and reset.
//!
//! Invariants:
//! - The default pool has the number 0. It answers what no other pool matches. Without others, no message is looked at.
//! - A pool that is not required never fails the start, and the server is ready without it; until it has started, its calls fail with the
//!   reason.
//! - A reload replaces all pools as a whole (`reload`). A request that comes to one that was removed meanwhile is routed again, so none fails.
//! - What is shown of the pools is a `Snapshot`, so that RPC, metrics and pages agree.
//! - Callers that ask at the same time share one pass over `/proc`, for all pools together.
//!
//! Deliberately absent: everything that concerns one pool alone.

mod config;
mod describe;
mod directory;
mod glob;
mod metrics;
mod named;
mod reload;
mod route;
mod rule;
mod scan;
mod snapshot;
mod streamed;
mod translation;
mod types;

pub use crate::pool::{
    Answered, Caller, Codec, Current, Death, Describe, Description, Error, Recent, RequestType, ResetError,
    Slow, Stats, StreamInput, Timings,
};
pub use crate::worker::{State, Usage};
pub(crate) use config::validate_routes;
pub use config::{Config, Routing};
pub(crate) use describe::Described;
pub use directory::{Pools, Request, Settings, UpcomingPools};
pub use glob::{Glob, InvalidGlob};
pub(crate) use metrics::Figures;
pub use named::{NamedPool, ResizeError, StartError};
pub(crate) use reload::Done;
pub use route::{Routes, Step};
pub(crate) use rule::is_of_unknown_type;
pub use rule::{Match, Verdict};
pub use snapshot::{PoolSnapshot, Snapshot, WorkerSnapshot};
pub use streamed::{Opened, Streamed};
pub use types::Subject;
pub(crate) use types::{TYPES, normalised};
