//! What all streams share: the registry, memory, counts, the queues of events.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::budget::Budget;
use super::config::Config;
use super::events::{Events, Handler};
use super::figures::Counters;
use super::id::StreamId;
use super::rate::Rate;
use super::stream::Stream;

/// The parts of the registry, so that listing a hundred thousand streams holds up no one for long.
const SHARDS: usize = 16;

/// How long a stream that ends waits for its client to read the rest.
const LINGER: Duration = Duration::from_secs(30);

type Shard = HashMap<StreamId, Arc<Stream>>;

/// What all streams share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) max_message_size: usize,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) counters: Arc<Counters>,
    pub(super) budget: Arc<Budget>,
    pub(super) rate: Rate,
    /// By the numbers of the pools.
    events: Box<[Events]>,
    shards: [Mutex<Shard>; SHARDS],
    places: Arc<AtomicUsize>,
    is_closing: AtomicBool,
    is_stopped: AtomicBool,
}

/// One of the streams that there may be, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl Shared {
    pub(super) fn new(
        config: Config,
        max_message_size: usize,
        pools: &[String],
        handler: Arc<dyn Handler>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            max_message_size,
            handler,
            counters: Arc::new(Counters::new(pools)),
            budget: Arc::default(),
            rate: Rate::new(config.open_rate),
            events: pools.iter().map(|_| Events::new()).collect(),
            shards: Default::default(),
            places: Arc::default(),
            is_closing: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
        })
    }

    /// One more place; `None` when all are taken.
    pub(super) fn place(&self) -> Option<Place> {
        let max = self.config.max as usize;
        let more = |taken| (taken < max).then_some(taken + 1);
        self.places.fetch_update(Relaxed, Relaxed, more).ok()?;
        Some(Place(Arc::clone(&self.places)))
    }

    pub(super) fn insert(&self, stream: Arc<Stream>) {
        let id = stream.id();
        self.shard(id).insert(id, stream);
    }

    pub(super) fn remove(&self, id: StreamId) {
        // Dropped after the lock is released.
        let _stream = self.shard(id).remove(&id);
    }

    pub(super) fn find(&self, id: StreamId) -> Option<Arc<Stream>> {
        self.shard(id).get(&id).cloned()
    }

    /// All streams, part by part.
    pub(super) fn all(&self) -> impl Iterator<Item = Vec<Arc<Stream>>> {
        self.shards.iter().map(|shard| lock(shard).values().cloned().collect())
    }

    /// The queues of a pool.
    pub(super) fn events(&self, pool: usize) -> &Events {
        // There is a default pool, and pools do not change.
        self.events.get(pool).unwrap_or(&self.events[0])
    }

    /// The queues of all pools.
    pub(super) fn all_events(&self) -> &[Events] {
        &self.events
    }

    /// Cuts a stream that waits for its client to read, after a while.
    pub(super) fn cut_later(stream: Arc<Stream>) {
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            stream.cut();
        });
    }

    /// No stream is opened from now on.
    pub(super) fn close(&self) {
        self.is_closing.store(true, SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(SeqCst)
    }

    /// Events that fail from now on are given up.
    pub(super) fn stop(&self) {
        self.is_stopped.store(true, SeqCst);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(SeqCst)
    }

    fn shard(&self, id: StreamId) -> MutexGuard<'_, Shard> {
        lock(&self.shards[id.shard(SHARDS)])
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
