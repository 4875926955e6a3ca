//! Locks that have to be released whenever Redis can be asked: their owner has ended, or the answer to their claim was lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::client::Client;
use super::script::Call;
use crate::rpc::locks::owners::Key;

/// Locks to release, at most. Beyond that they end with their time to live.
const MAX_JOBS: usize = 10_000;

/// Between attempts: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// Releases locks in the background.
#[derive(Debug, Clone)]
pub(super) struct Releaser {
    client: Client,
    jobs: Arc<Mutex<HashMap<Key, Arc<Job>>>>,
}

#[derive(Debug)]
struct Job {
    /// Lets it try again now.
    nudge: Notify,
    is_done: watch::Sender<bool>,
}

impl Releaser {
    pub(super) fn new(client: Client) -> Self {
        Self { client, jobs: Arc::default() }
    }

    /// Runs `call` until it succeeds, or until the lock has expired by itself.
    pub(super) fn start(&self, key: Key, call: Call, until: Option<Instant>) {
        let job = Arc::new(Job { nudge: Notify::new(), is_done: watch::Sender::new(false) });
        {
            let mut jobs = self.jobs();
            // One job removes whatever the id may hold.
            if jobs.contains_key(&key) {
                return;
            }
            if jobs.len() >= MAX_JOBS {
                warn!(target: "lock", limit = MAX_JOBS, "too many locks to release, one is left to expire");
                return;
            }
            jobs.insert(key.clone(), Arc::clone(&job));
        }
        let releaser = self.clone();
        tokio::spawn(async move {
            releaser.attempt(&job, &call, until).await;
            releaser.jobs().remove(&key);
            job.is_done.send_replace(true);
        });
    }

    async fn attempt(&self, job: &Job, call: &Call, until: Option<Instant>) {
        let mut pause = FIRST_PAUSE;
        while until.is_none_or(|until| Instant::now() < until) {
            if self.client.run_here(call).await.is_ok() {
                return;
            }
            tokio::select! {
                () = sleep(pause) => {}
                () = job.nudge.notified() => {}
                () = expiry(until) => return,
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Waits until nothing is to be released of this id any more: a release that comes too late would take what a later claim has got.
    pub(super) async fn settled(&self, key: &Key) {
        let Some(job) = self.jobs().get(key).cloned() else { return };
        job.nudge.notify_one();
        // An error means that it is done as well.
        let _ = job.is_done.subscribe().wait_for(|is_done| *is_done).await;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.jobs().is_empty()
    }

    fn jobs(&self) -> MutexGuard<'_, HashMap<Key, Arc<Job>>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn expiry(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
