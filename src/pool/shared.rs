//! What requests, leases and the actor have in common: the idle workers, their slots, and the way to the actor.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tracing::warn;

use super::core::{Availability, Reason, ResetEnd, WorkerId};
use super::idle::Idle;
use super::lease::Lease;
use super::stats::{Counters, Stats};
use super::{Config, Error};
use crate::single_flight::SingleFlight;
use crate::worker::{BootError, Connection, Exit, Fault, Process, Slots, State, Status, Usage};

/// What requests, leases and the actor have in common.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) idle: Idle<Connection>,
    slots: Slots,
    slots_taken: Mutex<BTreeMap<WorkerId, Assigned>>,
    waiting: AtomicUsize,
    pub(super) availability: watch::Sender<Availability>,
    pub(super) actor: mpsc::UnboundedSender<Message>,
    pub(super) counters: Counters,
    /// What process groups use, by their numbers.
    pub(super) usage: SingleFlight<HashMap<u32, Usage>>,
    /// How many workers are kept, for those who ask.
    target: AtomicUsize,
    /// Whether it is of use to tell the actor of requests that wait.
    can_grow: AtomicBool,
    /// How many workers have to leave and were not found idle.
    leaving: AtomicUsize,
    /// In debug mode: how many requests may have a worker of their own at once.
    pub(super) one_shot: Option<Semaphore>,
    max_jobs: u64,
    max_queue_size: usize,
    pub(super) allocate_timeout: Duration,
    pub(super) reset_timeout: Duration,
    pub(super) abandon_ttl: Duration,
    /// The longest time for one request.
    pub(super) exec_ttl: Option<Duration>,
}

/// Where a worker goes that was started for one request.
pub(super) type OneShotReply = oneshot::Sender<Result<Lease, Error>>;

/// A worker that has a slot.
#[derive(Debug)]
struct Assigned {
    slot: usize,
    status: Arc<Status>,
}

