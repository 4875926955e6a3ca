//! Which caller a request comes from.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A caller of the pools, such as one connection of the proxy. Callers whose requests wait for a worker are served in turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caller(u64);

impl Caller {
    /// The caller of all requests that come from no connection.
    pub const NONE: Self = Self(0);

    /// Returns a caller that differs from all others.
    pub fn unique() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Relaxed) + 1)
    }
}
