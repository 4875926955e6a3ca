//! The pool as its users see it: run a request, look at the workers, end it.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
    fence,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::warn;

use super::actor::{Actor, Message};
use super::core::{Availability, Reason, WorkerId};
use super::idle::Idle;
use super::lease::{Answer, Lease};
use super::{Config, Error};
use crate::worker::{self, Environment, Exit, Fault, Launcher, Link, Order, Slots, State, Status};

/// How long the workers that are ready may take to leave when another one could not be started at first.
const FAILED_START: Duration = Duration::from_secs(5);

/// What a pool is made of.
#[derive(Debug, Clone)]
pub struct Start {
    /// `centrifuge.pool`.
    pub pool: Config,
    /// `server`.
    pub server: worker::Config,
    /// Where workers run.
    pub environment: Environment,
    /// The largest frame in bytes that a worker may send.
    pub max_answer: usize,
}

/// The pool could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The relay cannot listen, or the workers' user does not exist.
    #[error(transparent)]
    Setup(#[from] std::io::Error),
    /// A worker did not become ready.
    #[error("{0}")]
    Boot(String),
}

/// A running pool. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

/// What requests, leases and the actor have in common.
#[derive(Debug)]
pub(super) struct Shared {
    idle: Idle<Link>,
    slots: Slots,
    seats: Mutex<BTreeMap<WorkerId, Seat>>,
    waiting: AtomicUsize,
    availability: watch::Sender<Availability>,
    actor: mpsc::UnboundedSender<Message>,
    max_queue_size: usize,
    allocate_timeout: Duration,
    pub(super) abandon_ttl: Duration,
}

/// A worker's place among the others.
#[derive(Debug)]
struct Seat {
    slot: usize,
    status: Arc<Status>,
}

impl Pool {
    /// Starts all workers and waits until they are ready.
    ///
    /// # Errors
    /// When one of them does not become ready; then none is left.
    pub async fn start(start: Start) -> Result<Self, StartError> {
        let config = &start.pool;
        let command = config.command.clone().unwrap_or_else(|| start.server.command.clone());
        let order = Order::new(config.fence);
        let patience = config.allocate_timeout;
        let launcher =
            Launcher::new(&start.server, command, &start.environment, order, patience, start.max_answer)
                .await?;
        let (sender, messages) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            idle: Idle::new(),
            slots: Slots::new(Idle::<Link>::slots()),
            seats: Mutex::default(),
            waiting: AtomicUsize::new(0),
            availability: watch::Sender::new(Availability::Serving),
            actor: sender,
            max_queue_size: config.max_queue_size,
            allocate_timeout: config.allocate_timeout,
            abandon_ttl: config.abandon_ttl,
        });
        let (booted, first_boot) = oneshot::channel();
        let actor = Actor::new(Arc::clone(&shared), launcher, config, booted);
        tokio::spawn(actor.run(messages));
        let pool = Self { shared };
        match first_boot.await {
            Ok(Ok(())) => Ok(pool),
            Ok(Err(reason)) => {
                pool.stop(Instant::now() + FAILED_START).await;
                Err(StartError::Boot(reason))
            }
            Err(_) => Err(StartError::Boot("the pool ended while it started".into())),
        }
    }

    /// Runs one request on a worker and gives the body of its answer.
    ///
    /// Waits in line for a worker as long as `pool.allocate_timeout`; a request whose `deadline` has passed is not run any more. The
    /// deadline is not watched over while a worker works: whoever calls drops the future then, and the worker goes on by itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec(&self, context: &[u8], body: Bytes, deadline: Option<Instant>) -> Result<Bytes, Error> {
        let mut patience = None;
        loop {
            let link = if let Some(link) = self.shared.idle.try_take() {
                link
            } else {
                let until = *patience.get_or_insert_with(|| Instant::now() + self.shared.allocate_timeout);
                self.wait(until).await?
            };
            let lease = Lease::new(link, Arc::clone(&self.shared));
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Err(Error::DeadlineExceeded { while_: "while waiting for a worker" });
            }
            match lease.exchange(context, body.clone()).await {
                Answer::Done(result) => return result,
                Answer::Again => {}
            }
        }
    }

    /// Waits in line.
    async fn wait(&self, until: Instant) -> Result<Box<Link>, Error> {
        let shared = &*self.shared;
        let mut availability = shared.availability.subscribe();
        let _place = shared.queue()?;
        let down = availability.wait_for(|availability| *availability != Availability::Serving);
        tokio::select! {
            biased;
            down = down => Err(match down.as_deref() {
                Ok(Availability::Down(reason)) => Error::NoWorkers { reason: reason.clone() },
                _ => Error::ShuttingDown,
            }),
            link = shared.idle.take() => link.map_err(|_| Error::ShuttingDown),
            () = tokio::time::sleep_until(until) => Err(Error::Busy { waited: shared.allocate_timeout }),
        }
    }

    /// How many requests wait for a worker.
    pub fn waiting(&self) -> usize {
        self.shared.waiting.load(Relaxed)
    }

    /// What is known of each worker that is ready, working or leaving, oldest first.
    pub fn workers(&self) -> Vec<Arc<Status>> {
        self.shared.seats().values().map(|seat| Arc::clone(&seat.status)).collect()
    }

    /// Ends the pool: workers leave after the request in hand, all at the same time. Those which have not left by `deadline` are killed.
    /// Resolves, when no process is left, to whether all left by themselves.
    pub async fn stop(&self, deadline: Instant) -> bool {
        self.shared.tell(Message::Shutdown);
        if tokio::time::timeout_at(deadline, self.ended()).await.is_ok() {
            return true;
        }
        warn!(target: "server", "some workers did not leave in time and are killed");
        self.shared.tell(Message::KillAll);
        self.ended().await;
        false
    }

    /// Resolves when no worker is left and none will be started.
    async fn ended(&self) {
        self.shared.actor.closed().await;
    }
}

impl Shared {
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

    fn seats(&self) -> MutexGuard<'_, BTreeMap<WorkerId, Seat>> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the line, if it is not too long.
    fn queue(&self) -> Result<Place<'_>, Error> {
        let before = self.waiting.fetch_add(1, Relaxed);
        let place = Place { waiting: &self.waiting };
        if self.max_queue_size > 0 && before >= self.max_queue_size {
            return Err(Error::QueueFull { limit: self.max_queue_size });
        }
        Ok(place)
    }
}

/// A place in the line, given up on drop.
struct Place<'a> {
    waiting: &'a AtomicUsize,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Relaxed);
    }
}
