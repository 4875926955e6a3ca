//! One resource: its holders and its queue.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::compat::Compat;
use crate::rpc::locks::claim::{Claim, Mode, Moment, Ticket};

/// The lock of one owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) mode: Mode,
    /// The claim that it was granted to; `None` when several claims of the same id share it.
    pub(super) ticket: Option<Ticket>,
    /// When it expires, and the number of that alarm.
    pub(super) expires: Option<(Moment, Ticket)>,
}

/// A claim in the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub(super) id: Arc<str>,
    pub(super) mode: Mode,
    pub(super) ttl: Option<Duration>,
    pub(super) until: Moment,
}

impl Waiter {
    pub(super) fn new(now: Moment, claim: Claim) -> Self {
        let Claim { id, mode, ttl, wait, .. } = claim;
        Self { id: id.into(), mode, ttl, until: now.saturating_add(wait) }
    }
}

/// What a claim meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// The lock can be granted.
    Free,
    /// Others hold it or wait for it.
    Taken,
    /// Its own id holds it: the claim would wait for itself.
    Own,
}

/// Holders and waiters of one resource.
#[derive(Debug, Default)]
pub(super) struct Resource {
    pub(super) holds: BTreeMap<Arc<str>, Hold>,
    /// In the order in which they arrived.
    pub(super) queue: BTreeMap<Ticket, Waiter>,
}

impl Resource {
    /// What a claim meets now. Of an id that holds the resource, as a reader, RoadRunner 2025 grants another read, and RoadRunner 3 a write
    /// once there is no other reader. Any other claim of such an id is refused.
    pub(super) fn admit(&self, id: &str, mode: Mode, rules: Compat) -> Admission {
        match (self.holds.get(id).map(|hold| hold.mode), mode) {
            (Some(Mode::Read), Mode::Read) if !rules.is_v3() => Admission::Free,
            (Some(Mode::Read), Mode::Write) if rules.is_v3() => {
                if self.holds.len() == 1 {
                    Admission::Free
                } else {
                    Admission::Taken
                }
            }
            (Some(_), _) => Admission::Own,
            (None, _) if self.queue.is_empty() && self.fits(mode) => Admission::Free,
            (None, _) => Admission::Taken,
        }
    }

    /// Takes the first waiter out of the queue, if the lock can be granted to it. The only reader comes before all others if it waits to be
    /// a writer, since they wait for it.
    pub(super) fn next(&mut self, rules: Compat) -> Option<(Ticket, Waiter)> {
        if rules.is_v3() && self.holds.len() == 1 {
            let is_promotion = |waiter: &Waiter| {
                waiter.mode == Mode::Write && self.admit(&waiter.id, waiter.mode, rules) == Admission::Free
            };
            let promoted =
                self.queue.iter().find(|(_, waiter)| is_promotion(waiter)).map(|(ticket, _)| *ticket);
            if let Some(waiter) = promoted.and_then(|ticket| self.queue.remove_entry(&ticket)) {
                return Some(waiter);
            }
        }
        let (_, first) = self.queue.first_key_value()?;
        if self.fits(first.mode) { self.queue.pop_first() } else { None }
    }

    /// The number of holders and waiters.
    pub(super) fn len(&self) -> usize {
        self.holds.len() + self.queue.len()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.holds.is_empty() && self.queue.is_empty()
    }

    fn fits(&self, mode: Mode) -> bool {
        match mode {
            Mode::Write => self.holds.is_empty(),
            // All holders have the same mode.
            Mode::Read => self.holds.values().next().is_none_or(|hold| hold.mode == Mode::Read),
        }
    }
}
