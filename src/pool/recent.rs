//! What went wrong lately, for people to read: the last deaths of workers, and the last slow requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How many of each are kept.
const KEPT: usize = 32;

/// Bytes of the reason for a failed start that are kept.
const MAX_REASON: usize = 2 << 10;

/// The death of a worker: it exited unasked, or was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Death {
    /// When it was noticed.
    pub at: SystemTime,
    /// The worker.
    pub pid: u32,
    /// Why, in one word; as in `causeway_worker_restarts_total`.
    pub reason: &'static str,
    /// How its process ended.
    pub exit: String,
    /// What it printed last, at most 1 KB.
    pub last_words: String,
    /// Requests that were handed to it.
    pub requests: u64,
    /// How long it lived.
    pub age: Duration,
}

/// A worker did not become ready.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailedBoot {
    /// When that was noticed.
    pub at: SystemTime,
    /// What was run, how it ended, and what it printed last; at most 2 KB.
    pub reason: String,
}

/// A request that has kept its worker for longer than `pool.slow_after`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Slow {
    /// When it was noticed.
    pub at: SystemTime,
    /// The worker.
    pub pid: u32,
    /// The type of the request.
    pub kind: String,
    /// The method of an RPC.
    pub method: Option<String>,
    /// The channel that it is about.
    pub channel: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The trace that it belongs to.
    pub trace_id: Option<String>,
    /// How long it had taken by then; it went on.
    pub took: Duration,
    /// What the worker was doing.
    pub doing: String,
}

/// The last deaths and slow requests of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Recent {
    /// The oldest first.
    pub deaths: Vec<Arc<Death>>,
    /// The oldest first.
    pub slow: Vec<Arc<Slow>>,
    /// The last start that has failed.
    pub failed_boot: Option<Arc<FailedBoot>>,
}

/// Keeps the last of what is rare. No request takes these locks.
#[derive(Debug, Default)]
pub(super) struct Log {
    deaths: Ring<Death>,
    slow: Ring<Slow>,
    failed_boot: Mutex<Option<Arc<FailedBoot>>>,
}

#[derive(Debug)]
struct Ring<T>(Mutex<VecDeque<Arc<T>>>);

impl Log {
    pub(super) fn death(&self, death: Death) {
        self.deaths.push(death);
    }

    pub(super) fn slow(&self, slow: Slow) {
        self.slow.push(slow);
    }

    pub(super) fn boot_failed(&self, reason: &str) {
        let reason = reason[..reason.floor_char_boundary(MAX_REASON)].to_owned();
        let failed = Arc::new(FailedBoot { at: SystemTime::now(), reason });
        *self.failed_boot.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
    }

    pub(super) fn recent(&self) -> Recent {
        let failed_boot = self.failed_boot.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Recent { deaths: self.deaths.all(), slow: self.slow.all(), failed_boot }
    }
}

impl<T> Ring<T> {
    fn push(&self, item: T) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() == KEPT {
            ring.pop_front();
        }
        ring.push_back(Arc::new(item));
    }

    fn all(&self) -> Vec<Arc<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_kept() {
        let ring = Ring::default();
        (0..100).for_each(|number| ring.push(number));
        let kept: Vec<usize> = ring.all().iter().map(|number| **number).collect();
        assert_eq!(kept, (100 - KEPT..100).collect::<Vec<_>>());
    }
}
