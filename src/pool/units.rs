//! The idle units of capacity, and the ways in which a unit leaves a request.

use std::sync::Arc;
use std::sync::atomic::{Ordering::SeqCst, fence};

use tracing::warn;

use super::caller::Caller;
use super::core::Reason;
use super::counters::Counters;
use super::idle::Idle;
use super::loads::{Several, Standing, Use};
use super::mailbox::{Mailbox, Message};
use super::permits::Closed;
use super::unit::{Member, Unit};
use crate::worker::{Exit, Fault, State};

/// The units of all workers that are in no request.
#[derive(Debug)]
pub(super) struct Units {
    idle: Idle<Unit>,
    mailbox: Mailbox,
    counters: Arc<Counters>,
}

impl Units {
    pub(super) fn new(mailbox: Mailbox, counters: Arc<Counters>) -> Self {
        Self { idle: Idle::new(), mailbox, counters }
    }

    /// Where requests are counted.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes one, if one is idle and no request waits.
    pub(super) fn try_take(&self) -> Option<Box<Unit>> {
        self.idle.try_take()
    }

    /// Waits in the queue of `caller` for one. Dropping the future leaves the queue.
    pub(super) async fn take(&self, caller: Caller) -> Result<Box<Unit>, Closed> {
        self.idle.take(caller).await
    }

    /// A worker is lent to requests from now on: its only unit, or as many as it may have.
    pub(super) fn lend(&self, unit: Box<Unit>) {
        let Some(most) = unit.member.concurrency else { return self.give_back(unit) };
        let member = Arc::clone(&unit.member);
        let rest = |unit: &Unit| unit.member.status.set_working(false);
        let credit = |unit: &Unit| unit.member.credit();
        let units = Several { template: unit, another: Unit::another, rest, credit, most };
        self.idle.open(member.slot(), units, member.recipe.max_jobs.unwrap_or(u64::MAX));
        if member.is_retiring()
            && let Some(unit) = self.recall(&member)
        {
            self.mailbox.send(Message::Returned(unit));
        }
    }

    /// A worker is done with its request.
    pub(super) fn give_back(&self, unit: Box<Unit>) {
        if unit.exchange.is_one_of_many() {
            let used = if unit.exchange.has_begun() { Use::Done } else { Use::None };
            return self.give_one_back(unit, used, None);
        }
        let member = Arc::clone(&unit.member);
        if member.is_retiring() {
            member.status.set_state(State::Stopping);
            return self.mailbox.send(Message::Returned(unit));
        }
        if member.is_exhausted() {
            return self.dismiss(unit, Reason::MaxJobs);
        }
        if member.has_to_report() {
            self.mailbox.send(Message::Progress(member.id));
        }
        member.status.set_state(State::Ready);
        let slot = member.slot();
        self.idle.put(slot, unit);
        // It may have been retired between the check and the return; then the actor did not find it among the idle ones.
        fence(SeqCst);
        if member.is_retiring()
            && let Some(unit) = self.idle.remove(slot)
        {
            self.mailbox.send(Message::Returned(unit));
        }
    }

    /// The same for one of several units; or its worker has this fault.
    pub(super) fn give_one_back(&self, unit: Box<Unit>, used: Use, fault: Option<&Fault>) {
        let member = &unit.member;
        if fault.is_some() {
            // The task that drives its connection reports it, once; until then no request may find it.
            drop(self.idle.close_slot(member.slot(), |_| {}));
        }
        if member.has_to_report() {
            self.mailbox.send(Message::Progress(member.id));
        }
        match self.idle.give(member.slot(), used) {
            Some((standing, last)) => {
                self.report(member, standing);
                if let Some(last) = last {
                    self.mailbox.send(Message::Returned(last));
                }
            }
            // It was started for this request alone.
            None => self.mailbox.send(Message::Returned(unit)),
        }
    }

    /// A worker cannot be talked to any more. Resolves to how it ended.
    pub(super) fn drop_faulty(
        &self,
        unit: Box<Unit>,
        fault: &Fault,
    ) -> impl Future<Output = Exit> + Send + use<> {
        let member = Arc::clone(&unit.member);
        if unit.exchange.is_one_of_many() {
            let used = if unit.exchange.has_begun() { Use::Done } else { Use::None };
            self.give_one_back(unit, used, Some(fault));
        } else {
            drop(unit);
            member.status.set_state(State::Stopping);
            self.report_faulty(&member, fault);
        }
        member.status.exited()
    }

    /// A worker cannot be talked to any more.
    fn report_faulty(&self, member: &Member, fault: &Fault) {
        if !matches!(fault, Fault::Closed(_) | Fault::Unsent) {
            warn!(target: "server", pid = member.status.pid(), error = %fault, "worker broke the protocol");
        }
        // The end of its relay mostly means that it has exited or is about to; the actor gives it a moment, for its exit status.
        self.mailbox.send(Message::Faulty(member.id));
    }

    /// The connection of a worker with several units has ended.
    pub(super) fn end_of(&self, member: &Member, fault: &Fault) {
        drop(self.idle.close_slot(member.slot(), |_| {}));
        self.report_faulty(member, fault);
    }

