//! The connections of one listener, and which of them is closed when there are too many.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::connection_table::{Entry, NEVER, Room, Table};
use super::limits::Limits;
use super::origin::Origin;
use super::{Limit, LimitSettings, Peer};

/// How often a connection that may be idle is looked at within the time after which it is.
const CHECKS: u32 = 4;

/// The open connections of one listener.
#[derive(Debug)]
pub(crate) struct Connections {
    limits: Limits,
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

/// A limit that was reached, so that a connection was evicted or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    pub(super) limit: usize,
    /// Set if it is that of an address.
    pub(super) origin: Option<Origin>,
}

/// What happens to a new connection.
enum Outcome {
    Registered(Registration),
    /// There is room once one that was evicted has closed.
    Waits,
    /// Its address has too many that have not closed yet.
    Refused(Reached),
}

impl Connections {
    pub(crate) fn new(limit: Limit, settings: LimitSettings) -> Arc<Self> {
        Self::with_limits(limit.in_numbers(settings))
    }

    fn with_limits(limits: Limits) -> Arc<Self> {
        let calls = NEVER + 1;
        Arc::new(Self {
            limits,
            table: Mutex::new(Table::new(calls)),
            closed: Notify::new(),
            calls: AtomicU64::new(calls),
        })
    }

    /// How many there are.
    pub(crate) fn open(&self) -> usize {
        self.table().count()
    }

    /// Registers a connection of `peer`. At the limit of the listener, calls `evicting` and waits until an older one has closed. At that of
    /// its address, nobody waits: an older one makes room, too, or else the new one is refused.
    ///
    /// Only for the listener's task. The future may be dropped at any time.
    ///
    /// # Errors
    /// The limit of the address.
    pub(super) async fn register(
        self: &Arc<Self>,
        peer: Peer,
        mut evicting: impl FnMut(Reached),
    ) -> Result<Registration, Reached> {
        let origin = Origin::of(peer);
        loop {
            let (outcome, evicted) = self.try_register(origin);
            if let Some(reached) = evicted {
                evicting(reached);
            }
            match outcome {
                Outcome::Registered(registration) => return Ok(registration),
                Outcome::Refused(reached) => return Err(reached),
                // If one has closed before this waits, the notification is stored.
                Outcome::Waits => self.closed.notified().await,
            }
        }
    }

    /// Returns the limit that an older connection was evicted for, too.
    fn try_register(self: &Arc<Self>, origin: Option<Origin>) -> (Outcome, Option<Reached>) {
        let Limits { all, per_address } = self.limits;
        let mut table = self.table();
        table.mark(self.calls.load(Relaxed));
        let mut evicted = None;
        if let Some(of) = origin {
            let reached = Reached { limit: per_address, origin };
            match table.make_room_of(of, per_address) {
                Room::Free => {}
                Room::Evicted => evicted = Some(reached),
                Room::Full => return (Outcome::Refused(reached), None),
            }
        }
        match table.make_room(all) {
            Room::Free => (Outcome::Registered(self.insert(&mut table, origin)), evicted),
            Room::Evicted => (Outcome::Waits, Some(Reached { limit: all, origin: None })),
            Room::Full => (Outcome::Waits, evicted),
        }
    }

    /// Evicts the oldest connection that has not sent anything, if there is one: descriptors are used up.
    pub(super) fn evict_silent(&self) {
        self.table().evict_silent();
    }

