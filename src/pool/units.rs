//! The idle units of capacity, and the ways in which a unit leaves a request.

use std::sync::Arc;
use std::sync::atomic::{Ordering::SeqCst, fence};

use tracing::warn;

use super::caller::Caller;
use super::core::Reason;
use super::idle::Idle;
use super::mailbox::{Mailbox, Message};
use super::permits::Closed;
use super::unit::{Member, Unit};
use crate::worker::{Exit, Fault, State};

/// A worker has one request at a time, and so one unit, in the first row.
const ROWS: usize = 1;

/// The units of all workers that are in no request.
#[derive(Debug)]
pub(super) struct Units {
    idle: Idle<Unit>,
    mailbox: Mailbox,
}

impl Units {
    pub(super) fn new(mailbox: Mailbox) -> Self {
        Self { idle: Idle::new(ROWS), mailbox }
    }

    /// Takes one, if one is idle and no request waits.
    pub(super) fn try_take(&self) -> Option<Box<Unit>> {
        self.idle.try_take()
    }

    /// Waits in the queue of `caller` for one. Dropping the future leaves the queue.
    pub(super) async fn take(&self, caller: Caller) -> Result<Box<Unit>, Closed> {
        self.idle.take(caller).await
    }

    /// A worker is ready, or done with its request.
    pub(super) fn give_back(&self, unit: Box<Unit>) {
        let member = Arc::clone(&unit.member);
        if member.is_retiring() {
            return self.mailbox.send(Message::Returned(unit));
        }
        if member.is_exhausted() {
            return self.dismiss(unit, Reason::MaxJobs);
        }
        if member.has_to_report() {
            self.mailbox.send(Message::Progress(member.id));
        }
        member.status.set_state(State::Ready);
        let place = place(&member);
        self.idle.put(place, unit);
        // It may have been retired between the check and the return; then the actor did not find it among the idle ones.
        fence(SeqCst);
        if member.is_retiring()
            && let Some(unit) = self.idle.remove(place)
        {
            self.mailbox.send(Message::Returned(unit));
        }
    }

    /// A worker cannot be talked to any more. Resolves to how it ended.
    pub(super) fn drop_faulty(
        &self,
        unit: Box<Unit>,
        fault: &Fault,
    ) -> impl Future<Output = Exit> + Send + use<> {
        let member = Arc::clone(&unit.member);
        if !matches!(fault, Fault::Closed(_) | Fault::Unsent) {
            warn!(target: "server", pid = member.status.pid(), error = %fault, "worker broke the protocol");
        }
        drop(unit);
        // The end of its relay mostly means that it has exited or is about to; the actor gives it a moment, for its exit status.
        self.mailbox.send(Message::Faulty(member.id));
        member.status.exited()
    }

    /// A worker has to leave after what it did, or did not do, in a request.
    pub(super) fn dismiss(&self, unit: Box<Unit>, reason: Reason) {
        self.mailbox.send(Message::Leaving(unit, reason));
    }

    /// The worker goes on with a request that no caller waits for, until it is reported as back.
    pub(super) fn report_abandoned(&self, unit: &Unit) {
        self.mailbox.send(Message::Abandoned(unit.member.id));
    }

    /// Such a worker is done with it, or is given up.
    pub(super) fn report_back(&self, unit: &Unit) {
        self.mailbox.send(Message::CameBack(unit.member.id));
    }

    /// Takes the unit of a worker that has to leave, if it is idle.
    pub(super) fn recall(&self, member: &Member) -> Option<Box<Unit>> {
        member.retire();
        fence(SeqCst);
        self.idle.remove(place(member))
    }

    /// Turns away every request that waits or comes.
    pub(super) fn close(&self) {
        self.idle.close();
    }
}

fn place(member: &Member) -> usize {
    Idle::<Unit>::place(0, member.slot())
}
