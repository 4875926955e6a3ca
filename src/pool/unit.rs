//! A unit of capacity, and the pool's record of the worker that offers it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::core::{Reason, WorkerId};
use super::recipe::Recipe;
use super::slots::Slot;
use crate::worker::{Exchange, Status};

/// One request that a worker may have in flight, and the exchange to run it with.
#[derive(Debug)]
pub(super) struct Unit {
    pub(super) exchange: Exchange,
    pub(super) member: Arc<Member>,
}

/// The pool's record of a worker that has booted. Its slot is free again when nothing of the worker is left.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) id: WorkerId,
    /// What is known of its process.
    pub(super) status: Arc<Status>,
    /// What it was started from, and lives by.
    pub(super) recipe: Arc<Recipe>,
    /// How many requests it may have in flight, if it numbers them.
    pub(super) concurrency: Option<usize>,
    slot: Slot,
    /// Since when it can have requests.
    ready: Instant,
    /// How many it has said that it wants in flight, at most.
    credit: AtomicUsize,
    executions: AtomicU64,
    retiring: AtomicBool,
    /// It has to leave as soon as it can.
    leaving: SetOnce<()>,
    /// It is killed because of its memory.
    too_large: AtomicBool,
    /// The number of requests at which it reports how far it is.
    report_at: AtomicU64,
}

impl Unit {
    /// One more of the same worker, to be used at once.
    pub(super) fn another(&self) -> Option<Box<Self>> {
        let exchange = self.exchange.another()?;
        self.member.status.set_working(true);
        Some(Box::new(Self { exchange, member: Arc::clone(&self.member) }))
    }
}

impl Member {
    pub(super) fn new(
        id: WorkerId,
        status: Arc<Status>,
        recipe: Arc<Recipe>,
        concurrency: Option<usize>,
        slot: Slot,
    ) -> Self {
        let report_at = recipe.max_jobs.map_or(u64::MAX, |_| 1);
        Self {
            id,
            status,
            recipe,
            concurrency,
            slot,
            ready: Instant::now(),
            credit: AtomicUsize::new(usize::MAX),
            executions: AtomicU64::new(0),
            retiring: AtomicBool::new(false),
            leaving: SetOnce::new(),
            too_large: AtomicBool::new(false),
            report_at: AtomicU64::new(report_at),
        }
    }

    /// The number of its slot.
    pub(super) fn slot(&self) -> usize {
        self.slot.number()
    }

    /// For how long it could have requests, counted for each that it may have in flight.
    pub(super) fn capacity(&self) -> Duration {
        let concurrency = u32::try_from(self.concurrency.unwrap_or(1)).unwrap_or(u32::MAX);
        self.ready.elapsed().saturating_mul(concurrency)
    }

    /// It wants no more than this number of requests in flight.
    pub(super) fn set_credit(&self, credit: usize) {
        self.credit.store(credit, Relaxed);
    }

    /// How many it has said that it wants in flight, at most: it may have said so before it was lent.
    pub(super) fn credit(&self) -> usize {
        self.credit.load(Relaxed)
    }

    /// A request is handed to it.
    pub(super) fn count_execution(&self) {
        self.executions.fetch_add(1, Relaxed);
    }

    /// Requests that were handed to it.
    pub(super) fn executions(&self) -> u64 {
        self.executions.load(Relaxed)
    }

    /// Why it leaves if it does not end its requests.
    pub(super) fn overdue_reason(&self) -> Reason {
        if self.recipe.exec_ttl.is_some() { Reason::ExecTtl } else { Reason::Abandoned }
    }

    /// From now on its units come back to the actor and not to the idle ones. False when this was so already.
    pub(super) fn retire(&self) -> bool {
        !self.retiring.swap(true, Relaxed)
    }

    /// It has to leave as soon as it can.
    pub(super) fn set_leaving(&self) {
        let _ = self.leaving.set(());
    }

    /// Resolves when it has to leave.
    pub(super) async fn leaving(&self) {
        self.leaving.wait().await;
    }

    /// Whether it has been asked to leave, perhaps while it is in its last request.
    pub(super) fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }

    /// It is killed because it uses too much memory.
    pub(super) fn set_too_large(&self) {
        self.too_large.store(true, Relaxed);
    }

    /// Whether it is killed because it uses too much memory.
    pub(super) fn is_too_large(&self) -> bool {
        self.too_large.load(Relaxed)
    }

    /// Whether it has had all the requests that it may have.
    pub(super) fn is_exhausted(&self) -> bool {
        self.recipe.max_jobs.is_some_and(|most| self.executions() >= most)
    }

    /// Whether it has to report how far it is; true once for each [`Self::report_at`].
    pub(super) fn has_to_report(&self) -> bool {
        self.executions() >= self.report_at.load(Relaxed) && {
            self.report_at.store(u64::MAX, Relaxed);
            true
        }
    }

    /// Lets it report when it has had this many requests.
    pub(super) fn report_at(&self, executions: u64) {
        self.report_at.store(executions, Relaxed);
    }
}
