//! The workers that the pool has, for those who ask.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use super::core::WorkerId;
use super::unit::Member;
use super::units::Units;
use crate::request_type::RequestType;
use crate::worker::State;

/// The workers that are ready, working or leaving, written by the actor.
#[derive(Debug, Default)]
pub(super) struct Roster {
    members: Mutex<BTreeMap<WorkerId, Arc<Member>>>,
    /// How many are kept.
    target: AtomicUsize,
}

/// What is known of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// The pid that it reported; behind a wrapper it is not the pid of the process that was started.
    pub pid: u32,
    /// The process group of all that was started for it.
    pub group: u32,
    /// What it is doing.
    pub state: State,
    /// Whether it has been asked to leave, perhaps while it is in its last request.
    pub is_retiring: bool,
    /// Requests that were handed to it.
    pub executions: u64,
    /// Requests that it has in hand.
    pub in_hand: usize,
    /// How many it may have in hand.
    pub concurrency: usize,
    /// When it was started.
    pub created: SystemTime,
    /// How long ago that was.
    pub age: Duration,
    /// What it has in hand; the oldest of several requests.
    pub current: Option<Current>,
}

/// A request that a worker has in hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Current {
    /// Its type.
    pub kind: RequestType,
    /// For how long the worker has had it.
    pub elapsed: Duration,
}

impl Roster {
    pub(super) fn add(&self, member: Arc<Member>) {
        self.members().insert(member.id, member);
    }

    pub(super) fn remove(&self, id: WorkerId) {
        self.members().remove(&id);
    }

    /// All of them, oldest first.
    pub(super) fn workers(&self, units: &Units) -> Vec<WorkerInfo> {
        self.members().values().map(|member| member.info(units.in_hand(member))).collect()
    }

    /// For how long the requests in hand have been so, and the capacity of all workers so far.
    pub(super) fn times(&self) -> (Duration, Duration) {
        self.members().values().fold((Duration::ZERO, Duration::ZERO), |(busy, capacity), member| {
            (busy + member.status.in_hand().total, capacity.saturating_add(member.capacity()))
        })
    }

    /// The one that was started last.
    pub(super) fn newest(&self) -> WorkerId {
        self.members().last_key_value().map_or(0, |(id, _)| *id)
    }

    pub(super) fn set_target(&self, target: usize) {
        self.target.store(target, Relaxed);
    }

    pub(super) fn target(&self) -> usize {
        self.target.load(Relaxed)
    }

    fn members(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Member {
    fn info(&self, in_hand: usize) -> WorkerInfo {
        let status = &self.status;
        WorkerInfo {
            pid: status.pid(),
            group: status.group(),
            state: status.state(),
            is_retiring: self.is_retiring(),
            executions: self.executions(),
            in_hand,
            concurrency: self.concurrency.unwrap_or(1),
            created: status.created(),
            age: status.age(),
            current: status
                .in_hand()
                .oldest
                .map(|tag| Current { kind: tag.kind, elapsed: tag.since.elapsed() }),
        }
    }
}
