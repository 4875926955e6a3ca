//! The parts of a pool that requests, operators and the actor share, each with its own rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Error;
use super::counters::Counters;
use super::mailbox::Mailbox;
use super::one_shot::OneShots;
use super::queue::Queue;
use super::recent;
use super::recipe::{CurrentRecipe, Recipe};
use super::roster::Roster;
use super::units::Units;
use crate::compat;

/// What a pool consists of, beside its actor.
#[derive(Debug)]
pub(super) struct Parts {
    /// The pool's name in log entries; the default pool has none.
    label: Option<Arc<str>>,
    /// Idle capacity; leases bring it back.
    pub(super) units: Arc<Units>,
    /// Requests that wait for it.
    pub(super) queue: Queue,
    /// The workers, for those who ask.
    pub(super) roster: Roster,
    /// The settings in force.
    pub(super) recipe: CurrentRecipe,
    pub(super) counters: Arc<Counters>,
    /// What went wrong lately.
    pub(super) recent: recent::Log,
    /// In debug mode.
    pub(super) one_shots: Option<OneShots>,
    /// The way to the actor.
    pub(super) mailbox: Mailbox,
    /// A reload has removed the pool, and no request waits any more.
    is_removed: AtomicBool,
}

impl Parts {
    /// The parts of the pool with this name; its workers are started from `recipe`.
    pub(super) fn new(
        name: &Arc<str>,
        recipe: Recipe,
        one_shots: Option<OneShots>,
        mailbox: Mailbox,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            label: Some(Arc::clone(name)).filter(|name| **name != *compat::PLUGIN),
            units: Arc::new(Units::new(mailbox.clone(), Arc::clone(&counters))),
            queue: Queue::new(mailbox.clone()),
            roster: Roster::default(),
            recipe: CurrentRecipe::new(recipe),
            counters,
            recent: recent::Log::default(),
            one_shots,
            mailbox,
            is_removed: AtomicBool::new(false),
        }
    }

    /// From now on, requests that come too late are to be routed again.
    pub(super) fn set_removed(&self) {
        self.is_removed.store(true, Relaxed);
    }

    /// Why a request gets no worker when none will be started any more.
    pub(super) fn closed(&self) -> Error {
        if self.is_removed.load(Relaxed) { Error::Removed } else { Error::ShuttingDown }
    }

    /// The field `pool` of log entries.
    pub(super) fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}
