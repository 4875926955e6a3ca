//! What is asked for: a lock on a resource, for an owner.

use std::time::Duration;

/// A point in time, counted from the start of the caller's clock.
pub(super) type Moment = Duration;

/// The number of a claim. Later claims have larger ones.
pub(super) type Ticket = u64;

/// A number that increases with each grant of a resource, so that what the lock protects can refuse a holder whose lock has expired.
pub(crate) type Token = u64;

/// How a resource is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Together with other readers.
    Read,
    /// Alone.
    Write,
}

/// A request for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) resource: String,
    /// The owner's name.
    pub(crate) id: String,
    pub(crate) mode: Mode,
    /// How long the lock lasts once it is granted; `None`: until it is released.
    pub(crate) ttl: Option<Duration>,
    /// How long the claim may wait.
    pub(crate) wait: Duration,
    /// Whether the caller wants the lock's token.
    pub(crate) is_fenced: bool,
}