/// What the actor is told.
#[derive(Debug)]
pub(super) enum Message {
    /// A start has ended.
    Boot(WorkerId, Box<Result<(Process, Box<Connection>), BootError>>),
    /// A process is gone.
    Exited(WorkerId, Exit),
    /// A worker that has to leave is done with its request.
    Returned(Box<Connection>),
    /// A worker has to leave, and nobody uses it.
    Leaving(Box<Connection>, Reason),
    /// A worker cannot be talked to any more.
    Faulty(WorkerId),
    /// A worker is to be replaced.
    Due(WorkerId, Reason),
    /// A worker goes on with a request that nobody waits for.
    Abandoned(WorkerId),
    /// It is done with it.
    CameBack(WorkerId),
    /// A request has waited for a while.
    Waiting,
    /// A request has left the queue without a worker while workers that have to leave were not found.
    LeftQueue,
    /// The resident memory of process groups, in bytes.
    Measured(HashMap<u32, u64>),
    /// A request wants a worker of its own.
    OneShot(OneShotReply),
    /// All workers are to be replaced.
    Reset(oneshot::Sender<ResetEnd>),
    /// One worker more or less is to be kept; the reply says whether that was possible.
    Resize { more: bool, reply: oneshot::Sender<bool> },
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
            slots: Slots::new(Idle::<Connection>::slots()),
            slots_taken: Mutex::default(),
            waiting: AtomicUsize::new(0),
            availability: watch::Sender::new(Availability::Serving),
            actor,
            counters: Counters::new(),
            usage: SingleFlight::default(),
            target: AtomicUsize::new(0),
            can_grow: AtomicBool::new(false),
            leaving: AtomicUsize::new(0),
            one_shot: config.debug.then(|| Semaphore::new(config.num_workers)),
            max_jobs: config.max_jobs,
            max_queue_size: config.max_queue_size,
            allocate_timeout: config.allocate_timeout,
            reset_timeout: config.reset_timeout,
            abandon_ttl: config.abandon_ttl,
            exec_ttl: config.supervisor.as_ref().map(|limits| limits.exec_ttl).filter(|ttl| !ttl.is_zero()),
        };
        (Arc::new(shared), messages)
    }

    pub(super) fn tell(&self, message: Message) {
        // The actor ends last: when it is gone, so is everything that could be told of.
        let _ = self.actor.send(message);
    }

    /// A worker that is done with its request.
    pub(super) fn give_back(&self, connection: Box<Connection>) {
        let status = Arc::clone(connection.status());
        if status.is_retiring() {
            return self.tell(Message::Returned(connection));
        }
        if self.max_jobs > 0 && status.executions() >= self.max_jobs && status.is_first_mark() {
            self.tell(Message::Due(status.id(), Reason::MaxJobs));
        }
        status.set_state(State::Ready);
        let slot = connection.slot();
        self.idle.put(slot, connection);
        // It may have been told to leave between the look and the return; then the actor did not find it among the idle.
        fence(SeqCst);
        if status.is_retiring()
            && let Some(connection) = self.idle.remove(slot)
        {
            self.tell(Message::Returned(connection));
        }
    }

    /// A worker that cannot be talked to any more. Resolves to how it ended.
    pub(super) fn faulty(
        &self,
        connection: Box<Connection>,
        fault: &Fault,
    ) -> impl Future<Output = Exit> + Send + use<> {
        let status = Arc::clone(connection.status());
        if !matches!(fault, Fault::Closed(_) | Fault::Unsent) {
            warn!(target: "server", pid = status.pid(), error = %fault, "a worker broke the protocol and is replaced");
        }
        drop(connection);
        // The end of its relay mostly means that it has exited or is about to; the actor gives it a moment, for its exit status.
        self.tell(Message::Faulty(status.id()));
        status.exited()
    }

    /// A worker is ready: it gets a slot, and is idle.
    pub(super) fn admit(&self, connection: Box<Connection>) {
        match self.assign_slot(connection) {
            Ok(connection) => self.give_back(connection),
            Err(connection) => self.tell(Message::Leaving(connection, Reason::Faulty)),
        }
    }

    /// A worker is ready for its one request: it gets a slot, and no other request gets it. Returns it when no slot is free.
    pub(super) fn admit_for_one(
        &self,
        connection: Box<Connection>,
    ) -> Result<Box<Connection>, Box<Connection>> {
        connection.status().retire();
        self.assign_slot(connection)
    }

    fn assign_slot(&self, mut connection: Box<Connection>) -> Result<Box<Connection>, Box<Connection>> {
        let status = Arc::clone(connection.status());
        let Some(slot) = self.slots.take() else {
            warn!(target: "server", pid = status.pid(), "worker limit reached");
            return Err(connection);
        };
        self.slots_taken().insert(status.id(), Assigned { slot: slot.number(), status });
        connection.assign_slot(slot);
        Ok(connection)
    }

    /// A worker is gone: nobody shall be sent to it, though it may have died while it was idle.
    pub(super) fn release_slot(&self, id: WorkerId) {
        let connection = self.take_idle(id);
        if let Some(seat) = self.slots_taken().remove(&id) {
            seat.status.retire();
        }
        drop(connection);
    }

    /// The connection of a worker that has to leave, if it is idle.
    pub(super) fn take_idle(&self, id: WorkerId) -> Option<Box<Connection>> {
        let slot = {
            let slots_taken = self.slots_taken();
            let seat = slots_taken.get(&id)?;
            seat.status.retire();
            seat.slot
        };
        fence(SeqCst);
        let connection = self.idle.remove(slot)?;
        if connection.status().id() == id {
            return Some(connection);
        }
        // The connection is gone, and its slot is another's now.
        self.give_back(connection);
        None
    }

    /// Turns everybody away, for good.
    pub(super) fn close(&self) {
        self.idle.close();
    }

    pub(super) fn announce(&self, availability: Availability) {
        self.availability.send_replace(availability);
    }

    /// What the core has decided about the size of the pool.
    pub(super) fn tell_size(&self, target: usize, can_grow: bool) {
        self.target.store(target, Relaxed);
        self.can_grow.store(can_grow, Relaxed);
    }

    /// A request has waited for a while: perhaps there can be more workers.
    pub(super) fn ask_for_more(&self) {
        if self.can_grow.load(Relaxed) {
            self.tell(Message::Waiting);
        }
    }

    /// So many workers have to leave and were not found idle yet. To be called before they are looked for.
    pub(super) fn set_leaving(&self, count: usize) {
        self.leaving.store(count, SeqCst);
        fence(SeqCst);
    }

    pub(super) fn stats(&self) -> Stats {
        self.counters.stats(self.waiting(), self.target.load(Relaxed))
    }

    /// How many requests wait for a worker.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// What is known of each worker, oldest first.
    pub(super) fn workers(&self) -> Vec<Arc<Status>> {
        self.slots_taken().values().map(|seat| Arc::clone(&seat.status)).collect()
    }

    fn slots_taken(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Assigned>> {
        self.slots_taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the queue, if it is not full.
    pub(super) fn join_queue(&self) -> Result<Queued<'_>, Error> {
        let before = self.waiting.fetch_add(1, Relaxed);
        let place = Queued { shared: self, served: false };
        if self.max_queue_size > 0 && before >= self.max_queue_size {
            return Err(Error::QueueFull { limit: self.max_queue_size });
        }
        Ok(place)
    }
}

/// A place in the queue, given up on drop.
pub(super) struct Queued<'a> {
    shared: &'a Shared,
    served: bool,
}

impl Queued<'_> {
    /// A worker has been found.
    pub(super) fn served(mut self) {
        self.served = true;
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Relaxed);
        // An idle worker that has to leave may have been promised to this request, and is nobody's again.
        fence(SeqCst);
        if !self.served && self.shared.leaving.load(SeqCst) > 0 {
            self.shared.tell(Message::LeftQueue);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_that_leaves_the_queue_unserved_triggers_a_search_for_leaving_workers() {
        let (shared, mut messages) = Shared::new(&Config { num_workers: 1, ..Config::default() });
        drop(shared.join_queue().unwrap());
        shared.set_leaving(1);
        shared.join_queue().unwrap().served();
        assert!(messages.try_recv().is_err());
        drop(shared.join_queue().unwrap());
        assert!(matches!(messages.try_recv(), Ok(Message::LeftQueue)));
    }

    #[test]
    fn a_full_queue_refuses_and_a_dropped_request_leaves_it() {
        let (shared, _messages) = Shared::new(&Config { max_queue_size: 1, ..Config::default() });
        let place = shared.join_queue().unwrap();
        assert_eq!(shared.join_queue().err(), Some(Error::QueueFull { limit: 1 }));
        assert_eq!(shared.waiting(), 1);
        drop(place);
        assert!(shared.join_queue().is_ok());
        assert_eq!(shared.waiting(), 0);
    }
}
