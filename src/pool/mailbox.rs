//! What the actor hears of.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use super::change::Change;
use super::core::{Reason, ResetEnd, WorkerId};
use super::unit::Unit;
use crate::worker::{BootError, Booted, Exit};

/// What the actor hears of.
#[derive(Debug)]
pub(super) enum Message {
    /// A start has ended.
    Boot(WorkerId, Box<Result<Booted, BootError>>),
    /// A start was not tried, since there are as many workers as there may be.
    NoSlot(WorkerId),
    /// A process is gone.
    Exited(WorkerId, Exit),
    /// A worker that has to leave is done with its request.
    Returned(Box<Unit>),
    /// A worker has to leave, and is in no request.
    Leaving(Box<Unit>, Reason),
    /// A worker has to leave, and may be in requests.
    Leave(WorkerId, Reason),
    /// A worker is to be replaced.
    Due(WorkerId, Reason),
    /// A worker cannot be talked to any more.
    Faulty(WorkerId),
    /// A worker has had the number of requests at which it was to report.
    Progress(WorkerId),
    /// A worker that is nearly exhausted has a successor that has waited for long.
    Reconsider(WorkerId),
    /// A worker goes on with a request that no caller waits for.
    Abandoned(WorkerId),
    /// It is done with it.
    CameBack(WorkerId),
    /// So many requests of a worker are abandoned that it counts as abandoned, or it is no longer so.
    Lost(WorkerId),
    /// A request has waited for a while.
    Waiting,
    /// A request has left the queue without a worker while workers that have to leave were not found.
    LeftQueue,
    /// The resident memory of process groups, in bytes.
    Measured(HashMap<u32, u64>),
    /// All workers are to be replaced.
    Reset(oneshot::Sender<ResetEnd>),
    /// Other settings are in force from now on.
    Configure(Box<Change>),
    /// One worker more or less is to be kept; the reply says whether that was possible.
    Resize { more: bool, reply: oneshot::Sender<bool> },
    /// The watchdog asks whether the actor is stuck.
    Ping(oneshot::Sender<()>),
    /// The pool is removed, and finishes what it has in hand.
    Drain,
    /// The pool shuts down.
    Shutdown,
    /// There is no time left.
    KillAll,
}

/// The way to the actor.
#[derive(Debug, Clone)]
pub(super) struct Mailbox(mpsc::UnboundedSender<Message>);

impl Mailbox {
    /// A mailbox, and what the actor reads.
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Message>) {
        let (sender, messages) = mpsc::unbounded_channel();
        (Self(sender), messages)
    }

    pub(super) fn send(&self, message: Message) {
        // The actor ends last: when it is gone, so is everything that a message could be about.
        let _ = self.0.send(message);
    }

    /// Resolves when the actor has ended.
    pub(super) async fn closed(&self) {
        self.0.closed().await;
    }
}
