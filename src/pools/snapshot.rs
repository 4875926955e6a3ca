//! What can be shown of the pools, at one moment.

use std::collections::HashMap;
use std::sync::Arc;

use super::named::NamedPool;
use crate::pool::{Recent, Stats, WorkerInfo};
use crate::worker::Usage;

/// All pools, in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// One for each pool.
    pub pools: Vec<PoolSnapshot>,
}

/// One pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolSnapshot {
    /// Its name.
    pub name: String,
    /// The number of its name, which it keeps.
    pub number: usize,
    /// Whether the server is ready only with this pool.
    pub is_required: bool,
    /// Whether requests are served: by a worker that is ready or busy, or by one that is about to be ready.
    pub is_ready: bool,
    /// What its workers run, for people to read.
    pub command: String,
    /// What it has done so far.
    pub stats: Stats,
    /// What went wrong lately.
    pub recent: Recent,
    /// Its workers that are ready, working or leaving, oldest first.
    pub workers: Vec<WorkerSnapshot>,
}

/// One worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerSnapshot {
    /// What the pool knows of it.
    pub info: WorkerInfo,
    /// What it uses, its descendants included; zero where that was not measured.
    pub usage: Usage,
}

impl Snapshot {
    pub(super) fn of(pools: &[Arc<NamedPool>], usage: &HashMap<u32, Usage>) -> Self {
        Self { pools: pools.iter().map(|pool| PoolSnapshot::of(pool, usage)).collect() }
    }

    /// The pool of this name.
    pub fn pool(self, name: &str) -> Option<PoolSnapshot> {
        self.pools.into_iter().find(|pool| pool.name == name)
    }

    /// The workers of all pools.
    pub fn workers(&self) -> impl Iterator<Item = &WorkerSnapshot> {
        self.pools.iter().flat_map(|pool| &pool.workers)
    }
}

impl PoolSnapshot {
    /// Requests that its workers have in hand.
    pub fn in_hand(&self) -> usize {
        self.workers.iter().map(|worker| worker.info.in_hand).sum()
    }

    /// Requests that its workers may have in hand; those of workers that are leaving are not counted.
    pub fn capacity(&self) -> usize {
        let serving = self.workers.iter().filter(|worker| !worker.info.is_retiring);
        serving.map(|worker| worker.info.concurrency).sum()
    }

    fn of(pool: &NamedPool, usage: &HashMap<u32, Usage>) -> Self {
        let with_usage = |info: WorkerInfo| WorkerSnapshot {
            info,
            usage: usage.get(&info.group).copied().unwrap_or_default(),
        };
        Self {
            name: pool.name().into(),
            number: pool.number(),
            is_required: pool.is_required(),
            is_ready: pool.is_ready(),
            command: pool.command(),
            stats: pool.stats(),
            recent: pool.recent(),
            workers: pool.workers().into_iter().map(with_usage).collect(),
        }
    }
}
