//! Locks shared by workers: many readers or one writer of a named resource, with a time to live, in this process's memory.
//!
//! ```text
//!  lock.Lock ──▶ Locks ──(now, claim)──▶ Core: resources with holders and queues, alarms
//!     ▲            │                        │
//!     └── answer ──┘◀── answered tickets ───┘          one task sleeps until the next alarm
//! ```
//!
//! [`core`] decides: a pure state machine, with time as an argument. [`table`] executes: a mutex, a channel per waiter, one timer. An id
//! stands for one owner, and callers choose it.
//!
//! Invariants:
//! - First come, first served: readers behind a waiting writer wait behind it.
//! - A waiter that is gone holds nothing: the lock goes to the next one.
//! - An unused resource takes no memory; the timer lives only while there are alarms.
//! - The table has bounds: holders and waiters of all resources and of one, and the bytes of their names. Locks outlive their callers, so
//!   they do not count as memory of a connection.
//! - However many locks expire at the same time, a call executes only some of that; the timer does the rest, a part at a time.
//!
//! Deliberately absent: locks that survive a restart. No worker outlives the server.
//!
//! Source: exchanges recorded from RoadRunner 2025.1.15, `lock.*` in `tests/vectors/rpc-transcripts.json`.

mod alarms;
mod claim;
mod core;
#[cfg(test)]
mod model_tests;
mod resource;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

pub(super) use self::core::LimitReached;
pub(super) use claim::{Claim, Mode};
pub use table::Locks;