    /// A worker has to leave after what it did, or did not do, in a request.
    pub(super) fn dismiss(&self, unit: Box<Unit>, reason: Reason) {
        if !unit.exchange.is_one_of_many() || self.idle.loads().template(unit.member.slot()).is_none() {
            unit.member.status.set_state(State::Stopping);
            return self.mailbox.send(Message::Leaving(unit, reason));
        }
        let member = Arc::clone(&unit.member);
        drop(self.idle.close_slot(member.slot(), |_| {}));
        self.mailbox.send(Message::Leave(member.id, reason));
        self.give_back(unit);
    }

    /// A request was handed to a worker. After the last one that it may have, it leaves when it is done with all of them.
    pub(super) fn count_execution(&self, unit: &Unit) {
        unit.member.count_execution();
        if unit.exchange.is_one_of_many() && unit.member.is_exhausted() {
            self.mailbox.send(Message::Leave(unit.member.id, Reason::MaxJobs));
        }
    }

    /// The worker goes on with a request that no caller waits for, until the unit is given back.
    pub(super) fn report_abandoned(&self, unit: &Unit) {
        let member = &unit.member;
        if !unit.exchange.is_one_of_many() {
            return self.mailbox.send(Message::Abandoned(member.id));
        }
        let standing = self.idle.loads().abandon(member.slot());
        if let Some(standing) = standing {
            self.report(member, standing);
        }
    }

    /// Such a worker is done with it, or is given up.
    pub(super) fn report_back(&self, unit: &Unit) {
        if !unit.exchange.is_one_of_many() {
            self.mailbox.send(Message::CameBack(unit.member.id));
        }
    }

    /// The time of a request is over that no caller waits for. False if its worker has to leave for that.
    pub(super) fn report_overdue(&self, unit: &Unit) -> bool {
        let standing =
            if unit.exchange.is_one_of_many() { self.idle.loads().overdue(unit.member.slot()) } else { None };
        if let Some(standing) = standing {
            self.report(&unit.member, standing);
        }
        standing.is_some()
    }

    /// Lets the actor know what has become of a worker with several requests in hand.
    fn report(&self, member: &Member, standing: Standing) {
        if standing.turned {
            self.mailbox.send(Message::Lost(member.id));
        }
        if standing.is_due {
            self.mailbox.send(Message::Due(member.id, member.overdue_reason()));
        }
        if standing.is_stuck {
            self.mailbox.send(Message::Leave(member.id, member.overdue_reason()));
        }
    }

    /// Whether so many requests of a worker are abandoned that it counts as abandoned.
    pub(super) fn is_abandoned(&self, member: &Member) -> bool {
        self.idle.loads().is_abandoned(member.slot())
    }

    /// How many requests a worker has in hand.
    pub(super) fn in_hand(&self, member: &Member) -> usize {
        let several = member.concurrency.and_then(|_| self.idle.loads().in_hand(member.slot()));
        several.unwrap_or_else(|| usize::from(member.status.state() == State::Working))
    }

    /// A worker wants no more than this number of requests in flight.
    pub(super) fn set_credit(&self, member: &Member, credit: usize) {
        // Noted first: if the worker is lent meanwhile, either finds it.
        member.set_credit(credit);
        self.idle.set_credit(member.slot(), credit);
    }

    /// A worker has wanted nothing for long, or wants something again. Returns whether that is news: nothing of it is in hand.
    pub(super) fn set_withdrawn(&self, member: &Member, withdrawn: bool) -> bool {
        let standing = self.idle.loads().set_withdrawn(member.slot(), withdrawn);
        if let Some(standing) = standing {
            self.report(member, standing);
        }
        standing.is_some_and(|standing| standing.turned)
    }

    /// A worker has answered no PING for long, or does again.
    pub(super) fn set_silent(&self, member: &Member, silent: bool) {
        let (is_stuck, in_hand) = {
            let mut loads = self.idle.loads();
            (loads.set_silent(member.slot(), silent), loads.in_hand(member.slot()))
        };
        if is_stuck {
            let reason = if in_hand.is_some_and(|requests| requests > 0) {
                member.overdue_reason()
            } else {
                Reason::Requested
            };
            self.mailbox.send(Message::Leave(member.id, reason));
        }
    }

    /// A worker gets no new requests. Returns its unit if nothing is in hand.
    pub(super) fn withdraw(&self, member: &Member) -> Option<Box<Unit>> {
        self.idle.close_slot(member.slot(), |_| {})
    }

    /// Takes the unit of a worker that has to leave, if it is idle, or has nothing in hand. One that has gets no new requests.
    pub(super) fn recall(&self, member: &Member) -> Option<Box<Unit>> {
        member.retire();
        fence(SeqCst);
        if member.concurrency.is_none() {
            return self.idle.remove(member.slot());
        }
        let template = self.idle.close_slot(member.slot(), |unit| unit.exchange.drain());
        if template.is_none() && self.idle.loads().is_stuck(member.slot()) {
            self.mailbox.send(Message::Leave(member.id, member.overdue_reason()));
        }
        template
    }

    /// Turns away every request that waits or comes.
    pub(super) fn close(&self) {
        self.idle.close();
    }
}
