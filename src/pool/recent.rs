//! What went wrong lately, for people to read: the last deaths of workers, and the last slow requests.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// How many of each are kept.
const KEPT: usize = 32;

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
}

/// Keeps the last of what is rare. No request takes these locks.
#[derive(Debug, Default)]
pub(super) struct Log {
    deaths: Ring<Death>,
    slow: Ring<Slow>,
}

#[derive(Debug)]
struct Ring<T>(Mutex<VecDeque<Arc<T>>>);

impl Log {
    pub(super) fn death(&self, death: Death) {
        self.deaths.push(death);
    }

    #[allow(dead_code, reason = "for the slow log")]
    pub(super) fn slow(&self, slow: Slow) {
        self.slow.push(slow);
    }

    pub(super) fn recent(&self) -> Recent {
        Recent { deaths: self.deaths.all(), slow: self.slow.all() }
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
