//! Which connections of a listener are open, and which of them is evicted next.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::origin::Origin;

/// A connection is idle if it has had no call for at least this time, and at most twice it while others connect.
pub(super) const IDLE: Duration = Duration::from_secs(5);

/// `Entry::used` of a connection that has not sent anything yet.
pub(super) const NEVER: u64 = 0;

/// Connections beyond a limit, used only while none of the others is idle. They are for the next peer, an operator for example: when all
/// are taken, the oldest of them is evicted, even with calls in flight.
pub(super) const SPARE: usize = 16;

/// Connections of one address that were evicted and have not closed yet: with as many, its new ones are refused.
pub(super) const CLOSING: usize = 16;

/// The open connections, in the order in which they were accepted.
#[derive(Debug)]
pub(super) struct Table {
    entries: BTreeMap<u64, Arc<Entry>>,
    next: u64,
    all: Count,
    of_origin: HashMap<Origin, Count>,
    /// The calls counted at two times in the past.
    marks: [Mark; 2],
}

/// A number of connections.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    open: usize,
    /// Those of them that are evicted, but not closed yet.
    closing: usize,
}

/// Whether a limit allows another connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Free,
    /// An older one was evicted.
    Evicted,
    /// What was evicted earlier has not closed yet.
    Full,
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
    origin: Option<Origin>,
    /// The number of its last call, among those of all connections.
    pub(super) used: AtomicU64,
    is_evicted: AtomicBool,
    pub(super) evicted: Notify,
}

impl Table {
    /// An empty table; `calls` have been counted so far.
    pub(super) fn new(calls: u64) -> Self {
        let start = Mark { at: Instant::now(), calls };
        let (all, of_origin) = (Count::default(), HashMap::new());
        Self { entries: BTreeMap::new(), next: 0, all, of_origin, marks: [start; 2] }
    }

    /// The number of connections, those included that are evicted and not closed yet.
    pub(super) fn count(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing is left of any connection.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.of_origin.is_empty() && (self.all.open, self.all.closing) == (0, 0)
    }

    /// Adds a connection; returns its number.
    pub(super) fn insert(&mut self, origin: Option<Origin>) -> (u64, Arc<Entry>) {
        let number = self.next;
        self.next += 1;
        self.all.open += 1;
        if let Some(origin) = origin {
            self.of_origin.entry(origin).or_default().open += 1;
        }
        let entry = Arc::new(Entry {
            origin,
            used: AtomicU64::new(NEVER),
            is_evicted: AtomicBool::new(false),
            evicted: Notify::new(),
        });
        self.entries.insert(number, Arc::clone(&entry));
        (number, entry)
    }

    /// Removes a connection that has closed.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else { return };
        let closing = usize::from(entry.is_evicted());
        self.all.remove(closing);
        if let Some(origin) = entry.origin
            && let Some(count) = self.of_origin.get_mut(&origin)
        {
            count.remove(closing);
            if count.open == 0 {
                self.of_origin.remove(&origin);
            }
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

    /// Whether `limit` allows another connection. At the limit, evicts one: there is room once it has closed.
    pub(super) fn make_room(&mut self, limit: usize) -> Room {
        let Count { open, closing } = self.all;
        if open < limit {
            return Room::Free;
        }
        if open - closing < limit {
            return Room::Full;
        }
        if let Some(entry) = self.evictable(None) {
            return self.evict(&entry);
        }
        let with_spare = limit + SPARE;
        if open < with_spare {
            return Room::Free;
        }
        if open - closing < with_spare {
            return Room::Full;
        }
        self.oldest_behind(limit, None).map_or(Room::Full, |entry| self.evict(&entry))
    }

    /// Whether `limit` allows another connection of one address. At the limit, evicts one of the address, and there is room at once: a few
    /// may be open in addition until they have closed, so that nobody waits for them.
    pub(super) fn make_room_of(&mut self, origin: Origin, limit: usize) -> Room {
        let Count { open, closing } = self.of_origin.get(&origin).copied().unwrap_or_default();
        if open < limit {
            return Room::Free;
        }
        if closing >= CLOSING {
            return Room::Full;
        }
        let staying = open - closing;
        if staying < limit {
            return Room::Free;
        }
        if let Some(entry) = self.evictable(Some(origin)) {
            return self.evict(&entry);
        }
        if staying < limit + SPARE {
            return Room::Free;
        }
        self.oldest_behind(limit, Some(origin)).map_or(Room::Full, |entry| self.evict(&entry))
    }

    /// Evicts the oldest connection that has not sent anything, if there is one.
    pub(super) fn evict_silent(&mut self) {
        let silent = self.entries.values().find(|entry| entry.is_silent() && !entry.is_evicted());
        if let Some(entry) = silent.cloned() {
            self.evict(&entry);
        }
    }

    /// Of the connections without calls in flight: the oldest that has not sent anything, or else the least recently used, if it is idle.
    fn evictable(&self, origin: Option<Origin>) -> Option<Arc<Entry>> {
        let [Mark { calls: recent, .. }, _] = self.marks;
        let mut idle: Option<&Arc<Entry>> = None;
        for entry in self.of(origin).filter(|entry| !entry.is_busy() && !entry.is_evicted()) {
            if entry.is_silent() {
                return Some(Arc::clone(entry));
            }
            if entry.used.load(Relaxed) < idle.map_or(recent, |idle| idle.used.load(Relaxed)) {
                idle = Some(entry);
            }
        }
        idle.cloned()
    }

    /// The oldest connection behind the first `limit` ones.
    fn oldest_behind(&self, limit: usize, origin: Option<Origin>) -> Option<Arc<Entry>> {
        self.of(origin).skip(limit).find(|entry| !entry.is_evicted()).cloned()
    }

    /// The connections of one address, or all.
    fn of(&self, origin: Option<Origin>) -> impl Iterator<Item = &Arc<Entry>> {
        self.entries.values().filter(move |entry| origin.is_none() || entry.origin == origin)
    }

    /// Asks a connection to close.
    fn evict(&mut self, entry: &Entry) -> Room {
        self.all.closing += 1;
        if let Some(count) = entry.origin.and_then(|origin| self.of_origin.get_mut(&origin)) {
            count.closing += 1;
        }
        entry.is_evicted.store(true, SeqCst);
        entry.evicted.notify_one();
        Room::Evicted
    }
}

impl Count {
    fn remove(&mut self, closing: usize) {
        self.open -= 1;
        self.closing -= closing;
    }
}

impl Entry {
    fn is_silent(&self) -> bool {
        self.used.load(Relaxed) == NEVER
    }

    /// Whether it has calls in flight: the table and the registration hold an entry too.
    pub(super) fn is_busy(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) > 2
    }

    fn is_evicted(&self) -> bool {
        self.is_evicted.load(SeqCst)
    }
}
