//! The locks as methods use them: a mutex around the core, a channel for each one who waits, and a timer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::core::{Claim, Core, Outcome, TooMuch};
use super::resource::{Moment, Ticket};

/// A moment so far away is never: the clock of the runtime does not reach further.
const NEVER: Duration = Duration::from_hours(100 * 365 * 24);

/// All locks.
#[derive(Debug)]
pub struct Locks {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// The next alarm is not when the timer believes.
    rescheduled: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    core: Core,
    waiting: BTreeMap<Ticket, oneshot::Sender<bool>>,
    has_timer: bool,
}

impl Default for Locks {
    fn default() -> Self {
        let rescheduled = Arc::new(Notify::new());
        Self { shared: Arc::new(Shared { origin: Instant::now(), state: Mutex::default(), rescheduled }) }
    }
}

impl Locks {
    /// Takes a lock, within the time that the claim may wait. False when it was not to be had, or when its id has it already.
    ///
    /// Dropping the future ends the wait, and a lock that it has been given and not told of.
    ///
    /// # Errors
    /// If there are too many.
    pub(crate) async fn lock(&self, claim: Claim) -> Result<bool, TooMuch> {
        let (resource, id) = (claim.resource.clone(), claim.id.clone());
        let begun = self.shared.with(|state, now| match state.core.claim(now, claim) {
            Outcome::Granted => Ok(Begun::Done(true)),
            Outcome::Refused => Ok(Begun::Done(false)),
            Outcome::TooMuch(bound) => Err(bound),
            Outcome::Waiting(ticket) => {
                let (sender, answer) = oneshot::channel();
                state.waiting.insert(ticket, sender);
                Ok(Begun::Waiting(ticket, answer))
            }
        })?;
        match begun {
            Begun::Done(granted) => Ok(granted),
            Begun::Waiting(ticket, answer) => {
                let mut place = Place { shared: &self.shared, resource, id, ticket: Some(ticket) };
                let granted = answer.await.unwrap_or(false);
                place.ticket = None;
                Ok(granted)
            }
        }
    }

    /// Ends the lock of one owner; false when it has none.
    pub(crate) fn release(&self, resource: &str, id: &str) -> bool {
        self.shared.with(|state, now| state.core.release(now, resource, id))
    }

    /// Ends all locks of a resource; false when there are none.
    pub(crate) fn force_release(&self, resource: &str) -> bool {
        self.shared.with(|state, now| state.core.force_release(now, resource))
    }

    /// Whether an owner has a lock on a resource, or, for `*`, anybody.
    pub(crate) fn exists(&self, resource: &str, id: &str) -> bool {
        self.shared.with(|state, now| state.core.exists(now, resource, id))
    }

    /// Lets a lock end after `ttl` from now; none: not by itself. False when there is no such lock.
    pub(crate) fn update_ttl(&self, resource: &str, id: &str, ttl: Option<Duration>) -> bool {
        self.shared.with(|state, now| state.core.update_ttl(now, resource, id, ttl))
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> (usize, usize, usize) {
        let state = self.shared.state();
        let (resources, entries) = state.core.size();
        (resources, entries, state.waiting.len())
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        // The timer sees that nobody is there.
        self.shared.rescheduled.notify_one();
    }
}

enum Begun {
    Done(bool),
    Waiting(Ticket, oneshot::Receiver<bool>),
}

/// A place in the line. It is given up when it is dropped before its answer has been taken.
struct Place<'a> {
    shared: &'a Arc<Shared>,
    resource: String,
    id: String,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
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
    /// Changes something, tells those who wait what has become of them, and sees to the timer.
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
            // One that is later, or none, the timer finds when it wakes up.
            self.rescheduled.notify_one();
        }
        result
    }

    /// Ends what is over, and tells when to look again. None: not before somebody starts a timer again.
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
                // Whoever is about to go away gives back what it was given: see `Place`.
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
        // Of many that end at the same time, each look carries out a part.
        tokio::task::yield_now().await;
    }
}
