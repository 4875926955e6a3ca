//! What all streams share: the registry, memory, counts, the queues of events.

use std::collections::HashMap;
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::Budget;
use super::config::Config;
use super::event::Handler;
use super::figures::{Counters, Reason};
use super::id::StreamId;
use super::queues::Queues;
use super::rate::Rate;
use crate::pool_names::{ByPool, PoolNames};

/// The parts of the registry, so that listing a hundred thousand streams holds up no one for long.
const SHARDS: usize = 16;

type Shard<S> = HashMap<StreamId, Arc<S>>;

/// What streams start for themselves.
#[derive(Debug)]
pub(super) struct Tasks<S> {
    /// Delivers the client's messages, one after the other, and the end behind them.
    pub(super) deliver: fn(Arc<S>),
    /// Tells the application that a stream has ended.
    pub(super) tell_end: fn(Arc<S>, Reason),
}

/// What all streams share; they are values of `S`, which this does not look into.
#[derive(Debug)]
pub(super) struct Shared<S> {
    pub(super) config: Config,
    pub(super) max_message_size: usize,
    pub(super) handler: Arc<dyn Handler>,
    pub(super) counters: Arc<Counters>,
    pub(super) budget: Arc<Budget>,
    pub(super) rate: Rate,
    pub(super) tasks: Tasks<S>,
    /// By the numbers of the pools.
    queues: ByPool<Queues<S>>,
    /// For numbers that no pool has.
    other_queues: Queues<S>,
    shards: [Mutex<Shard<S>>; SHARDS],
    places: Arc<AtomicUsize>,
    is_closing: AtomicBool,
    is_stopped: AtomicBool,
}

/// One of the streams that there may be, until it is dropped.
#[derive(Debug)]
pub struct Place(Arc<AtomicUsize>);

impl<S> Shared<S> {
    pub(super) fn new(
        config: Config,
        max_message_size: usize,
        pools: PoolNames,
        handler: Arc<dyn Handler>,
        tasks: Tasks<S>,
    ) -> Arc<Self> {
        Arc::new(Self {
            config,
            max_message_size,
            handler,
            counters: Arc::new(Counters::new(pools)),
            budget: Arc::default(),
            rate: Rate::new(config.open_rate),
            tasks,
            queues: ByPool::default(),
            other_queues: Queues::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
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

    pub(super) fn insert(&self, id: StreamId, stream: Arc<S>) {
        self.shard(id).insert(id, stream);
    }

    pub(super) fn remove(&self, id: StreamId) {
        // Dropped after the lock is released.
        let _stream = self.shard(id).remove(&id);
    }

    pub(super) fn find(&self, id: StreamId) -> Option<Arc<S>> {
        self.shard(id).get(&id).cloned()
    }

    /// All streams, part by part.
    pub(super) fn all(&self) -> impl Iterator<Item = Vec<Arc<S>>> {
        self.shards.iter().map(|shard| lock(shard).values().cloned().collect())
    }

    /// The queues of a pool.
    pub(super) fn queues(&self, pool: usize) -> &Queues<S> {
        self.queues.get_or_make(pool, Queues::new).unwrap_or(&self.other_queues)
    }

    /// The queues of all pools that have had events.
    pub(super) fn all_queues(&self) -> impl Iterator<Item = &Queues<S>> {
        self.queues.made().map(|(_, queues)| queues).chain([&self.other_queues])
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

    fn shard(&self, id: StreamId) -> MutexGuard<'_, Shard<S>> {
        lock(&self.shards[id.shard(SHARDS)])
    }
}

fn lock<S>(shard: &Mutex<Shard<S>>) -> MutexGuard<'_, Shard<S>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
