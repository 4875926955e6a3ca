//! Deadlines of locks and waiters.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::rpc::locks::claim::{Moment, Ticket};

/// What ends at its time. Of two at the same time the lock's expiry is first, so that a waiter still gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// A lock expires.
    Expiry(Ticket),
    /// A waiter gives up.
    GiveUp(Ticket),
}

/// The lock or waiter that an alarm belongs to.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) resource: Arc<str>,
    pub(super) id: Arc<str>,
}

/// Alarms in the order of their times. Each belongs to an existing lock or waiter.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<(Moment, Alarm), Target>);

impl Alarms {
    pub(super) fn set(&mut self, at: Moment, alarm: Alarm, resource: &Arc<str>, id: &Arc<str>) {
        self.0.insert((at, alarm), Target { resource: Arc::clone(resource), id: Arc::clone(id) });
    }

    pub(super) fn set_expiry(
        &mut self,
        expires: Option<(Moment, Ticket)>,
        resource: &Arc<str>,
        id: &Arc<str>,
    ) {
        if let Some((at, number)) = expires {
            self.set(at, Alarm::Expiry(number), resource, id);
        }
    }

    pub(super) fn cancel(&mut self, at: Moment, alarm: Alarm) {
        self.0.remove(&(at, alarm));
    }

    pub(super) fn cancel_expiry(&mut self, expires: Option<(Moment, Ticket)>) {
        if let Some((at, number)) = expires {
            self.cancel(at, Alarm::Expiry(number));
        }
    }

    /// Takes an alarm, if it is set.
    pub(super) fn take(&mut self, at: Moment, alarm: Alarm) -> Option<Target> {
        self.0.remove(&(at, alarm))
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first one target time has come.
    pub(super) fn due(&mut self, now: Moment) -> Option<(Alarm, Target)> {
        let first = self.0.first_entry().filter(|first| first.key().0 <= now)?;
        let ((_, alarm), target) = first.remove_entry();
        Some((alarm, target))
    }
}
