//! The connections of one listener, and which of them is closed when there are too many.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Notify;

use super::connection_table::{Entry, NEVER, Table};

/// Connections beyond the limit, used only while none of the others is idle. They are for the next peer, an operator for example: when all
/// are taken, the oldest of them is evicted, even with calls in flight.
const SPARE: usize = 16;

/// The least limit of a listener, however few descriptors there are.
const AT_LEAST: usize = 16;

/// The limit of connections: a share of the descriptors of the process, up to a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// The number.
    pub(crate) at_most: usize,
    /// The share: one of this many descriptors, by the soft limit of `RLIMIT_NOFILE`.
    pub(crate) one_of: usize,
}

impl Limit {
    fn connections(self) -> usize {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let share = usize::try_from(descriptors).unwrap_or(usize::MAX) / self.one_of;
        share.clamp(AT_LEAST, self.at_most.max(AT_LEAST))
    }
}

/// The open connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    limit: usize,
    table: Mutex<Table>,
    /// A connection has closed.
    closed: Notify,
    /// Counts calls, to know the order of last use without reading a clock.
    calls: AtomicU64,
}

/// Counts a connection until it is dropped.
#[derive(Debug)]
#[must_use = "the connection no longer counts when this is dropped"]
pub(crate) struct Registration {
    connections: Arc<Connections>,
    entry: Arc<Entry>,
    number: u64,
}

/// Keeps a connection from being evicted for as long as it is held. Each call in flight holds one.
#[derive(Debug, Clone)]
#[must_use = "the connection may be evicted once this is dropped"]
pub(crate) struct EvictionGuard {
    _entry: Arc<Entry>,
}

/// What happens to a new connection.
enum Outcome {
    Registered(Registration),
    /// An older one was evicted; there is room once it has closed.
    Evicted,
    /// One that was evicted earlier has not closed yet.
    Full,
}

impl Connections {
    pub(crate) fn new(limit: Limit) -> Arc<Self> {
        Self::with_limit(limit.connections())
    }

    fn with_limit(limit: usize) -> Arc<Self> {
        let calls = NEVER + 1;
        Arc::new(Self {
            limit,
            table: Mutex::new(Table::new(calls)),
            closed: Notify::new(),
            calls: AtomicU64::new(calls),
        })
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.table().count()
    }

    /// The limit in numbers.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Registers a connection. At the limit, first calls `evicting` and waits until an older one has closed.
    ///
    /// Only for the listener's task. The future may be dropped at any time.
    pub(super) async fn register(self: &Arc<Self>, mut evicting: impl FnMut()) -> Registration {
        loop {
            match self.try_register() {
                Outcome::Registered(registration) => return registration,
                Outcome::Evicted => evicting(),
                Outcome::Full => {}
            }
            // If one has closed before this waits, the notification is stored.
            self.closed.notified().await;
        }
    }

    fn try_register(self: &Arc<Self>) -> Outcome {
        let mut table = self.table();
        table.mark(self.calls.load(Relaxed));
        if table.count() < self.limit {
            return Outcome::Registered(self.insert(&mut table));
        }
        if table.remaining() < self.limit {
            return Outcome::Full;
        }
        if let Some(entry) = table.evictable() {
            table.evict(&entry);
            return Outcome::Evicted;
        }
        let with_spare = self.limit + SPARE;
        if table.count() < with_spare {
            return Outcome::Registered(self.insert(&mut table));
        }
        if table.remaining() < with_spare {
            return Outcome::Full;
        }
        let Some(entry) = table.oldest_behind(self.limit) else { return Outcome::Full };
        table.evict(&entry);
        Outcome::Evicted
    }

    /// Evicts the oldest connection that has not sent anything, if there is one: descriptors are used up.
    pub(super) fn evict_silent(&self) {
        let mut table = self.table();
        if let Some(entry) = table.silent() {
            table.evict(&entry);
        }
    }

