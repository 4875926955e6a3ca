//! Why a call about a lock fails.

use super::limits::{LimitReached, MAX_OWNERS};
use super::redis::error::Error as RedisError;

/// A failed call. Nothing is held by its id then.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// The owner's process does not exist, or has ended before the lock was granted.
    #[error("there is no process {0} to own the lock")]
    NoOwner(u32),
    /// Too many processes own locks.
    #[error("limit of {} processes that own locks reached", MAX_OWNERS)]
    Owners,
    /// Redis cannot be asked, or has refused.
    #[error("lock redis: {0}")]
    Redis(#[from] RedisError),
}
