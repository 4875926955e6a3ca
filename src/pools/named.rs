//! One pool under its name: how it is started, once or again and again, and how it goes on with other settings.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::sleep;
use tracing::{debug, error};

use crate::compat;
use crate::pool::{self, Error, Pool, Recent, ResetError, ShuttingDown, Start, Stats, Trial, WorkerInfo};
use crate::worker;

/// The pauses between attempts to start a pool that is not required: 100 ms, doubling up to 10 s.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A pool and its name. One that is not required may be missing: it could not be started yet.
#[derive(Debug)]
pub struct NamedPool {
    name: Arc<str>,
    /// What it counts under; another pool of the same name has the same.
    number: usize,
    is_required: AtomicBool,
    /// Workers with older settings may be left: a reload could not replace all of them.
    is_mixed: AtomicBool,
    /// Its settings; a reload replaces them.
    start: Mutex<Arc<Start>>,
    pool: OnceLock<Pool>,
    /// The task that keeps starting it, if it is not required.
    starter: Mutex<Option<AbortHandle>>,
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
    /// Reloads have brought more names than can be counted by.
    #[error("there have been too many pools of different names: a restart is needed")]
    TooManyNames,
}

impl NamedPool {
    pub(super) fn new(start: Start, number: usize) -> Self {
        Self {
            name: Arc::clone(&start.name),
            number,
            is_required: AtomicBool::new(start.required),
            is_mixed: AtomicBool::new(false),
            start: Mutex::new(Arc::new(start)),
            pool: OnceLock::new(),
            starter: Mutex::default(),
            missing: Mutex::new("it is starting".into()),
        }
    }

    /// What its requests count under.
    pub(super) fn number(&self) -> usize {
        self.number
    }

    /// Its name: `centrifuge`, or `centrifuge.` and its key in `centrifuge.pools`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether the server is ready only with this pool.
    pub fn is_required(&self) -> bool {
        self.is_required.load(Relaxed)
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
            Some(pool) => pool.reset().await.inspect(|()| self.set_mixed(false)),
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
        match self.pool.get() {
            Some(pool) => pool.command(),
            None => self.settings().command().to_string(),
        }
    }

    /// Its settings.
    pub(super) fn settings(&self) -> Arc<Start> {
        Arc::clone(&self.start.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// It goes on with these settings.
    pub(super) fn set_settings(&self, start: Start) {
        self.is_required.store(start.required, Relaxed);
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(start);
    }

    /// Tries whether it can go on with these settings; see [`Pool::try_out`].
    ///
    /// # Errors
    /// When it cannot.
    pub(super) async fn try_out(
        &self,
        pool: &Pool,
        start: &Start,
        replaces: bool,
    ) -> Result<Trial, StartError> {
        pool.try_out(&self.settings(), start, replaces).await.map_err(|error| self.explain(error))
    }

    /// Whether workers with older settings may be left, so that the next reload has to replace them whatever it changes.
    pub(super) fn is_mixed(&self) -> bool {
        self.is_mixed.load(Relaxed)
    }

    pub(super) fn set_mixed(&self, mixed: bool) {
        self.is_mixed.store(mixed, Relaxed);
    }

    /// This task keeps starting it.
    pub(super) fn set_starter(&self, task: AbortHandle) {
        *self.starter.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Finishes what it has in hand, and ends; see [`Pool::drain`].
    pub(super) async fn drain(&self) {
        if let Some(task) = self.starter.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
        if let Some(pool) = self.pool.get() {
            pool.drain().await;
        }
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
            let (pool, first_boot) = Pool::begin(&self.settings()).await?;
            let _ = self.pool.set(pool);
            first_boot.over().await
        };
        begun.await.map_err(|error| self.explain(error))
    }

    fn explain(&self, error: pool::StartError) -> StartError {
        match (error, self.key()) {
            (pool::StartError::Setup(error), _) => StartError::Setup(error),
            (error, None) => StartError::Boot(error.to_string()),
            (error, Some(key)) => StartError::Boot(format!("centrifuge.pools.{key}: {error}")),
        }
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
        let start = self.settings();
        let Start { server, environment, .. } = &*start;
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
