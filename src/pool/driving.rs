//! The task that drives the connection of a worker with several requests in flight, and passes on what the pool has to know of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tracing::{info, warn};

use super::core::Reason;
use super::mailbox::Message;
use super::parts::Parts;
use super::unit::{Member, Unit};
use crate::worker::{Driver, Notice};

/// How long a worker may be silent, at least, before it may be killed for that: a busy machine makes one silent for a while.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a worker may want no requests, and have none in hand, until another one has to help.
const WITHDRAWAL: Duration = Duration::from_secs(10);

/// A worker that has closed its input may be about to exit; so much time has it to do so with a status of its own.
const OWN_EXIT: Duration = Duration::from_millis(200);

/// Runs until the connection has ended.
pub(super) async fn drive(mut driver: Driver, member: Arc<Member>, parts: Arc<Parts>) {
    let (units, mailbox) = (&parts.units, &parts.mailbox);
    let mut watch = Watch::new(&member, &parts);
    loop {
        let notice = tokio::select! {
            biased;
            notice = driver.next() => notice,
            () = reached(watch.silent_at) => {
                watch.has_been_silent();
                continue;
            }
            () = reached(watch.withdrawn_at) => {
                watch.has_wanted_nothing();
                continue;
            }
            () = reached(watch.leaves_at) => {
                watch.leaves();
                continue;
            }
        };
        match notice {
            Notice::Credit(credit) => watch.credit(credit as usize),
            Notice::Misnumbered => mailbox.send(Message::Due(member.id, Reason::Misnumbered)),
            Notice::NumbersUsedUp => mailbox.send(Message::Due(member.id, Reason::Numbers)),
            Notice::Silent => watch.silent(driver.in_hand()),
            Notice::Back => watch.back(),
            Notice::Deaf => watch.deaf(),
            Notice::Ended(fault) => {
                units.end_of(&member, &fault);
                return;
            }
            Notice::Left => return,
        }
    }
}

/// What is remembered of a worker from one notice to the next.
struct Watch<'a> {
    member: &'a Member,
    parts: &'a Parts,
    /// When it has been silent for too long.
    silent_at: Option<Instant>,
    /// When it has wanted nothing for too long.
    withdrawn_at: Option<Instant>,
    /// When it is asked to leave, since it has closed its input; and its unit, if nothing was in hand then.
    leaves_at: Option<Instant>,
    unit: Option<Box<Unit>>,
}

impl<'a> Watch<'a> {
    fn new(member: &'a Member, parts: &'a Parts) -> Self {
        Self { member, parts, silent_at: None, withdrawn_at: None, leaves_at: None, unit: None }
    }

    /// It wants no more than this number of requests in flight.
    fn credit(&mut self, credit: usize) {
        let Self { member, parts: Parts { units, .. }, .. } = *self;
        units.set_credit(member, credit);
        if credit == 0 {
            self.withdrawn_at = self.withdrawn_at.or_else(|| Instant::now().checked_add(WITHDRAWAL));
        } else if self.withdrawn_at.take().is_some() && units.set_withdrawn(member, false) {
            info!(target: "server", pid = member.status.pid(), pool = self.parts.label(), "worker wants requests again");
        }
    }

    fn has_wanted_nothing(&mut self) {
        self.withdrawn_at = Instant::now().checked_add(WITHDRAWAL);
        if self.parts.units.set_withdrawn(self.member, true) {
            let (pid, pool) = (self.member.status.pid(), self.parts.label());
            warn!(target: "server", pid, pool, "worker wants no requests, and has none in hand: starting a substitute");
        }
    }

    fn silent(&mut self, in_hand: usize) {
        let (pid, pool) = (self.member.status.pid(), self.parts.label());
        warn!(target: "server", pid, pool, in_hand, "worker does not respond: its event loop may be blocked");
        let recipe = &self.member.recipe;
        let patience = recipe.exec_ttl.unwrap_or(recipe.abandon_ttl).max(PATIENCE);
        self.silent_at = Instant::now().checked_add(patience);
    }

    fn has_been_silent(&mut self) {
        self.silent_at = None;
        self.parts.units.set_silent(self.member, true);
    }

    fn back(&mut self) {
        info!(target: "server", pid = self.member.status.pid(), pool = self.parts.label(), "worker responds again");
        self.silent_at = None;
        self.parts.units.set_silent(self.member, false);
    }

    /// It has closed its input: it gets no new requests, and may finish those that it has read.
    fn deaf(&mut self) {
        self.unit = self.parts.units.withdraw(self.member);
        self.leaves_at = Instant::now().checked_add(OWN_EXIT);
    }

    fn leaves(&mut self) {
        self.leaves_at = None;
        let (pid, pool) = (self.member.status.pid(), self.parts.label());
        warn!(target: "server", pid, pool, "worker has closed its input: it is replaced when it is done");
        self.parts.mailbox.send(match self.unit.take() {
            Some(unit) => Message::Leaving(unit, Reason::Requested),
            None => Message::Leave(self.member.id, Reason::Requested),
        });
    }
}

/// Resolves at this time, if there is one.
async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}
