//! What one pool still has to be told by its streams.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::figures::Reason;

/// Requests of one pool's streams that are in flight or in its queue.
const PUBLISHES: usize = 4096;
const ENDS: usize = 64;

/// The queues of one pool.
#[derive(Debug)]
pub(super) struct Queues<S> {
    pub(super) publishes: Semaphore,
    ends: Mutex<Ends<S>>,
    /// No end is left.
    done: Notify,
}

#[derive(Debug)]
struct Ends<S> {
    /// Bounded by the streams that there may be.
    waiting: VecDeque<(Arc<S>, Reason)>,
    running: usize,
    /// When the last loss was logged.
    warned: Option<Instant>,
}

impl<S> Queues<S> {
    pub(super) fn new() -> Self {
        let ends = Ends { waiting: VecDeque::new(), running: 0, warned: None };
        Self { publishes: Semaphore::new(PUBLISHES), ends: Mutex::new(ends), done: Notify::new() }
    }

    /// Adds an end. Returns whether another one may be handled at the same time: then its handling is counted already.
    pub(super) fn add_end(&self, stream: Arc<S>, reason: Reason) -> bool {
        let mut ends = self.ends();
        ends.waiting.push_back((stream, reason));
        let may_run = ends.running < ENDS;
        ends.running += usize::from(may_run);
        may_run
    }

    /// Resolves when all ends have been handled or given up.
    pub(super) async fn over(&self) {
        loop {
            let done = self.done.notified();
            if self.left() == 0 {
                return;
            }
            done.await;
        }
    }

    /// Ends that are not handled yet.
    pub(super) fn left(&self) -> usize {
        let ends = self.ends();
        ends.waiting.len() + ends.running
    }

    fn ends(&self) -> MutexGuard<'_, Ends<S>> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next end, or one running less.
    pub(super) fn next_end(&self) -> Option<(Arc<S>, Reason)> {
        let mut ends = self.ends();
        let next = ends.waiting.pop_front();
        if next.is_none() {
            ends.waiting = VecDeque::new();
            ends.running -= 1;
            let is_last = ends.running == 0;
            drop(ends);
            if is_last {
                self.done.notify_waiters();
            }
        }
        next
    }

    /// Whether a loss is to be logged: once a minute.
    pub(super) fn warns(&self) -> bool {
        let now = Instant::now();
        let mut ends = self.ends();
        let is_due = ends.warned.is_none_or(|last| now - last >= Duration::from_mins(1));
        ends.warned = if is_due { Some(now) } else { ends.warned };
        is_due
    }
}
