//! The decisions: who gets which lock, and when it ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::alarms::{Alarm, Alarms, Whose};
use super::resource::{Admission, Hold, Mode, Moment, Resource, Ticket, Waiter};

/// Holders and waiters of all resources together: a bound for what callers who never release can take, far above honest use.
pub(super) const MAX_ENTRIES: usize = 100_000;

/// Holders and waiters of one resource. All of them may have to be looked at in one call.
pub(super) const MAX_OF_ONE: usize = 4096;

/// Memory of all holders and waiters, in bytes.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// What a holder or waiter counts as in [`MAX_BYTES`], beside the names of its resource and its own.
pub(super) const ENTRY: usize = 512;

/// The longest name of a resource or an owner, in bytes.
pub(super) const MAX_NAME: usize = 4096;

/// How many alarms a call carries out for others, and how many the timer does at a time.
const FEW: usize = 16;
const MANY: usize = 64;

/// A lock cannot be given, nor waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TooMuch {
    /// A name is too long.
    #[error("the name of a resource or an owner has {0} bytes, more than {MAX_NAME}")]
    Name(usize),
    /// All resources together have as many as they may.
    #[error("there are {MAX_ENTRIES} locks and waiters, which is as many as there can be")]
    Entries,
    /// One resource has.
    #[error("there are {MAX_OF_ONE} locks and waiters of this resource, which is as many as there can be")]
    OfOne,
    /// Their names are long.
    #[error("locks and waiters take {} MB, which is as much as they may", MAX_BYTES >> 20)]
    Bytes,
}

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
    TooMuch(TooMuch),
}

/// All resources. Each method takes the time, which never goes back.
#[derive(Debug, Default)]
pub(super) struct Core {
    /// In a tree, as are the holders of each: a table of hashes that grows would read all their names again in one go.
    resources: BTreeMap<Arc<str>, Resource>,
    alarms: Alarms,
    answers: Vec<(Ticket, bool)>,
    last_ticket: Ticket,
    entries: usize,
    /// What the entries count as.
    bytes: usize,
}

impl Core {
    pub(super) fn claim(&mut self, now: Moment, claim: Claim) -> Outcome {
        self.catch_up(now, &claim.resource);
        let resource = self.resources.get(claim.resource.as_str());
        let admission = resource.map_or(Admission::Free, |resource| resource.admit(&claim.id, claim.mode));
        match admission {
            Admission::Own => Outcome::Refused,
            Admission::Taken if claim.wait.is_zero() => Outcome::Refused,
            Admission::Free | Admission::Taken => match (self.bound(&claim), admission) {
                (Some(bound), _) => Outcome::TooMuch(bound),
                (None, Admission::Free) => {
                    self.grant_at_once(now, claim);
                    Outcome::Granted
                }
                (None, _) => Outcome::Waiting(self.line_up(now, claim)),
            },
        }
    }

