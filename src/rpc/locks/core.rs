//! The decisions: who gets which lock, and when it ends.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::resource::{Admission, Hold, Mode, Moment, Resource, Ticket, Waiter};

/// Holders and waiters of all resources together: a bound for what callers who never release can take, far above honest use.
pub(crate) const MAX_ENTRIES: usize = 100_000;

/// The longest name of a resource or an owner, in bytes.
pub(super) const MAX_NAME: usize = 4096;

/// Somebody asks for a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) resource: String,
    /// The owner's name.
    pub(crate) id: String,
    pub(crate) mode: Mode,
    /// How long the lock lasts, counted from when it is granted; none: until it is released.
    pub(crate) ttl: Option<Duration>,
    /// How long it may be waited for.
    pub(crate) wait: Duration,
}

/// What a claim comes to at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted,
    Refused,
    /// The answer is among [`Core::take_answers`] later.
    Waiting(Ticket),
    /// There are [`MAX_ENTRIES`], or a name is longer than [`MAX_NAME`].
    TooMuch,
}

/// All resources. Each method takes the time, which never goes back.
#[derive(Debug, Default)]
pub(super) struct Core {
    resources: HashMap<Arc<str>, Resource>,
    alarms: Alarms,
    answers: Vec<(Ticket, bool)>,
    last_ticket: Ticket,
    entries: usize,
}

impl Core {
    pub(super) fn claim(&mut self, now: Moment, claim: Claim) -> Outcome {
        self.advance(now);
        if claim.resource.len() > MAX_NAME || claim.id.len() > MAX_NAME {
            return Outcome::TooMuch;
        }
        let admission = self
            .resources
            .get(claim.resource.as_str())
            .map_or(Admission::Free, |resource| resource.admit(&claim.id, claim.mode));
        match admission {
            Admission::Own => Outcome::Refused,
            Admission::Taken if claim.wait.is_zero() => Outcome::Refused,
            _ if self.entries >= MAX_ENTRIES => Outcome::TooMuch,
            Admission::Free => {
                self.grant_at_once(now, claim);
                Outcome::Granted
            }
            Admission::Taken => Outcome::Waiting(self.line_up(now, claim)),
        }
    }

