//! What workers are started from and live by: the settings of a pool, in one value that is replaced as a whole.
//!
//! Every worker keeps the recipe that it was started from, so a request reads the limits of its own worker, and no lock. A worker is
//! outdated when a newer generation is in force.
//!
//! How many workers there are is not part of it: that is the core's, and changes by events.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use super::core::Generation;
use super::policy::Limits;
use super::slow::Watch;
use super::{Config, Supervisor};
use crate::worker::Launch;

/// How often limits are checked where nothing says how often, and the shortest time between two checks.
const DEFAULT_TICK: Duration = Duration::from_secs(5);
const SHORTEST_TICK: Duration = Duration::from_millis(50);

/// The settings of one generation of workers.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    pub(super) generation: Generation,
    /// What is started.
    pub(super) launch: Arc<Launch>,
    /// Requests after which a worker is replaced.
    pub(super) max_jobs: Option<u64>,
    /// The longest time that one request may take.
    pub(super) exec_ttl: Option<Duration>,
    /// How long a worker may go on with a request that no caller waits for, where `exec_ttl` is not set.
    pub(super) abandon_ttl: Duration,
    /// How long a worker may take to leave.
    pub(super) destroy_timeout: Duration,
    /// What is checked from time to time.
    pub(super) limits: Limits,
    /// How often.
    pub(super) watch_tick: Duration,
    /// How long an added worker may be unused before it is stopped.
    pub(super) idle_timeout: Duration,
    /// Requests that may wait for a worker.
    pub(super) max_queue_size: Option<usize>,
    /// How long each of them may wait.
    pub(super) allocate_timeout: Duration,
    /// How long a streamed answer may go on when its worker has to leave.
    pub(super) stream_timeout: Duration,
    /// How long replacing all workers may take.
    pub(super) reset_timeout: Duration,
    /// Their requests that are slow, if these are logged.
    pub(super) slow: Option<Arc<Watch>>,
}

impl Recipe {
    /// The settings of the first generation, or of one that [`CurrentRecipe::replace`] gives its number.
    pub(super) fn new(config: &Config, launch: Launch) -> Self {
        let supervisor = config.supervisor.as_ref();
        let limits = supervisor.map_or_else(Limits::default, |supervisor| Limits {
            ttl: supervisor.ttl,
            idle_ttl: supervisor.idle_ttl,
            memory: supervisor.max_worker_memory.saturating_mul(1 << 20),
            memory_hard: hard_limit(supervisor),
        });
        let scaling = config.dynamic_allocator.as_ref();
        Self {
            generation: 0,
            launch: Arc::new(launch),
            max_jobs: Some(config.max_jobs).filter(|jobs| *jobs > 0),
            exec_ttl: supervisor.map(|supervisor| supervisor.exec_ttl).filter(|ttl| !ttl.is_zero()),
            abandon_ttl: config.abandon_ttl,
            destroy_timeout: config.destroy_timeout,
            limits,
            watch_tick: supervisor
                .map_or(DEFAULT_TICK, |supervisor| supervisor.watch_tick)
                .max(SHORTEST_TICK),
            idle_timeout: scaling.map_or(Duration::MAX, |scaling| scaling.idle_timeout),
            max_queue_size: Some(config.max_queue_size).filter(|size| *size > 0),
            allocate_timeout: config.allocate_timeout,
            stream_timeout: config.stream_timeout,
            reset_timeout: config.reset_timeout,
            slow: Watch::new(config.slow_after),
        }
    }
}

/// The bytes of memory past which a worker is killed; zero is no limit.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "bytes"
)]
fn hard_limit(supervisor: &Supervisor) -> u64 {
    (supervisor.max_worker_memory as f64 * supervisor.max_worker_memory_hard * f64::from(1 << 20)) as u64
}

/// The recipe in force. Only the pool's actor replaces it.
#[derive(Debug)]
pub(super) struct CurrentRecipe(RwLock<Arc<Recipe>>);

impl CurrentRecipe {
    pub(super) fn new(recipe: Recipe) -> Self {
        Self(RwLock::new(Arc::new(recipe)))
    }

    pub(super) fn get(&self) -> Arc<Recipe> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts other settings in force, for workers that are started from now on. They are of the same generation until the core begins the
    /// next one, which makes those that were started before outdated.
    pub(super) fn replace(&self, recipe: Recipe) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(Recipe { generation: current.generation, ..recipe });
    }

    /// Puts the same settings in force as another generation: what was started from them before is outdated.
    pub(super) fn renew(&self, generation: Generation) {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if current.generation != generation {
            *current = Arc::new(Recipe { generation, ..Recipe::clone(&current) });
        }
    }
}
