//! One pool under its name: how it is started, once or again and again.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::sleep;
use tracing::{debug, error};

use crate::compat;
use crate::pool::{self, Error, Pool, Recent, ResetError, ShuttingDown, Start, Stats, WorkerInfo};
use crate::worker;

/// The pauses between attempts to start a pool that is not required: 100 ms, doubling up to 10 s.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A pool and its name. One that is not required may be missing: it could not be started yet.
#[derive(Debug)]
pub struct NamedPool {
    start: Start,
    pool: OnceLock<Pool>,
    /// Why it is missing.
    missing: Mutex<String>,
}

/// Why a pool was not resized.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// The server shuts down.
    #[error(transparent)]
    ShuttingDown(#[from] ShuttingDown),
    /// The pool, which is not required, has not started yet.
    #[error("the pool has not started: {0}")]
    Missing(String),
}

/// Why a pool could not be started. The text begins with the setting that it is about, unless that is the command of the default pool.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Its `on_init` failed, and `exit_on_error` is set.
    #[error(transparent)]
    OnInit(#[from] worker::OnInitError),
    /// Its relay cannot listen, or its workers' user does not exist.
    #[error(transparent)]
    Setup(std::io::Error),
    /// A worker did not become ready.
    #[error("{0}")]
    Boot(String),
}

impl NamedPool {
    pub(super) fn new(start: Start) -> Self {
        Self { start, pool: OnceLock::new(), missing: Mutex::new("it is starting".into()) }
    }

    /// Its name: `centrifuge`, or `centrifuge.` and its key in `centrifuge.pools`.
    pub fn name(&self) -> &str {
        &self.start.name
    }

    /// Whether the server is ready only with this pool.
    pub fn is_required(&self) -> bool {
        self.start.required
    }

    /// Whether requests are served: by a worker that is ready or busy, or by one that is about to be ready.
    pub fn is_ready(&self) -> bool {
        self.pool.get().is_some_and(Pool::is_ready)
    }

    /// Replaces all workers; see [`Pool::reset`].
    ///
    /// # Errors
    /// See [`ResetError`].
    pub async fn reset(&self) -> Result<(), ResetError> {
        match self.pool.get() {
            Some(pool) => pool.reset().await,
            None => Err(ResetError::Boot(self.reason())),
        }
    }

    /// Keeps one worker more, or one less, from now on; see [`Pool::add_worker`] and [`Pool::remove_worker`].
    ///
    /// # Errors
    /// See [`ResizeError`].
    pub async fn resize(&self, more: bool) -> Result<bool, ResizeError> {
        let pool = self.pool.get().ok_or_else(|| ResizeError::Missing(self.reason()))?;
        Ok(if more { pool.add_worker().await } else { pool.remove_worker().await }?)
    }

    /// The pool, once it has started.
    ///
    /// # Errors
    /// [`Error::NoWorkers`] until then.
    #[inline]
    pub(super) fn running(&self) -> Result<&Pool, Error> {
        self.pool.get().ok_or_else(|| Error::NoWorkers { reason: self.reason() })
    }

    pub(super) fn workers(&self) -> Vec<WorkerInfo> {
        self.pool.get().map_or_else(Vec::new, Pool::workers)
    }

    /// What its workers run, for people to read.
    pub(super) fn command(&self) -> String {
        let Start { pool, server, .. } = &self.start;
        pool.command.as_ref().unwrap_or(&server.command).to_string()
    }

    pub(super) fn stats(&self) -> Stats {
        self.pool.get().map_or_else(Stats::default, Pool::stats)
    }

    pub(super) fn recent(&self) -> Recent {
        self.pool.get().map_or_else(Recent::default, Pool::recent)
    }

    /// Starts the pool, and waits until its workers are ready.
    ///
    /// # Errors
    /// When one of them does not become ready. What has been started is left to [`Pools::stop`](super::Pools::stop).
    pub(super) async fn start(&self) -> Result<(), StartError> {
        self.run_on_init().await?;
        let begun = async {
            let (pool, first_boot) = Pool::begin(&self.start).await?;
            let _ = self.pool.set(pool);
            first_boot.over().await
        };
        begun.await.map_err(|error| match (error, self.key()) {
            (pool::StartError::Setup(error), _) => StartError::Setup(error),
            (error, None) => StartError::Boot(error.to_string()),
            (error, Some(key)) => StartError::Boot(format!("centrifuge.pools.{key}: {error}")),
        })
    }

    /// Its key in `centrifuge.pools`.
    fn key(&self) -> Option<&str> {
        self.name().strip_prefix(compat::PLUGIN)?.strip_prefix('.')
    }

    /// Starts the pool, however long that takes.
    pub(super) async fn keep_starting(&self) {
        let mut pause = FIRST_PAUSE;
        while let Err(failure) = self.start().await {
            let (pool, reason) = (self.name(), failure.to_string());
            if *self.missing() == reason {
                debug!(target: "server", pool, error = reason, "cannot start pool");
            } else {
                error!(target: "server", pool, error = reason, "cannot start pool");
            }
            *self.missing() = reason;
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Runs its own `on_init`; that of the server has been run.
    async fn run_on_init(&self) -> Result<(), worker::OnInitError> {
        let Start { server, environment, .. } = &self.start;
        let Some(on_init) = &server.on_init else { return Ok(()) };
        let section = format!("centrifuge.pools.{}", self.key().unwrap_or_default());
        match worker::run_on_init(&section, on_init, server, environment).await {
            Err(reason) if on_init.exit_on_error => Err(reason),
            Err(reason) => {
                error!(target: "server", pool = self.name(), %reason, "on_init failed, starting the workers anyway");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn reason(&self) -> String {
        self.missing().clone()
    }

    fn missing(&self) -> MutexGuard<'_, String> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pool, if it has started, to be stopped.
    pub(super) fn started(&self) -> Option<&Pool> {
        self.pool.get()
    }
}
