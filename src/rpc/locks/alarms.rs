//! What ends by itself, and when.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::resource::{Moment, Ticket};

/// What ends by itself. Of two at the same time the lock's end is first, so that whoever waits for it gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Alarm {
    /// A lock.
    Expiry(Ticket),
    /// A waiter's patience.
    Patience(Ticket),
}

/// Whose alarm it is.
#[derive(Debug)]
pub(super) struct Whose {
    pub(super) resource: Arc<str>,
    pub(super) id: Arc<str>,
}

/// Alarms in the order of their times. Each belongs to a lock or a waiter that is there.
#[derive(Debug, Default)]
pub(super) struct Alarms(BTreeMap<(Moment, Alarm), Whose>);

impl Alarms {
    pub(super) fn set(&mut self, at: Moment, alarm: Alarm, resource: &Arc<str>, id: &Arc<str>) {
        self.0.insert((at, alarm), Whose { resource: Arc::clone(resource), id: Arc::clone(id) });
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

    /// Takes one, if it is set.
    pub(super) fn take(&mut self, at: Moment, alarm: Alarm) -> Option<Whose> {
        self.0.remove(&(at, alarm))
    }

    pub(super) fn next(&self) -> Option<Moment> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first one whose time has come.
    pub(super) fn due(&mut self, now: Moment) -> Option<(Alarm, Whose)> {
        let first = self.0.first_entry().filter(|first| first.key().0 <= now)?;
        let ((_, alarm), whose) = first.remove_entry();
        Some((alarm, whose))
    }
}
