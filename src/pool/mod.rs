//! A fixed-size pool of worker processes, each serving one request at a time, or many, and replaced when it is gone.
//!
//! ```text
//!   request ──▶ Pool::exec ──take──▶ Units ──▶ Lease ──exchange──▶ answer       (the hot path: no central task)
//!                                     ▲          │
//!                                     └── give ──┤ settled
//!                                       back     ▼ faulty, retiring, or the caller has gone
//!   Actor ◀── Mailbox ◀── births, deaths, returns, operators, alarms
//!     │  ▲
//!     ▼  │ events, effects (pure)                  policy (pure): which worker is past a limit, which is not needed
//!    Core
//! ```
//!
//! A worker, as the core sees it:
//!
//! ```text
//!            boot ok           needed            retire(reason)            exited
//!  Starting ─────────▶ Standby ────────▶ Ready ──────────────────▶ Retiring ─────────▶ gone ──▶ a successor, as long as fewer
//!     │                                    │ exited                   │ broken, too slow          than wanted are present
//!     │                                    │                          ▼
//!     │                                    └─────────────────────── Dying
//!     └── boot failed, called off ──▶ gone
//! ```
//!
//! A ready worker may be *due* (to be replaced: a limit, a reset), *nearly exhausted* (its last requests are coming, by the `forecast`)
//! and *abandoned* (in a request that no caller waits for any more). Which worker leaves, and when another is started, follows from these marks and a few numbers: see `core`. Whether a ready worker is idle or
//! in a request is not the core's concern: `Units` and the leases know.
//!
//! # The parts and their owners
//!
//! - `core`, `policy`, `forecast`, `loads`, `idle` and its queue (`permits`, `fair_queue`) know neither tasks nor processes. The `Actor` executes
//!   what the core decides, with a `Staff` of processes.
//! - `Parts` is what requests and the actor share: `Units` (idle capacity, and the ways back to it), `Queue` (who waits, and whether that
//!   makes sense), `Roster` (the workers, for those who ask), `CurrentRecipe`, `Counters`, and the `Mailbox`.
//! - A `Recipe` is all settings of one generation of workers. Each worker's `Member` keeps the recipe that it was started from. A reset
//!   puts the same settings in force as the next generation, and what is of an older one is replaced; a reload brings new settings (`trial`, `change`).
//!
//! # Many requests per process
//!
//! A permit of `Idle` stands for a unit of capacity: one request that a worker may have in flight. Most workers have one, which is kept. One
//! that numbers its requests has many: they are made from its first one as they are needed, of the least busy worker first (`loads`), and
//! a task drives its connection (`driving`). `Staff` stops such a worker when the last unit in use has come back. A request that no caller
//! waits for costs a unit; with a quarter of them lost, the worker counts as abandoned, and with a quarter overdue, it is replaced. Queue,
//! leases, deadlines, limits, core and resets know units and members, and no connection.
//!
//! # Answers of many messages
//!
//! An `AnswerStream` holds its lease, and with it a worker or one unit of it, until the stream is over or dropped. A worker that has to leave
//! ends its streams after `stream_timeout`.
//!
//! Invariants:
//! - Every unit is in exactly one place: in `Idle`, in a `Lease`, with a task that settles it, or with its process, which stops.
//! - Every permit of `Idle` stands for one unit in it, kept or to be made, or is void.
//! - Of the requests that wait, those of one `Caller` are served first come, first served, and callers in turns. A newcomer overtakes none.
//! - A request that has its lease runs on this worker alone; it is run again only if the worker cannot have seen it, or says that it did
//!   not handle it.
//! - A worker gets no more than `max_jobs` requests. It leaves after the last one; its successor was started before, if the rate of
//!   requests allowed a forecast.
//! - A worker that is replaced for another reason leaves after its successor is ready and after its own request: limits, resets and
//!   scaling fail no request.
//! - A caller's deadline is not a worker's. The caller is answered at once, and the worker may go on up to `exec_ttl`, or `abandon_ttl`;
//!   while others wait, a substitute serves them.
//! - The pool never ends the program. When it cannot start a worker it says why, waits (100 ms, doubling up to 10 s) and tries again.
//! - A worker whose process has ended is noticed even if what it left behind holds its pipes open.
//!
//! With `debug`, the pool keeps no workers: each request has one started for itself (`one_shot`), which leaves after its answer.
//!
//! Deliberately absent: gRPC and JSON, which are the proxy's; the clock and chance in `core` and `policy`, which get the time as an
//! argument; the watching of files, which asks for a reset like any operator.

mod acquire;
mod actor;
mod alarms;
mod attempts;
mod body;
mod caller;
mod change;
mod config;
mod core;
mod counters;
mod driving;
mod error;
mod fair_queue;
#[cfg(test)]
mod fair_queue_tests;
mod forecast;
mod handle;
mod idle;
#[cfg(test)]
mod idle_tests;
mod lease;
mod loads;
mod mailbox;
mod one_shot;
mod operations;
mod parts;
mod permits;
mod policy;
mod queue;
mod recent;
mod recipe;
mod request;
mod resets;
mod roster;
mod slots;
mod slow;
mod staff;
mod stats;
mod stream;
mod supervision;
mod sync;
mod trial;
mod unit;
mod units;

pub use crate::request_type::RequestType;
pub use crate::worker::Codec;
pub use body::Body;
pub use caller::Caller;
pub use config::{Config, DynamicAllocator, Supervisor};
pub use error::Error;
pub use handle::{FirstBoot, Pool, Start, StartError};
pub use lease::Answered;
pub use operations::{ResetError, ShuttingDown};
pub use recent::{Death, FailedBoot, Recent, Slow};
pub use request::{Request, Timings};
pub use roster::{Current, WorkerInfo};
pub use slow::{Describe, Description};
pub(crate) use stats::TypeStats;
pub use stats::{Latency, Stats};
pub use stream::{AnswerStream, Opened, StreamInput};
pub(crate) use trial::{Difference, Replacement, Trial};
