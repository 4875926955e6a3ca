//! What requests, leases and the actor have in common: the idle workers, the seats, and the way to the actor.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tracing::warn;

use super::core::{Availability, Reason, WorkerId};
use super::idle::Idle;
use super::{Config, Error};
use crate::worker::{BootError, Exit, Fault, Link, Process, Slots, State, Status};

/// What requests, leases and the actor have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) idle: Idle<Link>,
    slots: Slots,
    seats: Mutex<BTreeMap<WorkerId, Seat>>,
    waiting: AtomicUsize,
    pub(super) availability: watch::Sender<Availability>,
    pub(super) actor: mpsc::UnboundedSender<Message>,
    max_queue_size: usize,
    pub(super) allocate_timeout: Duration,
    pub(super) abandon_ttl: Duration,
}

/// A worker's place among the others.
#[derive(Debug)]
struct Seat {
    slot: usize,
    status: Arc<Status>,
}

/// What the actor is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A start has ended.
    Boot(WorkerId, Box<Result<(Process, Box<Link>), BootError>>),
    /// A process is gone.
    Exited(WorkerId, Exit),
    /// A worker that has to leave is done with its request.
    Returned(Box<Link>),
    /// A worker has to leave, and nobody uses it.
    Leaving(Box<Link>, Reason),
    /// A worker cannot be talked to any more.
    Faulty(WorkerId),
    /// The pool ends.
    Shutdown,
    /// There is no time left.
    KillAll,
}

impl Shared {
    /// An empty pool, and what its actor will be told.
    pub(super) fn new(config: &Config) -> (Arc<Self>, mpsc::UnboundedReceiver<Message>) {
        let (actor, messages) = mpsc::unbounded_channel();
        let shared = Self {
            idle: Idle::new(),
            slots: Slots::new(Idle::<Link>::slots()),
            seats: Mutex::default(),
            waiting: AtomicUsize::new(0),
            availability: watch::Sender::new(Availability::Serving),
            actor,
            max_queue_size: config.max_queue_size,
            allocate_timeout: config.allocate_timeout,
            abandon_ttl: config.abandon_ttl,
        };
        (Arc::new(shared), messages)
    }

    pub(super) fn tell(&self, message: Message) {
        // The actor ends last: when it is gone, so is everything that could be told of.
        let _ = self.actor.send(message);
    }

    /// A worker that is done with its request.
    pub(super) fn give_back(&self, link: Box<Link>) {
        let status = Arc::clone(link.status());
        if status.is_retiring() {
            return self.tell(Message::Returned(link));
        }
        status.set_state(State::Ready);
        let slot = link.slot();
        self.idle.put(slot, link);
        // It may have been told to leave between the look and the return; then the actor did not find it among the idle.
        fence(SeqCst);
        if status.is_retiring()
            && let Some(link) = self.idle.remove(slot)
        {
            self.tell(Message::Returned(link));
        }
    }

    /// A worker that cannot be talked to any more. Resolves to how it ended.
    pub(super) fn faulty(&self, link: Box<Link>, fault: &Fault) -> impl Future<Output = Exit> + Send + use<> {
        let status = Arc::clone(link.status());
        if !matches!(fault, Fault::Closed(_) | Fault::Unsent) {
            warn!(target: "server", pid = status.pid(), error = %fault, "a worker broke the protocol and is replaced");
        }
        drop(link);
        // The end of its relay mostly means that it has exited or is about to; the actor gives it a moment, for its exit status.
        self.tell(Message::Faulty(status.id()));
        status.exited()
    }

    /// A worker is ready: it has a seat from now on, and is idle.
    pub(super) fn seat(&self, mut link: Box<Link>) {
        let status = Arc::clone(link.status());
        let Some(slot) = self.slots.take() else {
            warn!(target: "server", pid = status.pid(), "there is no place for another worker");
            return self.tell(Message::Leaving(link, Reason::Faulty));
        };
        self.seats().insert(status.id(), Seat { slot: slot.number(), status });
        link.sit_down(slot);
        self.give_back(link);
    }

    /// A worker is gone: nobody shall be sent to it, though it may have died while it was idle.
    pub(super) fn unseat(&self, id: WorkerId) {
        let link = self.take_idle(id);
        if let Some(seat) = self.seats().remove(&id) {
            seat.status.retire();
        }
        drop(link);
    }

    /// The link of a worker that has to leave, if it is idle.
    pub(super) fn take_idle(&self, id: WorkerId) -> Option<Box<Link>> {
        let slot = {
            let seats = self.seats();
            let seat = seats.get(&id)?;
            seat.status.retire();
            seat.slot
        };
        fence(SeqCst);
        let link = self.idle.remove(slot)?;
        if link.status().id() == id {
            return Some(link);
        }
        // The link is gone, and its slot is another's now.
        self.give_back(link);
        None
    }

    /// Turns everybody away, for good.
    pub(super) fn close(&self) {
        self.idle.close();
    }

    pub(super) fn announce(&self, availability: Availability) {
        self.availability.send_replace(availability);
    }

    /// How many requests wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// What is known of each worker, oldest first.
    pub(super) fn workers(&self) -> Vec<Arc<Status>> {
        self.seats().values().map(|seat| Arc::clone(&seat.status)).collect()
    }

    fn seats(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the line, if it is not too long.
    pub(super) fn queue(&self) -> Result<Place<'_>, Error> {
        let before = self.waiting.fetch_add(1, Relaxed);
        let place = Place { waiting: &self.waiting };
        if self.max_queue_size > 0 && before >= self.max_queue_size {
            return Err(Error::QueueFull { limit: self.max_queue_size });
        }
        Ok(place)
    }
}

/// A place in the line, given up on drop.
pub(super) struct Place<'a> {
    waiting: &'a AtomicUsize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Relaxed);
    }
}
