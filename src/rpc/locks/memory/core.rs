//! The decisions: which claim gets which lock, and when it ends. Pure; time is an argument.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::alarms::{Alarm, Alarms, Target};
use super::resource::{Admission, Hold, Resource, Waiter};
use crate::compat::Compat;
use crate::rpc::locks::claim::{Claim, Moment, Ticket, Token};
use crate::rpc::locks::limits::{LimitReached, MAX_BYTES, MAX_ENTRIES, MAX_NAME, MAX_OF_ONE, size};

/// Alarms that a call executes for others, and that the timer executes at a time, at most.
const FEW: usize = 16;
const MANY: usize = 64;

/// The immediate outcome of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted,
    Refused,
    /// The answer will be among [`Core::take_answers`].
    Waiting(Ticket),
    LimitReached(LimitReached),
}

/// All resources. Each method takes the time, which never goes back.
#[derive(Debug, Default)]
pub(super) struct Core {
    /// What an id that holds a resource may claim of it.
    rules: Compat,
    /// A tree, like the holders of each: a growing hash table would hash all names again at once.
    resources: BTreeMap<Arc<str>, Resource>,
    alarms: Alarms,
    /// Those who were answered: with the token of their lock, or without a lock.
    answers: Vec<(Ticket, Option<Token>)>,
    last_ticket: Ticket,
    last_token: Token,
    /// Microseconds of the Unix epoch at the caller's time zero: tokens increase over restarts, too.
    epoch: Token,
    entries: usize,
    /// What the entries count as.
    bytes: usize,
}

impl Core {
    /// No locks yet; `epoch` is the caller's time zero in microseconds since the Unix epoch.
    pub(super) fn new(rules: Compat, epoch: Token) -> Self {
        Self { rules, epoch, ..Self::default() }
    }

    pub(super) fn claim(&mut self, now: Moment, claim: Claim) -> Outcome {
        self.catch_up(now, &claim.resource);
        let resource = self.resources.get(claim.resource.as_str());
        let admission =
            resource.map_or(Admission::Free, |resource| resource.admit(&claim.id, claim.mode, self.rules));
        match admission {
            Admission::Own => Outcome::Refused,
            Admission::Taken if claim.wait.is_zero() => Outcome::Refused,
            Admission::Free | Admission::Taken => match (self.limit(&claim), admission) {
                (Some(limit), _) => Outcome::LimitReached(limit),
                (None, Admission::Free) => {
                    self.grant_at_once(now, claim);
                    Outcome::Granted
                }
                (None, _) => Outcome::Waiting(self.enqueue(now, claim)),
            },
        }
    }

    /// Releases the lock of one owner. False when it has none.
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

    /// Releases all locks of a resource; waiters are next. False when there are none.
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

    /// Whether an owner holds a resource; for `*`, whether any owner does.
    pub(super) fn exists(&mut self, now: Moment, resource: &str, id: &str) -> bool {
        self.catch_up(now, resource);
        self.resources.get(resource).is_some_and(|resource| match id {
            "*" => !resource.holds.is_empty(),
            id => resource.holds.contains_key(id),
        })
    }

    /// Lets a lock expire `ttl` from now, or never. False when there is none.
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

    /// The waiter with this ticket is gone. A lock that it was granted meanwhile, without knowing it, is released.
    pub(super) fn leave(&mut self, now: Moment, resource: &str, id: &str, ticket: Ticket) {
        self.catch_up(now, resource);
        let Some((name, mut entry)) = self.resources.remove_entry(resource) else { return };
        if let Some(waiter) = entry.queue.remove(&ticket) {
            self.alarms.cancel(waiter.until, Alarm::GiveUp(ticket));
            self.discount(resource, id);
        } else if entry.holds.get(id).is_some_and(|hold| hold.ticket == Some(ticket))
            && let Some(hold) = entry.holds.remove(id)
        {
            self.forget(resource, id, &hold);
        }
        self.settle(now, name, entry);
    }

    /// Ends what is due, up to a bounded number; [`Core::next_alarm`] tells whether something is left.
    pub(super) fn advance(&mut self, now: Moment) {
        self.advance_by(now, MANY);
    }

    fn advance_by(&mut self, now: Moment, most: usize) {
        for _ in 0..most {
            let Some((alarm, target)) = self.alarms.due(now) else { return };
            self.execute(now, alarm, &target);
        }
    }

    /// Ends what is due of one resource, and some of what is due elsewhere.
    fn catch_up(&mut self, now: Moment, resource: &str) {
        self.advance_by(now, FEW);
        if self.next_alarm().is_none_or(|next| next > now) {
            return;
        }
        // So much is due that the timer is not done yet.
        let Some(entry) = self.resources.get(resource) else { return };
        let expiries = entry.holds.values().filter_map(|hold| hold.expires);
        let expiries = expiries.map(|(at, number)| (at, Alarm::Expiry(number)));
        let waits = entry.queue.iter().map(|(ticket, waiter)| (waiter.until, Alarm::GiveUp(*ticket)));
        let mut due: Vec<_> = expiries.chain(waits).filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        for (at, alarm) in due {
            // A waiter may have been granted the lock meanwhile.
            if let Some(target) = self.alarms.take(at, alarm) {
                self.execute(now, alarm, &target);
            }
        }
    }

