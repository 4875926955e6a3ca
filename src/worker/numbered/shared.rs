//! What the holders of units and the driver of a connection share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::numbers::Numbers;
use super::queue::Queue;
use super::requests::Requests;
use crate::goridge::Codec;
use crate::worker::outcome::Fault;
use crate::worker::status::Status;

/// The connection, as far as its requests are concerned.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) status: Arc<Status>,
    pub(super) codec: Codec,
    /// What the worker knows the requests by.
    pub(super) numbers: Numbers,
    state: Mutex<State>,
}

/// Locked for moments only, and never across a wait.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) requests: Requests,
    pub(super) queue: Queue,
    pub(super) farewell: Farewell,
    /// The worker was told that it gets no new requests.
    pub(super) drained: bool,
    /// Why the connection has ended.
    pub(super) ended: Option<Fault>,
    pub(super) waits: Waits,
    /// Wakes the driver; none while it is awake, or about to be.
    pub(super) driver: Option<Waker>,
    /// Who waits for the end of the farewell.
    pub(super) leaver: Option<Waker>,
}

impl State {
    /// Whether there is something to write.
    pub(super) fn has_work(&self) -> bool {
        match self.farewell {
            Farewell::None => !self.queue.is_empty(),
            Farewell::Asked => !self.queue.is_closed(),
            // Nothing follows the stop frame.
            Farewell::Begun | Farewell::Said => false,
        }
    }
}

/// How far the farewell is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Farewell {
    #[default]
    None,
    /// The stop frame is to be written when everything else was.
    Asked,
    /// It is being written.
    Begun,
    /// It was written, and our side is closed.
    Said,
}

/// How long the connection has waited for memory, ever.
#[derive(Debug, Default)]
pub(super) struct Waits {
    before: Duration,
    since: Option<Instant>,
}

impl Waits {
    pub(super) fn total(&self) -> Duration {
        self.before + self.since.map(|since| since.elapsed()).unwrap_or_default()
    }

    pub(super) fn are_going_on(&self) -> bool {
        self.since.is_some()
    }

    pub(super) fn set(&mut self, waiting: bool) {
        if waiting {
            self.since.get_or_insert_with(Instant::now);
        } else if self.since.is_some() {
            self.before = self.total();
            self.since = None;
        }
    }
}

impl Shared {
    pub(super) fn new(status: Arc<Status>, codec: Codec) -> Arc<Self> {
        Arc::new(Self { status, codec, numbers: Numbers::new(), state: Mutex::default() })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state. Then wakes the driver if it has something to write now, and whoever else is to be woken.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, driver, woken) = {
            let mut state = self.lock();
            let had_work = state.has_work();
            let result = change(&mut state);
            let is_news = !had_work && state.has_work();
            let driver = if is_news { state.driver.take() } else { None };
            let woken = state.requests.woken();
            // Mostly nobody, and then the memory is kept.
            let woken = if woken.is_empty() { Vec::new() } else { std::mem::take(woken) };
            (result, driver, woken)
        };
        driver.into_iter().chain(woken).for_each(Waker::wake);
        result
    }
}
