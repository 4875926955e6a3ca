//! All pools of the bridge, by their names: what stands between those who need workers and the pools that have them.
//!
//! ```text
//!   proxy ── call (type, method, channel) ──▶ route (pure) ──▶ name ──▶ Pool::exec
//!   rpc ──── name ──▶ Pool::reset, add_worker, remove_worker
//!   rpc, metrics, pages ◀── Snapshot: workers, what they use, sizes, counts and readiness of every pool
//! ```
//!
//! Today there is one pool, whose name is that of RoadRunner's plugin, and every call goes to it.
//!
//! Invariants:
//! - There is at least one pool, and the first one is the default: calls that no rule names go to it.
//! - Whoever shows the pools shows a `Snapshot`, so that RPC, metrics and pages say the same.
//! - Callers that ask at the same time share one pass over `/proc`, for all pools together.
//!
//! Deliberately absent: everything that concerns one pool alone.

mod directory;
mod route;
mod snapshot;

pub use crate::pool::{ResetError, ShuttingDown};
pub use directory::{Pools, UpcomingPools};
pub use route::Call;
pub use snapshot::{PoolSnapshot, Snapshot, WorkerSnapshot};