    fn execute(&mut self, now: Moment, alarm: Alarm, target: &Target) {
        let Some((name, mut entry)) = self.resources.remove_entry(&target.resource) else { return };
        match alarm {
            Alarm::Expiry(_) => drop(entry.holds.remove(&target.id)),
            Alarm::GiveUp(ticket) => {
                entry.queue.remove(&ticket);
                self.answers.push((ticket, None));
            }
        }
        self.discount(&name, &target.id);
        self.settle(now, name, entry);
    }

    /// When [`Core::advance`] is due next.
    pub(super) fn next_alarm(&self) -> Option<Moment> {
        self.alarms.next()
    }

    /// The token of the lock that was granted last.
    pub(super) fn last_token(&self) -> Token {
        self.last_token
    }

    /// The waiters that were answered since the last call: with the token of their lock, or without a lock.
    pub(super) fn take_answers(&mut self) -> Vec<(Ticket, Option<Token>)> {
        std::mem::take(&mut self.answers)
    }

    /// The number of resources that are locked.
    pub(super) fn resources(&self) -> usize {
        self.resources.len()
    }

    /// The number of resources, and of their holders and waiters.
    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize) {
        let entries = self.resources.iter().flat_map(|(name, entry)| {
            let ids = entry.holds.keys().chain(entry.queue.values().map(|waiter| &waiter.id));
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

    fn enqueue(&mut self, now: Moment, claim: Claim) -> Ticket {
        let ticket = self.next_ticket();
        let (name, mut entry) = self.take(&claim.resource);
        let waiter = Waiter::new(now, claim);
        self.alarms.set(waiter.until, Alarm::GiveUp(ticket), &name, &waiter.id);
        self.count(&name, &waiter.id);
        entry.queue.insert(ticket, waiter);
        self.resources.insert(name, entry);
        ticket
    }

    /// Takes a resource out of the table, or creates it.
    fn take(&mut self, name: &str) -> (Arc<str>, Resource) {
        self.resources.remove_entry(name).unwrap_or_else(|| (name.into(), Resource::default()))
    }

    /// Grants the lock to the next waiters, and puts the resource back unless it is unused.
    fn settle(&mut self, now: Moment, name: Arc<str>, mut entry: Resource) {
        while let Some((ticket, waiter)) = entry.next(self.rules) {
            self.alarms.cancel(waiter.until, Alarm::GiveUp(ticket));
            self.discount(&name, &waiter.id);
            // Another claim of the same id may have been granted since this one was queued.
            let granted = entry.admit(&waiter.id, waiter.mode, self.rules) != Admission::Own;
            if granted {
                self.hold(&name, &mut entry, now, ticket, waiter);
            }
            self.answers.push((ticket, granted.then_some(self.last_token)));
        }
        if !entry.is_unused() {
            self.resources.insert(name, entry);
        }
    }

    /// Grants the lock to an owner. One that holds it already, as a reader, holds it anew.
    fn hold(
        &mut self,
        name: &Arc<str>,
        entry: &mut Resource,
        now: Moment,
        ticket: Ticket,
        Waiter { id, mode, ttl, .. }: Waiter,
    ) {
        let micros = Token::try_from(now.as_micros()).unwrap_or(Token::MAX);
        self.last_token = (self.last_token + 1).max(self.epoch.saturating_add(micros));
        let expires = ttl.map(|ttl| (now.saturating_add(ttl), ticket));
        self.alarms.set_expiry(expires, name, &id);
        self.count(name, &id);
        let is_new = !entry.holds.contains_key(&id);
        let hold = Hold { mode, ticket: is_new.then_some(ticket), expires };
        if let Some(before) = entry.holds.insert(Arc::clone(&id), hold) {
            self.forget(name, &id, &before);
        }
    }

    /// Drops the alarm and the count of a released lock.
    fn forget(&mut self, resource: &str, id: &str, hold: &Hold) {
        self.alarms.cancel_expiry(hold.expires);
        self.discount(resource, id);
    }

    /// The limit that another entry would exceed.
    fn limit(&self, claim: &Claim) -> Option<LimitReached> {
        let longest = claim.resource.len().max(claim.id.len());
        let of_one = self.resources.get(claim.resource.as_str()).map_or(0, Resource::len);
        if longest > MAX_NAME {
            Some(LimitReached::Name(longest))
        } else if self.entries >= MAX_ENTRIES {
            Some(LimitReached::Entries)
        } else if of_one >= MAX_OF_ONE {
            Some(LimitReached::OfOne)
        } else if self.bytes + size(&claim.resource, &claim.id) > MAX_BYTES {
            Some(LimitReached::Bytes)
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