    fn insert(self: &Arc<Self>, table: &mut Table, origin: Option<Origin>) -> Registration {
        let (number, entry) = table.insert(origin);
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

    /// Resolves once the connection has had no call for `timeout`, or up to half of it longer; never if that is 0.
    pub(crate) async fn idle(&self, timeout: Duration) {
        if timeout.is_zero() {
            std::future::pending::<()>().await;
        }
        let (mut used, mut quiet) = (self.entry.used.load(Relaxed), 0);
        while quiet < CHECKS {
            sleep(timeout / CHECKS).await;
            let last = std::mem::replace(&mut used, self.entry.used.load(Relaxed));
            quiet = if last == used && !self.entry.is_busy() { quiet + 1 } else { 0 };
        }
    }

    /// A connection without a listener.
    #[cfg(test)]
    pub(crate) fn alone() -> Self {
        let connections = Connections::with_limits(Limits { all: 1, per_address: 1 });
        connections.insert(&mut connections.table(), None)
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
    use crate::net::connection_table::{CLOSING, IDLE, SPARE};

    fn with_limit(all: usize) -> Arc<Connections> {
        Connections::with_limits(Limits { all, per_address: usize::MAX })
    }

    fn from(address: [u8; 4]) -> Option<Origin> {
        Origin::of(Peer::Address((address, 1).into()))
    }

    fn register(connections: &Arc<Connections>) -> Registration {
        register_from(connections, None)
    }

    fn register_from(connections: &Arc<Connections>, origin: Option<Origin>) -> Registration {
        match connections.try_register(origin) {
            (Outcome::Registered(registration), None) => registration,
            (_, evicted) => panic!("no room, or one was evicted: {evicted:?}"),
        }
    }

    /// Registers a connection of an address for which another one of it is evicted.
    fn replace(connections: &Arc<Connections>, origin: Option<Origin>) -> (Registration, Reached) {
        match connections.try_register(origin) {
            (Outcome::Registered(registration), Some(reached)) => (registration, reached),
            (_, evicted) => panic!("no room, or none was evicted: {evicted:?}"),
        }
    }

    fn fill(connections: &Arc<Connections>, count: usize) -> Vec<Registration> {
        (0..count).map(|_| register(connections)).collect()
    }

    /// The index of the connection that is evicted for a new one.
    fn evicted(connections: &Arc<Connections>, registered: &[Registration]) -> usize {
        assert!(matches!(connections.try_register(None), (Outcome::Waits, Some(_))));
        assert!(matches!(connections.try_register(None), (Outcome::Waits, None)), "one at a time");
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
        let connections = with_limit(4);
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
        let connections = with_limit(2);
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
        let connections = with_limit(2);
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
            assert!(matches!(connections.try_register(None), (Outcome::Waits, Some(_))));
        }
        for oldest in &all[..2] {
            assert!(oldest.evicted().now_or_never().is_some());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_connection_waits_until_the_evicted_one_has_closed() {
        let connections = with_limit(1);
        let old = register(&connections);
        let mut evicted = 0;
        let wait = tokio::time::timeout(
            Duration::from_secs(1),
            connections.register(Peer::Process(None), |_| evicted += 1),
        );
        assert!(wait.await.is_err());
        let (new, ()) = tokio::join!(connections.register(Peer::Process(None), |_| evicted += 1), async {
            assert!(old.until_evicted(std::future::pending::<()>()).await.is_none());
            drop(old);
        });
        let new = new.unwrap();
        assert_eq!(evicted, 1);
        connections.evict_silent();
        new.evicted().await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_with_too_many_connections_evicts_its_own_only() {
        let connections = Connections::with_limits(Limits { all: 100, per_address: 2 });
        let [one, other] = [from([10, 0, 0, 1]), from([10, 0, 0, 2])];
        let silent = register_from(&connections, other);
        let all = [register_from(&connections, one), register_from(&connections, one)];
        let (new, reached) = replace(&connections, one);
        assert_eq!(reached, Reached { limit: 2, origin: one });
        assert!(all[0].evicted().now_or_never().is_some(), "its oldest silent one");
        let local: Vec<_> = (0..10).map(|_| register(&connections)).collect();
        let [first, second] = all;
        drop(first);
        // While all of them are busy, it has spare connections as a listener has.
        let mut calls = vec![second.call(), new.call()];
        let mut spare = Vec::new();
        for _ in 0..SPARE {
            spare.push(register_from(&connections, one));
            calls.push(spare.last().unwrap().call());
        }
        let (newest, _) = replace(&connections, one);
        assert!(spare[0].evicted().now_or_never().is_some(), "the oldest spare one");
        assert!(silent.evicted().now_or_never().is_none(), "another address");
        assert!(local.iter().all(|local| local.evicted().now_or_never().is_none()), "no address");
        drop((second, new, newest, spare, calls, local, silent));
        assert!(connections.table().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_whose_connections_do_not_close_is_refused_more_and_no_other_one_waits() {
        let connections = Connections::with_limits(Limits { all: 100, per_address: 2 });
        let [one, other] = [from([10, 0, 0, 1]), from([10, 0, 0, 2])];
        let mut all = vec![register_from(&connections, one), register_from(&connections, one)];
        all.extend((0..CLOSING).map(|_| replace(&connections, one).0));
        let (Outcome::Refused(reached), None) = connections.try_register(one) else { panic!("it is not") };
        assert_eq!(reached, Reached { limit: 2, origin: one });
        let _other = register_from(&connections, other);
        // One of them has closed.
        drop(all.remove(0));
        let _ = replace(&connections, one);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_when_it_has_made_no_call_for_the_time() {
        const TIMEOUT: Duration = Duration::from_mins(1);
        let connection = Registration::alone();
        let begin = tokio::time::Instant::now();
        let calls = async {
            for _ in 0..10 {
                tokio::time::sleep(TIMEOUT / 2).await;
                drop(connection.call());
            }
            let call = connection.call();
            tokio::time::sleep(TIMEOUT * 10).await;
            drop(call);
            begin.elapsed()
        };
        let ((), used) = tokio::join!(connection.idle(TIMEOUT), calls);
        let idle = begin.elapsed().saturating_sub(used);
        assert!(idle >= TIMEOUT && idle <= TIMEOUT * 3 / 2, "{idle:?}");
        let never = tokio::time::timeout(TIMEOUT * 100, connection.idle(Duration::ZERO)).await;
        assert!(never.is_err());
    }
}