    /// Ends the lock of one owner. False when it has none.
    pub(super) fn release(&mut self, now: Moment, resource: &str, id: &str) -> bool {
        self.catch_up(now, resource);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return false };
        let held = entry.holds.remove(id);
        let was_held = held.is_some();
        if let Some(hold) = held {
            self.forget(resource, id, &hold);
        }
        self.settle(now, name, entry);
        was_held
    }

    /// Ends all locks of a resource; those who wait are next. False when there are none.
    pub(super) fn force_release(&mut self, now: Moment, resource: &str) -> bool {
        self.catch_up(now, resource);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return false };
        let was_held = !entry.holds.is_empty();
        for (id, hold) in std::mem::take(&mut entry.holds) {
            self.forget(resource, &id, &hold);
        }
        self.settle(now, name, entry);
        was_held
    }

    /// Whether an owner has a lock on a resource, or, for `*`, anybody.
    pub(super) fn exists(&mut self, now: Moment, resource: &str, id: &str) -> bool {
        self.catch_up(now, resource);
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
        self.catch_up(now, resource);
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
        self.catch_up(now, resource);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return };
        if let Some(waiter) = entry.line.remove(&ticket) {
            self.alarms.cancel(waiter.until, Alarm::Patience(ticket));
            self.discount(resource, id);
        } else if entry.holds.get(id).is_some_and(|hold| hold.ticket == Some(ticket))
            && let Some(hold) = entry.holds.remove(id)
        {
            self.forget(resource, id, &hold);
        }
        self.settle(now, name, entry);
    }

    /// Ends what is over by now, as far as that is done soon; [`Core::next_alarm`] tells whether something is left.
    pub(super) fn advance(&mut self, now: Moment) {
        self.advance_by(now, MANY);
    }

    fn advance_by(&mut self, now: Moment, most: usize) {
        for _ in 0..most {
            let Some((alarm, whose)) = self.alarms.due(now) else { return };
            self.carry_out(now, alarm, &whose);
        }
    }

    /// Ends what is over by now of one resource, and some of what is over elsewhere.
    fn catch_up(&mut self, now: Moment, resource: &str) {
        self.advance_by(now, FEW);
        if self.next_alarm().is_none_or(|next| next > now) {
            return;
        }
        // So much ends at this time that the timer is not done with it yet.
        let Some(entry) = self.resources.get(resource) else { return };
        let expiries = entry.holds.values().filter_map(|hold| hold.expires);
        let expiries = expiries.map(|(at, number)| (at, Alarm::Expiry(number)));
        let waits = entry.line.iter().map(|(ticket, waiter)| (waiter.until, Alarm::Patience(*ticket)));
        let mut due: Vec<_> = expiries.chain(waits).filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        for (at, alarm) in due {
            // One who waited may have been given the lock meanwhile, and waits no more.
            if let Some(whose) = self.alarms.take(at, alarm) {
                self.carry_out(now, alarm, &whose);
            }
        }
    }

    fn carry_out(&mut self, now: Moment, alarm: Alarm, whose: &Whose) {
        let Some((name, mut entry)) = self.resources.remove_entry(&whose.resource) else { return };
        match alarm {
            Alarm::Expiry(_) => drop(entry.holds.remove(&whose.id)),
            Alarm::Patience(ticket) => {
                entry.line.remove(&ticket);
                self.answers.push((ticket, false));
            }
        }
        self.discount(&name, &whose.id);
        self.settle(now, name, entry);
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
        let entries = self.resources.iter().flat_map(|(name, entry)| {
            let ids = entry.holds.keys().chain(entry.line.values().map(|waiter| &waiter.id));
            ids.map(|id| size(name, id))
        });
        let sizes: Vec<usize> = entries.collect();
        assert_eq!((sizes.len(), sizes.iter().sum()), (self.entries, self.bytes));
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
        self.count(&name, &waiter.id);
        entry.line.insert(ticket, waiter);
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
            self.discount(&name, &waiter.id);
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
        self.count(name, &id);
        let is_new = !entry.holds.contains_key(&id);
        let hold = Hold { mode, ticket: is_new.then_some(ticket), expires };
        if let Some(before) = entry.holds.insert(Arc::clone(&id), hold) {
            self.forget(name, &id, &before);
        }
    }

    /// Drops what belongs to a lock that has ended.
    fn forget(&mut self, resource: &str, id: &str, hold: &Hold) {
        self.alarms.cancel_expiry(hold.expires);
        self.discount(resource, id);
    }

    /// The bound that another entry would be beyond.
    fn bound(&self, claim: &Claim) -> Option<TooMuch> {
        let longest = claim.resource.len().max(claim.id.len());
        let of_one = self.resources.get(claim.resource.as_str()).map_or(0, Resource::len);
        if longest > MAX_NAME {
            Some(TooMuch::Name(longest))
        } else if self.entries >= MAX_ENTRIES {
            Some(TooMuch::Entries)
        } else if of_one >= MAX_OF_ONE {
            Some(TooMuch::OfOne)
        } else if self.bytes + size(&claim.resource, &claim.id) > MAX_BYTES {
            Some(TooMuch::Bytes)
        } else {
            None
        }
    }

    fn count(&mut self, resource: &str, id: &str) {
        self.entries += 1;
        self.bytes += size(resource, id);
    }

    fn discount(&mut self, resource: &str, id: &str) {
        self.entries -= 1;
        self.bytes -= size(resource, id);
    }

    fn next_ticket(&mut self) -> Ticket {
        self.last_ticket += 1;
        self.last_ticket
    }
}

/// What an entry counts as, in bytes.
fn size(resource: &str, id: &str) -> usize {
    ENTRY + resource.len() + id.len()
}