    fn insert(self: &Arc<Self>, table: &mut Table) -> Registration {
        let (number, entry) = table.insert();
        Registration { connections: Arc::clone(self), entry, number }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registration {
    /// The peer has shown that it speaks the protocol: silent ones are evicted before it.
    pub(crate) fn spoke(&self) {
        self.entry.used.store(self.connections.calls.fetch_add(1, Relaxed), Relaxed);
    }

    /// A call has begun: the connection is not evicted while the call holds the guard.
    pub(crate) fn call(&self) -> EvictionGuard {
        self.spoke();
        EvictionGuard { _entry: Arc::clone(&self.entry) }
    }

    /// Resolves when the connection has to close, to make room for another. Only for one task.
    pub(crate) async fn evicted(&self) {
        self.entry.evicted.notified().await;
    }

    /// Drives the connection to its end; `None` if it is evicted before.
    pub(crate) async fn until_evicted<F: Future>(&self, connection: F) -> Option<F::Output> {
        tokio::select! {
            biased;
            () = self.evicted() => None,
            output = connection => Some(output),
        }
    }

    /// A connection without a listener.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let connections = Connections::with_limit(1);
        connections.insert(&mut connections.table())
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.table().remove(self.number);
        self.connections.closed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::net::connection_table::IDLE;

    fn register(connections: &Arc<Connections>) -> Registration {
        match connections.try_register() {
            Outcome::Registered(registration) => registration,
            Outcome::Evicted => panic!("one was evicted"),
            Outcome::Full => panic!("there is no room"),
        }
    }

    fn fill(connections: &Arc<Connections>, count: usize) -> Vec<Registration> {
        (0..count).map(|_| register(connections)).collect()
    }

    /// The index of the connection that is evicted for a new one.
    fn evicted(connections: &Arc<Connections>, registered: &[Registration]) -> usize {
        assert!(matches!(connections.try_register(), Outcome::Evicted));
        assert!(matches!(connections.try_register(), Outcome::Full), "one at a time");
        let is_evicted = |registration: &Registration| registration.evicted().now_or_never().is_some();
        registered.iter().position(is_evicted).expect("one of them is evicted")
    }

    /// Lets time pass with a connection now and then, until all that make no call are idle.
    async fn become_idle(connections: &Arc<Connections>) {
        for _ in 0..2 {
            tokio::time::advance(IDLE).await;
            connections.table().mark(connections.calls.load(Relaxed));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_connections_are_evicted_before_idle_ones_and_busy_ones_never() {
        let connections = Connections::with_limit(4);
        let mut all = fill(&connections, 4);
        let busy = all[0].call();
        all[1].spoke();
        drop(all[1].call());
        all[2].spoke();
        assert_eq!(evicted(&connections, &all), 3, "the silent one");
        drop(all.remove(3));
        all.push(register(&connections));
        all[3].spoke();
        all[1].spoke();
        become_idle(&connections).await;
        assert_eq!(evicted(&connections, &all), 2, "the least recently used");
        drop(all.remove(2));
        drop(busy);
        all.push(register(&connections));
        all[3].spoke();
        assert_eq!(evicted(&connections, &all), 0, "its call has ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_between_two_calls_is_not_idle() {
        let connections = Connections::with_limit(2);
        let mut all = fill(&connections, 2);
        let busy = all[0].call();
        all[1].spoke();
        for _ in 0..SPARE {
            tokio::time::advance(IDLE / 2).await;
            drop(all[1].call());
            all.push(register(&connections));
            all.last().unwrap().spoke();
            drop(all.split_off(2));
        }
        for _ in 0..SPARE {
            drop(all[1].call());
            all.push(register(&connections));
            all.last().unwrap().spoke();
        }
        assert_eq!(evicted(&connections, &all), 2, "the oldest spare one");
        drop(all.split_off(2));
        become_idle(&connections).await;
        assert_eq!(evicted(&connections, &all), 1, "it has become idle");
        drop(busy);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_busy_the_spare_connections_take_turns() {
        let connections = Connections::with_limit(2);
        let mut all = fill(&connections, 1);
        let mut calls = vec![all[0].call()];
        for _ in 1..2 + SPARE {
            all.push(register(&connections));
            calls.push(all.last().unwrap().call());
        }
        assert_eq!(evicted(&connections, &all), 2, "the oldest spare one");
        drop(all.remove(2));
        all.push(register(&connections));
        assert_eq!(evicted(&connections, &all), all.len() - 1, "the silent one");
        all.pop();
        // Down to the limit, one by one.
        calls.clear();
        become_idle(&connections).await;
        for _ in 0..2 {
            assert!(matches!(connections.try_register(), Outcome::Evicted));
        }
        for oldest in &all[..2] {
            assert!(oldest.evicted().now_or_never().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_waits_until_the_evicted_one_has_closed() {
        let connections = Connections::with_limit(1);
        let old = register(&connections);
        let mut evicted = 0;
        let wait = tokio::time::timeout(Duration::from_secs(1), connections.register(|| evicted += 1));
        assert!(wait.await.is_err());
        let (new, ()) = tokio::join!(connections.register(|| evicted += 1), async {
            assert!(old.until_evicted(std::future::pending::<()>()).await.is_none());
            drop(old);
        });
        assert_eq!(evicted, 1);
        connections.evict_silent();
        new.evicted().await;
    }

    #[test]
    fn the_limit_is_a_share_of_the_descriptors() {
        let limit = |at_most, one_of| Limit { at_most, one_of }.connections();
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!(limit(usize::MAX, 4), usize::try_from(soft).unwrap() / 4);
        assert_eq!(limit(20, 1), 20);
        assert_eq!(limit(100, usize::MAX), AT_LEAST);
    }
}
