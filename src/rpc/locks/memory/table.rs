//! The locks as methods use them: a mutex around the core, a channel per waiter, and a timer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::core::{Core, Outcome};
use crate::compat::Compat;
use crate::rpc::locks::claim::{Claim, Moment, Ticket, Token};
use crate::rpc::locks::limits::LimitReached;

/// Effectively never: the runtime's clock does not reach further.
const NEVER: Duration = Duration::from_hours(100 * 365 * 24);

/// How long a claim waits at least, under RoadRunner 3.
const SHORTEST_WAIT: Duration = Duration::from_millis(1);

/// All locks of this process.
#[derive(Debug)]
pub(crate) struct Table {
    shared: Arc<Shared>,
    /// How long a claim waits that does not say so.
    shortest_wait: Duration,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// Wakes the timer when the next alarm is earlier than it knows.
    rescheduled: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    core: Core,
    waiting: BTreeMap<Ticket, oneshot::Sender<Option<Token>>>,
    has_timer: bool,
}

impl Table {
    /// No locks yet, by the rules of this RoadRunner.
    pub(crate) fn new(rules: Compat) -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let core = Core::new(rules, Token::try_from(epoch).unwrap_or_default());
        let state = Mutex::new(State { core, ..State::default() });
        let rescheduled = Arc::new(Notify::new());
        let shared = Arc::new(Shared { origin: Instant::now(), state, rescheduled });
        Self { shared, shortest_wait: if rules.is_v3() { SHORTEST_WAIT } else { Duration::ZERO } }
    }

    /// Acquires a lock within the time that the claim may wait, and returns its token. `None` when that passes, or when its id holds the lock
    /// already.
    ///
    /// Dropping the future ends the wait, and releases a lock that was granted but not yet reported.
    ///
    /// # Errors
    /// When a limit is reached.
    pub(crate) async fn lock(&self, claim: Claim) -> Result<Option<Token>, LimitReached> {
        let claim = Claim { wait: claim.wait.max(self.shortest_wait), ..claim };
        let (resource, id) = (claim.resource.clone(), claim.id.clone());
        let begun = self.shared.with(|state, now| match state.core.claim(now, claim) {
            Outcome::Granted => Ok(Begun::Done(Some(state.core.last_token()))),
            Outcome::Refused => Ok(Begun::Done(None)),
            Outcome::LimitReached(limit) => Err(limit),
            Outcome::Waiting(ticket) => {
                let (sender, answer) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                Ok(Begun::Waiting(ticket, answer))
            }
        })?;
        match begun {
            Begun::Done(granted) => Ok(granted),
            Begun::Waiting(ticket, answer) => {
                let mut waiter = WaitGuard { shared: &self.shared, resource, id, ticket: Some(ticket) };
                let granted = answer.await.unwrap_or(None);
                waiter.ticket = None;
                Ok(granted)
            }
        }
    }

    /// Releases the lock of one owner; false when it has none.
    pub(crate) fn release(&self, resource: &str, id: &str) -> bool {
        self.shared.with(|state, now| state.core.release(now, resource, id))
    }

    /// Releases all locks of a resource; false when there are none.
    pub(crate) fn force_release(&self, resource: &str) -> bool {
        self.shared.with(|state, now| state.core.force_release(now, resource))
    }

    /// Whether an owner holds a resource; for `*`, whether any owner does.
    pub(crate) fn exists(&self, resource: &str, id: &str) -> bool {
        self.shared.with(|state, now| state.core.exists(now, resource, id))
    }

    /// Lets a lock expire `ttl` from now, or never. False when there is no such lock.
    pub(crate) fn update_ttl(&self, resource: &str, id: &str, ttl: Option<Duration>) -> bool {
        self.shared.with(|state, now| state.core.update_ttl(now, resource, id, ttl))
    }

    /// The number of resources that are locked.
    pub(crate) fn resources(&self) -> usize {
        self.shared.state().core.resources()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize, usize) {
        let state = self.shared.state();
        let (resources, entries) = state.core.size();
        (resources, entries, state.waiting.len())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // The timer ends, since there are no locks.
        self.shared.rescheduled.notify_one();
    }
}

enum Begun {
    Done(Option<Token>),
    Waiting(Ticket, oneshot::Receiver<Option<Token>>),
}

/// A place in the queue, left when this is dropped before its answer was taken.
struct WaitGuard<'a> {
    shared: &'a Arc<Shared>,
    resource: String,
    id: String,
    ticket: Option<Ticket>,
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.shared.with(|state, now| {
                state.waiting.remove(&ticket);
                state.core.leave(now, &self.resource, &self.id, ticket);
            });
        }
    }
}

impl Shared {
    /// Applies a change, answers waiters, and starts or wakes the timer.
    fn with<T>(self: &Arc<Self>, change: impl FnOnce(&mut State, Moment) -> T) -> T {
        let mut state = self.state();
        let alarm = state.core.next_alarm();
        let result = change(&mut state, self.origin.elapsed());
        state.answer();
        let next = state.core.next_alarm();
        if next.is_some() && !state.has_timer {
            state.has_timer = true;
            tokio::spawn(timer(Arc::downgrade(self), Arc::clone(&self.rescheduled)));
        } else if next.is_some_and(|next| alarm.is_none_or(|alarm| next < alarm)) {
            // A later one is found by the timer when it wakes up.
            self.rescheduled.notify_one();
        }
        result
    }

    /// Ends what is due, and returns when the next alarm is; `None` ends the timer.
    fn tick(&self) -> Option<Instant> {
        let mut state = self.state();
        state.core.advance(self.origin.elapsed());
        state.answer();
        let next = state.core.next_alarm();
        state.has_timer = next.is_some();
        next.map(|at| self.origin + at.min(NEVER))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn answer(&mut self) {
        for (ticket, granted) in self.core.take_answers() {
            if let Some(waiter) = self.waiting.remove(&ticket) {
                // A waiter that is going away gives the lock back: see `WaitGuard`.
                let _ = waiter.send(granted);
            }
        }
    }
}

/// Sleeps until the next alarm, until there is none.
async fn timer(shared: Weak<Shared>, rescheduled: Arc<Notify>) {
    while let Some(next) = shared.upgrade().and_then(|shared| shared.tick()) {
        tokio::select! {
            () = sleep_until(next) => {}
            () = rescheduled.notified() => {}
        }
        // Of many alarms at the same time, each tick executes a part.
        tokio::task::yield_now().await;
    }
}
