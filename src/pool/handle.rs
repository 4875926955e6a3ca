//! The pool as its users see it: start it, run a request, stop it.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use super::acquire::Acquire;
use super::actor::Actor;
use super::attempts::Attempts;
use super::body::Body;
use super::counters::Counters;
use super::lease::{Answer, Answered};
use super::mailbox::{Mailbox, Message};
use super::one_shot::OneShots;
use super::parts::Parts;
use super::recipe::Recipe;
use super::request::{Request, Timings};
use super::stream::{AnswerStream, Opened};
use super::{Config, Error};
use crate::worker::{self, Codec, Environment, Launcher, Relays, Terms};

/// How long the workers that are ready may take to leave when another one could not be started at first.
const FAILED_START: Duration = Duration::from_secs(5);

/// What a pool is made of.
#[derive(Debug, Clone)]
pub struct Start {
    /// The pool's name, which its workers read from `CAUSEWAY_POOL`.
    pub name: Arc<str>,
    /// Whether the first workers must become ready. Otherwise the pool keeps trying to start them.
    pub required: bool,
    /// `centrifuge.pool`.
    pub pool: Config,
    /// `server`.
    pub server: worker::Config,
    /// The relays of all pools.
    pub relays: Relays,
    /// The setting that names its relay, for errors.
    pub relay_key: String,
    /// Where workers run.
    pub environment: Environment,
    /// The largest frame in bytes that a worker may send.
    pub max_message_size: usize,
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

/// The outcome of a pool's first boot, once there is one; at once if the pool is not required.
#[derive(Debug)]
#[must_use = "it is not waited for"]
pub struct FirstBoot(oneshot::Receiver<Result<(), String>>);

/// A running pool. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct Pool {
    pub(super) parts: Arc<Parts>,
    /// The actor's, as long as it runs.
    pub(super) launcher: Weak<Launcher>,
}

impl Pool {
    /// Starts all workers and waits until they are ready.
    ///
    /// # Errors
    /// When one of them does not become ready; then none is left.
    pub async fn start(start: Start) -> Result<Self, StartError> {
        let (pool, first_boot) = Self::begin(&start).await?;
        if let Err(error) = first_boot.over().await {
            pool.stop(Instant::now() + FAILED_START).await;
            return Err(error);
        }
        Ok(pool)
    }

    /// Begins to start all workers.
    ///
    /// # Errors
    /// See [`StartError::Setup`].
    pub async fn begin(start: &Start) -> Result<(Self, FirstBoot), StartError> {
        let config = &start.pool;
        let launcher =
            Launcher::bind(&start.server, config.allocate_timeout, &start.relays, &start.relay_key).await?;
        let launcher = Arc::new(launcher);
        let counters = Arc::new(Counters::new());
        let recipe = recipe(start, &launcher, &counters)?;
        let (mailbox, messages) = Mailbox::new();
        let (one_shots, asking) = OneShots::new(config.num_workers);
        let one_shots = config.debug.then_some(one_shots);
        let parts = Arc::new(Parts::new(&start.name, recipe, one_shots, mailbox, counters));
        let (booted, first_boot) = oneshot::channel();
        let pool = Self { parts: Arc::clone(&parts), launcher: Arc::downgrade(&launcher) };
        let actor = Actor::new(parts, launcher, config, start.required, booted);
        tokio::spawn(actor.run(messages, asking));
        Ok((pool, FirstBoot(first_boot)))
    }

