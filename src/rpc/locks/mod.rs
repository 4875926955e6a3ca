//! Locks that workers share: many readers or one writer of a named resource, with a time to live, in memory of this process.
//!
//! ```text
//!  lock.Lock ──▶ Locks ──(now, claim)──▶ Core: resources, their holders and those who wait, alarms
//!     ▲            │                        │
//!     └── answer ──┘◀── tickets answered ───┘          one task sleeps until the core's next alarm
//! ```
//!
//! [`core`] decides: it is pure, and time is an argument. [`table`] carries out: a mutex, a channel for each one who waits, one timer.
//! An id stands for one owner, and the caller chooses it.
//!
//! Invariants:
//! - First come, first served: readers who come behind a waiting writer wait behind it.
//! - Whoever waited and is not there any more holds nothing: the lock goes to the next one.
//! - A resource that nobody holds or waits for takes no memory; the timer lives only while there is something to wait for.
//! - Nobody can make the table grow beyond its bounds: holders and waiters of all resources and of one, and the bytes of their names.
//!   Locks outlive their callers, and so do not count as what a connection holds.
//! - However many locks end at the same time, no call carries out more than some of that: the timer does, a part at a time.
//!
//! Deliberately absent: locks that survive a restart. Workers which outlive their supervisor do not exist here.
//!
//! Source: exchanges recorded from RoadRunner 2025.1.15, `lock.*` in `tests/vectors/rpc-transcripts.json`.

mod alarms;
mod core;
#[cfg(test)]
mod model_tests;
mod resource;
mod table;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;

pub(super) use self::core::Claim;
pub(super) use resource::Mode;
pub use table::Locks;
