//! Locks in this process's memory.
//!
//! ```text
//!  claim ──▶ Table ──(now, claim)──▶ Core: resources with holders and queues, alarms
//!    ▲         │                        │
//!    └─ answer ┘◀── answered tickets ───┘          one task sleeps until the next alarm
//! ```
//!
//! [`core`] decides: a pure state machine, with time as an argument. [`table`] executes: a mutex, a channel per waiter, one timer.
//!
//! Invariants:
//! - First come, first served: readers behind a waiting writer wait behind it.
//! - A waiter that is gone holds nothing: the lock goes to the next one.
//! - An unused resource takes no memory; the timer lives only while there are alarms.
//! - However many locks expire at the same time, a call executes only some of that; the timer does the rest, a part at a time.
//! - Tokens increase with each grant, and over restarts, as far as the system's clock does.
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

pub(super) use table::Table;