    /// Runs one request on a worker and returns its answer.
    ///
    /// Waits in the queue for a worker as long as `pool.allocate_timeout`, and no longer than the request's deadline. A request that its
    /// worker did not handle waits anew, for another one. A request whose deadline has passed is not run any more. The deadline is not
    /// watched while a worker works: the caller drops the future then, and the worker goes on by itself. `timings` says how far it came.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec<B: Body>(
        &self,
        request: &Request<'_, B>,
        timings: &mut Timings,
    ) -> Result<Answered, Error> {
        match self.measured(request, false, timings).await? {
            Opened::Answer(answer) => Ok(answer),
            Opened::Stream(stream) => Err(Error::Streamed { pid: stream.pid() }),
        }
    }

    /// Runs one request whose answer may be streamed; for the rest see [`Self::exec`]. A streamed answer begins with its first message, and
    /// `exec_ttl` is the time until then. Its worker, or one unit of it, is held until the stream is over.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn open<B: Body>(
        &self,
        request: &Request<'_, B>,
        timings: &mut Timings,
    ) -> Result<Opened, Error> {
        self.measured(request, true, timings).await
    }

    async fn measured<B: Body>(
        &self,
        request: &Request<'_, B>,
        may_stream: bool,
        timings: &mut Timings,
    ) -> Result<Opened, Error> {
        let begin = Instant::now();
        timings.asked.get_or_insert(begin);
        let result = self.run(request, begin, may_stream, timings).await;
        let end = timings.done.unwrap_or_else(Instant::now);
        self.parts.counters.request(end.saturating_duration_since(begin), result.is_err());
        result
    }

    async fn run<B: Body>(
        &self,
        request: &Request<'_, B>,
        begin: Instant,
        may_stream: bool,
        timings: &mut Timings,
    ) -> Result<Opened, Error> {
        let Request { caller, kind, body, deadline, .. } = *request;
        let mut acquire = Acquire { parts: &self.parts, caller, kind, begin, deadline };
        let _turn = acquire.turn().await?;
        let mut attempts = Attempts::default();
        loop {
            let lease = acquire.lease().await?;
            match lease.exchange(request, may_stream, timings).await {
                Answer::Done(Ok(answer)) if answer.codec == Codec::Json => {
                    return body.answer(answer).await.map(Opened::Answer);
                }
                Answer::Done(result) => return result.map(Opened::Answer),
                Answer::Streams(lease) => return AnswerStream::of(lease).map(Opened::Stream),
                Answer::RefusedBy(worker) => {
                    attempts.refused(worker, self.parts.roster.newest())?;
                    acquire.begin = Instant::now();
                }
            }
        }
    }

    /// Shuts the pool down: workers leave after the request in hand, all at the same time. Those which have not left by `deadline` are killed.
    /// Resolves, when no process is left, to whether all left by themselves.
    pub async fn stop(&self, deadline: Instant) -> bool {
        self.parts.mailbox.send(Message::Shutdown);
        if tokio::time::timeout_at(deadline, self.ended()).await.is_ok() {
            return true;
        }
        let pool = self.parts.label();
        warn!(target: "server", pool, "shutdown deadline reached, killing the remaining workers");
        self.parts.mailbox.send(Message::KillAll);
        self.ended().await;
        false
    }

    /// Removes the pool, to which no request is routed any more: those that have come are finished, however long that takes, and each worker
    /// leaves after its last one. Resolves when no process is left. [`Self::stop`] may hurry it.
    pub(crate) async fn drain(&self) {
        self.parts.queue.emptied().await;
        self.parts.set_removed();
        self.parts.mailbox.send(Message::Drain);
        self.ended().await;
    }

    /// Resolves when no worker is left and none will be started.
    async fn ended(&self) {
        self.parts.mailbox.closed().await;
    }
}

impl FirstBoot {
    /// Waits until all workers are ready.
    ///
    /// # Errors
    /// When one of them does not become ready. The pool has shut down then, and [`Pool::stop`] waits for its end.
    pub async fn over(self) -> Result<(), StartError> {
        match self.0.await {
            Ok(result) => result.map_err(StartError::Boot),
            Err(_) => Err(StartError::Boot("the pool was stopped while it was starting".into())),
        }
    }
}

/// What workers are started from.
pub(super) fn recipe(start: &Start, launcher: &Launcher, counters: &Counters) -> std::io::Result<Recipe> {
    let Start { name, pool: config, server, environment, max_message_size, .. } = start;
    let terms = Terms {
        pool: Arc::clone(name),
        command: config.command.clone().unwrap_or_else(|| server.command.clone()),
        timeout: config.allocate_timeout,
        max_message_size: *max_message_size,
        fence: config.fence,
        codec: config.codec,
        concurrency: config.concurrency,
        asks_for_backtraces: !config.slow_after.is_zero(),
        waste: Arc::clone(counters.waste()),
    };
    Ok(Recipe::new(config, launcher.prepare(terms, server, environment)?))
}
