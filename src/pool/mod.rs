//! The pool: so many workers, each lent to one request at a time, and replaced when it is gone.
//!
//! ```text
//!   request ──▶ Pool::exec ──take──▶ Idle ──▶ Lease ──exchange──▶ answer        (the hot path: no central task)
//!                                     ▲         │
//!                                     └──give───┤ settled
//!                                               ▼ faulty, retiring, or the caller has gone
//!   Actor ◀── births, deaths, returns ──────────┘
//!     │  ▲
//!     ▼  │ events, effects (pure)
//!    Core
//! ```
//!
//! A worker, as the core sees it:
//!
//! ```text
//!            boot ok                 retire(reason)               exited
//!  Starting ─────────▶ Ready ───────────────────────▶ Retiring ──────────▶ gone ──▶ a successor, as long as fewer than
//!     │                  │ exited                                                     num_workers are there or to come
//!     └── boot failed ───┴────────────────────────────────────────────────▶ gone
//! ```
//!
//! Whether a ready worker is idle or in a request is no business of the core: the `idle` structure and the leases know.
//!
//! Invariants:
//! - Every worker's link is in exactly one place: in `Idle`, in a `Lease`, with a task that settles it, or with its process, which stops.
//! - Every permit of `Idle` stands for one link in it.
//! - A request that has its lease runs on this worker alone; it is run again only if the worker cannot have seen it, or says that it did
//!   not handle it.
//! - The pool never ends the program. When it cannot start a worker it says why, waits (100 ms, doubling up to 10 s) and tries again.
//!
//! Deliberately absent: gRPC and JSON, which are the proxy's; limits and scaling decide in `policy`, which is to come.

mod actor;
mod config;
mod core;
mod error;
mod handle;
mod idle;
mod lease;
mod shared;

pub use config::{Config, DynamicAllocator, Supervisor};
pub use error::Error;
pub use handle::{Pool, Start, StartError};
