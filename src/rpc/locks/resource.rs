//! One resource: who holds it, and who waits for it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::core::Claim;

/// A point in time, counted from wherever the caller's clock begins.
pub(super) type Moment = Duration;

/// The number of a claim. Later ones are larger.
pub(super) type Ticket = u64;

/// How a resource is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Together with other readers.
    Read,
    /// Alone.
    Write,
}

/// The lock of one owner.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hold {
    pub(super) mode: Mode,
    /// The claim that it was given to; none when several claims of the same id share it.
    pub(super) ticket: Option<Ticket>,
    /// When it ends by itself, and the number of that alarm.
    pub(super) expires: Option<(Moment, Ticket)>,
}

/// Somebody who waits.
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

/// What a claim finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may have the lock.
    Free,
    /// Others are before it.
    Taken,
    /// Its own id is: it would wait for itself.
    Own,
}

/// Holders and waiters of one resource.
#[derive(Debug, Default)]
pub(super) struct Resource {
    pub(super) holds: BTreeMap<Arc<str>, Hold>,
    /// In the order in which they came.
    pub(super) line: BTreeMap<Ticket, Waiter>,
}

impl Resource {
    /// What a claim finds that comes now. A reader's second claim is granted, as in RoadRunner; every other one of an id that holds the
    /// resource is not.
    pub(super) fn admit(&self, id: &str, mode: Mode) -> Admission {
        match self.holds.get(id) {
            Some(hold) if hold.mode == Mode::Read && mode == Mode::Read => Admission::Free,
            Some(_) => Admission::Own,
            None if self.line.is_empty() && self.fits(mode) => Admission::Free,
            None => Admission::Taken,
        }
    }

    /// Takes the one who waits longest out of the line, if it may have the lock.
    pub(super) fn next(&mut self) -> Option<(Ticket, Waiter)> {
        let (_, first) = self.line.first_key_value()?;
        if self.fits(first.mode) { self.line.pop_first() } else { None }
    }

    /// How many hold it or wait for it.
    pub(super) fn len(&self) -> usize {
        self.holds.len() + self.line.len()
    }

    pub(super) fn is_unused(&self) -> bool {
        self.holds.is_empty() && self.line.is_empty()
    }

    fn fits(&self, mode: Mode) -> bool {
        match mode {
            Mode::Write => self.holds.is_empty(),
            // Whoever holds it holds it in one mode.
            Mode::Read => self.holds.values().next().is_none_or(|hold| hold.mode == Mode::Read),
        }
    }
}
