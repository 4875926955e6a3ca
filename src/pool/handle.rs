//! The pool as its users see it: run a request, look at the workers, end it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::warn;

use super::actor::Actor;
use super::lease::{Answer, Answered};
use super::queue::Waiter;
use super::shared::{Message, Shared};
use super::{Config, Error};
use crate::worker::{self, Environment, Launcher, Order, Status};

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
    pub(super) shared: Arc<Shared>,
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
        let (shared, messages) = Shared::new(config);
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

    /// Runs one request on a worker and gives its answer.
    ///
    /// Waits in the queue for a worker as long as `pool.allocate_timeout`, and no longer than the `deadline`; a request whose deadline has
    /// passed is not run any more. The deadline is not watched over while a worker works: whoever calls drops the future then, and the
    /// worker goes on by itself.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn exec(
        &self,
        context: &[u8],
        body: Bytes,
        deadline: Option<Instant>,
    ) -> Result<Answered, Error> {
        let begin = Instant::now();
        let result = self.run(context, body, begin, deadline).await;
        self.shared.counters.request(begin.elapsed(), result.is_err());
        result
    }

    async fn run(
        &self,
        context: &[u8],
        body: Bytes,
        begin: Instant,
        deadline: Option<Instant>,
    ) -> Result<Answered, Error> {
        let waiter = Waiter { shared: &self.shared, begin, deadline };
        // One at a time may have a worker of its own, until its answer.
        let _turn = match &self.shared.one_shot {
            Some(turns) => Some(waiter.turn(turns).await?),
            None => None,
        };
        loop {
            match waiter.lease().await?.exchange(context, body.clone()).await {
                Answer::Done(result) => return result,
                Answer::Again => {}
            }
        }
    }

    /// How many requests wait for a worker.
    pub fn waiting(&self) -> usize {
        self.shared.waiting()
    }

    /// What is known of each worker that is ready, working or leaving, oldest first.
    pub fn workers(&self) -> Vec<Arc<Status>> {
        self.shared.workers()
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
