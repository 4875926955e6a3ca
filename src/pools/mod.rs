//! All pools of the bridge, by name: the one module through which proxy, RPC and pages reach workers.
//!
//! ```text
//!   proxy ── Call (type, method, channel) ──▶ route (pure) ──▶ name ──▶ Pool::exec
//!   rpc ──── name ──▶ Pool::reset, add_worker, remove_worker
//!   rpc, metrics, pages ◀── Snapshot: workers, what they use, sizes, counts and readiness of every pool
//! ```
//!
//! Today there is one pool, named after RoadRunner's plugin, and every call goes to it.
//!
//! Invariants:
//! - There is at least one pool, and the first one is the default.
//! - What is shown of the pools is a `Snapshot`, so that RPC, metrics and pages agree.
//! - Callers that ask at the same time share one pass over `/proc`, for all pools together.
//!
//! Deliberately absent: everything that concerns one pool alone.

mod directory;
mod metrics;
mod route;
mod snapshot;

pub use crate::pool::{Answered, Caller, Error, ResetError, ShuttingDown, Start, StartError, Stats};
pub use crate::worker::{State, Usage};
pub use directory::{Pools, UpcomingPools};
pub(crate) use metrics::Figures;
pub use route::Call;
pub use snapshot::{PoolSnapshot, Snapshot, WorkerSnapshot};
