//! Which connections of a listener are open, and which of them is evicted next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection is idle if it has had no call for at least this time, and at most twice it while others connect.
pub(super) const IDLE: Duration = Duration::from_secs(5);

/// `Entry::used` of a connection that has not sent anything yet.
pub(super) const NEVER: u64 = 0;

/// The open connections, in the order in which they were accepted.
#[derive(Debug)]
pub(super) struct Table {
    entries: BTreeMap<u64, Arc<Entry>>,
    next: u64,
    /// Evicted, but not closed yet.
    closing: usize,
    /// The calls counted at two times in the past.
    marks: [Mark; 2],
}

/// The number of calls at some time.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Instant,
    calls: u64,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Entry {
    /// The number of its last call, among those of all connections.
    pub(super) used: AtomicU64,
    is_evicted: AtomicBool,
    pub(super) evicted: Notify,
}

impl Table {
    /// An empty table; `calls` have been counted so far.
    pub(super) fn new(calls: u64) -> Self {
        let start = Mark { at: Instant::now(), calls };
        Self { entries: BTreeMap::new(), next: 0, closing: 0, marks: [start; 2] }
    }

    /// The number of connections, those included that are evicted and not closed yet.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// The number of connections that are not evicted.
    pub(super) fn remaining(&self) -> usize {
        self.entries.len() - self.closing
    }

    /// Adds a connection; returns its number.
    pub(super) fn insert(&mut self) -> (u64, Arc<Entry>) {
        let number = self.next;
        self.next += 1;
        let entry = Arc::new(Entry {
            used: AtomicU64::new(NEVER),
            is_evicted: AtomicBool::new(false),
            evicted: Notify::new(),
        });
        self.entries.insert(number, Arc::clone(&entry));
        (number, entry)
    }

    /// Removes a connection that has closed.
    pub(super) fn remove(&mut self, number: u64) {
        if self.entries.remove(&number).is_some_and(|entry| entry.is_evicted()) {
            self.closing -= 1;
        }
    }

    /// Notes the number of calls if the last time is long enough ago.
    pub(super) fn mark(&mut self, calls: u64) {
        let now = Instant::now();
        let [_, last] = self.marks;
        if now.duration_since(last.at) >= IDLE {
            self.marks = [last, Mark { at: now, calls }];
        }
    }

    /// Of the connections without calls in flight: the oldest that has not sent anything, or else the least recently used, if it is idle.
    pub(super) fn evictable(&self) -> Option<Arc<Entry>> {
        let [Mark { calls: recent, .. }, _] = self.marks;
        let mut idle: Option<&Arc<Entry>> = None;
        for entry in self.entries.values().filter(|entry| !entry.is_busy() && !entry.is_evicted()) {
            if entry.is_silent() {
                return Some(Arc::clone(entry));
            }
            if entry.used.load(Relaxed) < idle.map_or(recent, |idle| idle.used.load(Relaxed)) {
                idle = Some(entry);
            }
        }
        idle.cloned()
    }

    /// The oldest connection that has not sent anything.
    pub(super) fn silent(&self) -> Option<Arc<Entry>> {
        self.entries.values().find(|entry| entry.is_silent() && !entry.is_evicted()).cloned()
    }

    /// The oldest connection behind the first `limit` ones.
    pub(super) fn oldest_behind(&self, limit: usize) -> Option<Arc<Entry>> {
        self.entries.values().skip(limit).find(|entry| !entry.is_evicted()).cloned()
    }

    /// Asks a connection to close.
    pub(super) fn evict(&mut self, entry: &Entry) {
        self.closing += 1;
        entry.is_evicted.store(true, SeqCst);
        entry.evicted.notify_one();
    }
}

impl Entry {
    fn is_silent(&self) -> bool {
        self.used.load(Relaxed) == NEVER
    }

    /// Whether it has calls in flight: the table and the registration hold an entry too.
    fn is_busy(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 2
    }

    fn is_evicted(&self) -> bool {
        self.is_evicted.load(SeqCst)
    }
}
