//! Locks shared by workers: many readers or one writer of a named resource, with a time to live, in this process's memory or in Redis.
//!
//! ```text
//!  lock.Lock ──▶ Locks (service) ──▶ memory: in this process
//!                  │                 redis: shared with other servers, RoadRunner's included
//!                  └─ owners: processes whose end releases their locks
//! ```
//!
//! An id stands for one claim at a time, and callers choose it.
//!
//! Invariants:
//! - What callers can take has bounds (`limits`): holders and waiters of all resources and of one, and the bytes of their names. Locks
//!   outlive their callers, so they do not count as memory of a connection.
//! - A call that fails leaves nothing behind: its id holds nothing, even if Redis has executed it and the answer was lost.
//! - A lock with an owner is released when that process ends; in Redis even if it is away at that moment.
//!
//! Deliberately absent: locks in memory that survive a restart. No worker outlives the server.

mod claim;
mod config;
mod error;
mod limits;
mod memory;
mod owners;
mod redis;
mod service;

pub(super) use claim::{Claim, Mode, Token};
pub use config::{Config, Driver, Password, RedisConfig};
pub(super) use error::LockError;
pub use service::{Locks, OpenError};
