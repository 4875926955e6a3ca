//! The parts of a pool that requests, operators and the actor share, each with its own rules.

use std::sync::Arc;

use super::mailbox::Mailbox;
use super::one_shot::OneShots;
use super::queue::Queue;
use super::recipe::CurrentRecipe;
use super::roster::Roster;
use super::stats::Counters;
use super::units::Units;

/// What a pool consists of, beside its actor.
#[derive(Debug)]
pub(super) struct Parts {
    /// Idle capacity; leases bring it back.
    pub(super) units: Arc<Units>,
    /// Requests that wait for it.
    pub(super) queue: Queue,
    /// The workers, for those who ask.
    pub(super) roster: Roster,
    /// The settings in force.
    pub(super) recipe: CurrentRecipe,
    pub(super) counters: Counters,
    /// In debug mode.
    pub(super) one_shots: Option<OneShots>,
    /// The way to the actor.
    pub(super) mailbox: Mailbox,
}
