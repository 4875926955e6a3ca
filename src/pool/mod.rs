//! The pool: so many workers, each lent to one request at a time, and replaced when it is gone.
//!
//! ```text
//!   request ──▶ Pool::exec ──take──▶ Idle ──▶ Lease ──exchange──▶ answer        (the hot path: no central task)
//!                                     ▲         │
//!                                     └──give───┤ settled
//!                                               ▼ faulty, retiring, or the caller has gone
//!   Actor ◀── births, deaths, returns, operators, alarms
//!     │  ▲
//!     ▼  │ events, effects (pure)                  policy (pure): which worker is past a limit, which is not needed
//!    Core
//! ```
//!
//! A worker, as the core sees it:
//!
//! ```text
//!            boot ok                 retire(reason)               exited
//!  Starting ─────────▶ Ready ───────────────────────▶ Retiring ──────────▶ gone ──▶ a successor, as long as fewer than
//!     │                  │ exited                      │ broken, too slow              wanted are there or to come
//!     │                  │                              ▼
//!     │                  └─────────────────────────── Dying
//!     └── boot failed, called off ──▶ gone
//! ```
//!
//! A ready worker may be *due* (to be replaced: a limit, a reset) and *abandoned* (in a request that nobody waits for any more). Which
//! worker leaves, and when another is started, follows from these marks and a few numbers: see `core`. Whether a ready worker is idle or
//! in a request is no business of the core: the `idle` structure and the leases know.
//!
//! Invariants:
//! - Every worker's connection is in exactly one place: in `Idle`, in a `Lease`, with a task that settles it, or with its process, which stops.
//! - Every permit of `Idle` stands for one connection in it.
//! - A request that has its lease runs on this worker alone; it is run again only if the worker cannot have seen it, or says that it did
//!   not handle it.
//! - A worker that is replaced leaves after its successor is ready and after its own request: limits, resets and scaling fail no request.
//! - A caller's deadline is not a worker's. The caller is answered at once, and the worker may go on up to `exec_ttl`, or `abandon_ttl`;
//!   while others wait, a substitute serves them.
//! - The pool never ends the program. When it cannot start a worker it says why, waits (100 ms, doubling up to 10 s) and tries again.
//! - A worker whose process has ended is noticed even if what it left behind holds its pipes open.
//!
//! With `debug`, the pool keeps no workers: each request has one started for itself, which leaves behind its answer.
//!
//! Deliberately absent: gRPC and JSON, which are the proxy's; the clock and chance in `core` and `policy`, which get the time as an
//! argument; the watching of files, which asks for a reset like any operator.

mod actor;
mod alarms;
mod config;
mod core;
mod error;
mod handle;
mod idle;
#[cfg(test)]
mod idle_tests;
mod lease;
mod limits;
mod operations;
mod policy;
mod queue;
mod shared;
mod stats;
mod sync;

pub use config::{Config, DynamicAllocator, Supervisor};
pub use error::Error;
pub use handle::{Pool, Start, StartError};
pub use lease::Answered;
pub use operations::{ResetError, ShuttingDown};
pub use stats::{Latency, Stats};
