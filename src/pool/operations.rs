//! What operators do with a pool: look at it, resize it, replace its workers.

use std::time::Duration;

use tokio::sync::oneshot::{self, error::RecvError};

use super::Pool;
use super::core::ResetEnd;
use super::counters::Present;
use super::mailbox::Message;
use super::recent::Recent;
use super::roster::WorkerInfo;
use super::stats::Stats;

/// Why a reset did not replace all workers. Those which were not replaced go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResetError {
    /// A new worker did not become ready: what was run, how it ended, and what it printed last.
    #[error("{0}")]
    Boot(String),
    /// It took longer than `pool.reset_timeout`.
    #[error("the workers were not replaced within {0:?} (pool.reset_timeout)")]
    Timeout(Duration),
    /// The pool shuts down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

impl ResetError {
    /// What the end of a reset means to one that has asked for it, with this time limit.
    pub(super) fn of(end: Result<ResetEnd, RecvError>, limit: Duration) -> Result<(), Self> {
        match end {
            Ok(ResetEnd::Done) => Ok(()),
            Ok(ResetEnd::BootFailed(reason)) => Err(Self::Boot(reason)),
            Ok(ResetEnd::TimedOut) => Err(Self::Timeout(limit)),
            Ok(ResetEnd::Closed) | Err(_) => Err(Self::ShuttingDown),
        }
    }
}

/// The pool shuts down and takes no more orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the server is shutting down")]
pub struct ShuttingDown;

impl Pool {
    /// Replaces every worker by one that is started now, in the working directory as it is resolved now. No request fails or waits for
    /// it: each old worker leaves, after the request in hand, when its successor is ready. During another reset, this one replaces what that
    /// one has started as well, and both end together.
    ///
    /// # Errors
    /// When a new worker does not become ready, or it takes too long: then the workers that are left go on.
    pub async fn reset(&self) -> Result<(), ResetError> {
        let (reply, end) = oneshot::channel();
        self.parts.mailbox.send(Message::Reset(reply));
        let end = end.await;
        ResetError::of(end, self.parts.recipe.get().reset_timeout)
    }

    /// Keeps one more worker from now on. `Ok(false)` when there are as many as there may be, or when each request has its own.
    ///
    /// # Errors
    /// When the pool shuts down.
    pub async fn add_worker(&self) -> Result<bool, ShuttingDown> {
        self.resize(true).await
    }

    /// Keeps one worker less from now on; one leaves after its request. `Ok(false)` when it would be the last one.
    ///
    /// # Errors
    /// When the pool shuts down.
    pub async fn remove_worker(&self) -> Result<bool, ShuttingDown> {
        self.resize(false).await
    }

    async fn resize(&self, more: bool) -> Result<bool, ShuttingDown> {
        let (reply, changed) = oneshot::channel();
        self.parts.mailbox.send(Message::Resize { more, reply });
        changed.await.map_err(|_| ShuttingDown)
    }

    /// Resolves when the actor has answered, which proves that it is not stuck. Never, if it has ended.
    pub async fn respond(&self) {
        let (reply, answer) = oneshot::channel();
        self.parts.mailbox.send(Message::Ping(reply));
        if answer.await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Whether requests are served: by a worker that is ready or busy, or by one that is about to be ready.
    pub fn is_ready(&self) -> bool {
        self.parts.queue.is_serving()
    }

    /// How many requests wait for a worker.
    pub fn waiting(&self) -> usize {
        self.parts.queue.len()
    }

    /// The workers that are ready, working or leaving, oldest first.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        self.parts.roster.workers(&self.parts.units)
    }

    /// What workers run, for people to read.
    pub fn command(&self) -> String {
        self.parts.recipe.get().launch.command().to_string()
    }

    /// What the pool has done so far.
    pub fn stats(&self) -> Stats {
        self.parts.counters.stats(|| {
            let (busy, capacity) = self.parts.roster.times();
            Present { waiting: self.waiting(), target: self.parts.roster.target(), busy, capacity }
        })
    }

    /// What went wrong lately.
    pub fn recent(&self) -> Recent {
        self.parts.recent.recent()
    }
}