    /// Ends the lock of one owner. False when it has none.
    pub(super) fn release(&mut self, now: Moment, resource: &str, id: &str) -> bool {
        self.advance(now);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return false };
        let held = entry.holds.remove(id);
        let was_held = held.is_some();
        self.forget(held);
        self.settle(now, name, entry);
        was_held
    }

    /// Ends all locks of a resource; those who wait are next. False when there are none.
    pub(super) fn force_release(&mut self, now: Moment, resource: &str) -> bool {
        self.advance(now);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return false };
        let holds: Vec<Hold> = entry.holds.drain().map(|(_, hold)| hold).collect();
        let was_held = !holds.is_empty();
        self.forget(holds);
        self.settle(now, name, entry);
        was_held
    }

    /// Whether an owner has a lock on a resource, or, for `*`, anybody.
    pub(super) fn exists(&mut self, now: Moment, resource: &str, id: &str) -> bool {
        self.advance(now);
        self.resources.get(resource).is_some_and(|resource| match id {
            "*" => !resource.holds.is_empty(),
            id => resource.holds.contains_key(id),
        })
    }

    /// Lets a lock end after `ttl` from now, or not by itself. False when there is none.
    pub(super) fn update_ttl(
        &mut self,
        now: Moment,
        resource: &str,
        id: &str,
        ttl: Option<Duration>,
    ) -> bool {
        self.advance(now);
        let number = self.next_ticket();
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return false };
        let held = entry.holds.remove_entry(id);
        let was_held = held.is_some();
        if let Some((id, mut hold)) = held {
            self.alarms.cancel_expiry(hold.expires);
            hold.expires = ttl.map(|ttl| (now.saturating_add(ttl), number));
            self.alarms.set_expiry(hold.expires, &name, &id);
            entry.holds.insert(id, hold);
        }
        self.resources.insert(name, entry);
        was_held
    }

    /// Whoever waits with this ticket is not there any more. A lock that it has been given meanwhile, and does not know of, ends.
    pub(super) fn leave(&mut self, now: Moment, resource: &str, id: &str, ticket: Ticket) {
        self.advance(now);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return };
        if let Some(waiter) = entry.line.remove(&ticket) {
            self.alarms.cancel(waiter.until, Alarm::Patience(ticket));
            self.entries -= 1;
        } else if entry.holds.get(id).is_some_and(|hold| hold.ticket == Some(ticket)) {
            let held = entry.holds.remove(id);
            self.forget(held);
        }
        self.settle(now, name, entry);
    }

    /// Ends what is over by now.
    pub(super) fn advance(&mut self, now: Moment) {
        while let Some((alarm, whose)) = self.alarms.due(now) {
            let Some((name, mut entry)) = self.resources.remove_entry(&whose.resource) else { continue };
            match alarm {
                Alarm::Expiry(_) => drop(entry.holds.remove(&whose.id)),
                Alarm::Patience(ticket) => {
                    entry.line.remove(&ticket);
                    self.answers.push((ticket, false));
                }
            }
            self.entries -= 1;
            self.settle(now, name, entry);
        }
    }

    /// When [`Core::advance`] has something to do next.
    pub(super) fn next_alarm(&self) -> Option<Moment> {
        self.alarms.next()
    }

    /// What has become of those who wait, since the last call.
    pub(super) fn take_answers(&mut self) -> Vec<(Ticket, bool)> {
        std::mem::take(&mut self.answers)
    }

    /// How many resources are held or waited for, and their holders and waiters.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let counted: usize = self.resources.values().map(|entry| entry.holds.len() + entry.line.len()).sum();
        assert_eq!(counted, self.entries);
        (self.resources.len(), self.entries)
    }

    #[cfg(test)]
    pub(super) fn resource(&self, name: &str) -> Option<&Resource> {
        self.resources.get(name)
    }

    fn grant_at_once(&mut self, now: Moment, claim: Claim) {
        let ticket = self.next_ticket();
        let (name, mut entry) = self.take(&claim.resource);
        self.hold(&name, &mut entry, now, ticket, Waiter::new(now, claim));
        self.resources.insert(name, entry);
    }

    fn line_up(&mut self, now: Moment, claim: Claim) -> Ticket {
        let ticket = self.next_ticket();
        let (name, mut entry) = self.take(&claim.resource);
        let waiter = Waiter::new(now, claim);
        self.alarms.set(waiter.until, Alarm::Patience(ticket), &name, &waiter.id);
        entry.line.insert(ticket, waiter);
        self.entries += 1;
        self.resources.insert(name, entry);
        ticket
    }

    /// Takes a resource out of the table, or a new one.
    fn take(&mut self, name: &str) -> (Arc<str>, Resource) {
        self.resources.remove_entry(name).unwrap_or_else(|| (name.into(), Resource::default()))
    }

    /// Gives the lock to those who are next, and puts the resource back if anybody holds or waits for it.
    fn settle(&mut self, now: Moment, name: Arc<str>, mut entry: Resource) {
        while let Some((ticket, waiter)) = entry.next() {
            self.alarms.cancel(waiter.until, Alarm::Patience(ticket));
            self.entries -= 1;
            self.answers.push((ticket, true));
            self.hold(&name, &mut entry, now, ticket, waiter);
        }
        if !entry.is_unused() {
            self.resources.insert(name, entry);
        }
    }

    /// Gives the lock to an owner. A reader who has it already has it anew.
    fn hold(
        &mut self,
        name: &Arc<str>,
        entry: &mut Resource,
        now: Moment,
        ticket: Ticket,
        Waiter { id, mode, ttl, .. }: Waiter,
    ) {
        let expires = ttl.map(|ttl| (now.saturating_add(ttl), ticket));
        self.alarms.set_expiry(expires, name, &id);
        self.entries += 1;
        let is_new = !entry.holds.contains_key(&id);
        let before = entry.holds.insert(id, Hold { mode, ticket: is_new.then_some(ticket), expires });
        self.forget(before);
    }

    /// Drops what belongs to locks that have ended.
    fn forget(&mut self, holds: impl IntoIterator<Item = Hold>) {
        for hold in holds {
            self.alarms.cancel_expiry(hold.expires);
            self.entries -= 1;
        }
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }
}

/// What ends by itself. Of two at the same time the lock's end is first, so that whoever waits for it gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    /// A lock.
    Expiry(Ticket),
    /// A waiter's patience.
    Patience(Ticket),
}

/// Whose alarm it is.
#[derive(Debug)]
struct Whose {
    resource: Arc<str>,
    id: Arc<str>,
}

/// Alarms in the order of their times. Each belongs to a lock or a waiter that is there.
#[derive(Debug, Default)]
struct Alarms(BTreeMap<(Moment, Alarm), Whose>);

impl Alarms {
    fn set(&mut self, at: Moment, alarm: Alarm, resource: &Arc<str>, id: &Arc<str>) {
        self.0.insert((at, alarm), Whose { resource: Arc::clone(resource), id: Arc::clone(id) });
    }

    fn set_expiry(&mut self, expires: Option<(Moment, Ticket)>, resource: &Arc<str>, id: &Arc<str>) {
        if let Some((at, number)) = expires {
            self.set(at, Alarm::Expiry(number), resource, id);
        }
    }

    fn cancel(&mut self, at: Moment, alarm: Alarm) {
        self.0.remove(&(at, alarm));
    }

    fn cancel_expiry(&mut self, expires: Option<(Moment, Ticket)>) {
        if let Some((at, number)) = expires {
            self.cancel(at, Alarm::Expiry(number));
        }
    }

    fn next(&self) -> Option<Moment> {
        self.0.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the first one whose time has come.
    fn due(&mut self, now: Moment) -> Option<(Alarm, Whose)> {
        let first = self.0.first_entry().filter(|first| first.key().0 <= now)?;
        let ((_, alarm), whose) = first.remove_entry();
        Some((alarm, whose))
    }
}
