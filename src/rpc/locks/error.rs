//! Why a call about a lock fails.

use super::limits::LimitReached;
use super::redis;

/// A failed call. Nothing is held by its id then: see [`redis`].
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    #[error(transparent)]
    LimitReached(#[from] LimitReached),
    /// The owner's process does not exist, or has ended before the lock was granted.
    #[error("there is no process {0} to own the lock")]
    NoOwner(u32),
    /// Too many processes own locks.
    #[error("limit of {} processes that own locks reached", super::owners::MAX_OWNERS)]
    Owners,
    /// Redis cannot be asked, or has refused.
    #[error("lock redis: {0}")]
    Redis(#[from] redis::Error),
}
