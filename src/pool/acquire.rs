//! A request on its way to a worker.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Error;
use super::caller::Caller;
use super::core::Availability;
use super::counters::{Counters, Rejection};
use super::lease::Lease;
use super::one_shot::OneShots;
use super::parts::Parts;
use super::permits::Permit;
use super::recipe::Recipe;
use crate::request_type::RequestType;

/// A request that has waited for so long is worth another worker.
const PATIENCE: Duration = Duration::from_millis(20);

/// The way of one request to a worker.
pub(super) struct Acquire<'a> {
    pub(super) parts: &'a Parts,
    pub(super) caller: Caller,
    pub(super) kind: RequestType,
    pub(super) begin: Instant,
    pub(super) deadline: Option<Instant>,
}

impl<'a> Acquire<'a> {
    /// In debug mode, waits until the request may have a worker of its own; it may as long as the result lives.
    pub(super) async fn turn(&self) -> Result<Option<Permit<'a>>, Error> {
        match &self.parts.one_shots {
            Some(one_shots) => {
                let wait = Wait::new(self);
                match self.turn_of(one_shots).await {
                    Ok(turn) => {
                        wait.goes_on();
                        Ok(Some(turn))
                    }
                    Err(error) => {
                        wait.over(Instant::now());
                        self.reject(&error);
                        Err(error)
                    }
                }
            }
            None => Ok(None),
        }
    }

    /// A worker for this request, if there is one in time.
    pub(super) async fn lease(&self) -> Result<Lease, Error> {
        let Parts { one_shots, units, counters, .. } = self.parts;
        let unit = if one_shots.is_none() { units.try_take() } else { None };
        let (lease, now) = if let Some(unit) = unit {
            // There was no wait, and so no need to ask for the time.
            counters.waited(self.kind, Duration::ZERO);
            (Lease::new(unit, Arc::clone(units), self.begin), self.begin)
        } else {
            let wait = Wait::new(self);
            let leased = match one_shots {
                Some(one_shots) => one_shots.lease().await.unwrap_or_else(|| Err(self.parts.closed())),
                None => self.wait().await,
            };
            let now = Instant::now();
            wait.over(now);
            (leased.inspect_err(|error| self.reject(error))?, now)
        };
        match self.deadline {
            Some(deadline) if deadline <= now => {
                counters.reject(Rejection::Deadline);
                Err(Error::DeadlineExceeded)
            }
            _ => Ok(lease.begin(self.kind, now, self.deadline)),
        }
    }

    /// Waits in the queue for an idle worker.
    async fn wait(&self) -> Result<Lease, Error> {
        let Parts { units, queue, recipe, .. } = self.parts;
        let mut availability = queue.availability();
        let recipe = recipe.get();
        let waiter = queue.join(recipe.max_queue_size)?;
        // A request that its worker did not handle waits anew.
        let begin = Instant::now();
        let until = self.until(begin, &recipe);
        let mut down = pin!(availability.wait_for(Availability::turns_away));
        let mut unit = pin!(units.take(self.caller));
        let mut alarm = pin!(sleep_until(until.min(begin + PATIENCE)));
        let mut asked = false;
        loop {
            tokio::select! {
                biased;
                down = &mut down => return Err(match down.as_deref() {
                    Ok(Availability::Down(reason)) => Error::NoWorkers { reason: reason.clone() },
                    _ => self.parts.closed(),
                }),
                unit = &mut unit => {
                    let unit = unit.map_err(|_| self.parts.closed())?;
                    waiter.served();
                    return Ok(Lease::new(unit, Arc::clone(units), begin));
                }
                () = &mut alarm => {
                    if asked || Instant::now() >= until {
                        return Err(self.too_late(&recipe));
                    }
                    asked = true;
                    queue.ask_for_more();
                    alarm.as_mut().reset(until);
                }
            }
        }
    }

    async fn turn_of(&self, one_shots: &'a OneShots) -> Result<Permit<'a>, Error> {
        if let Some(turn) = one_shots.turns.try_acquire() {
            return Ok(turn);
        }
        let recipe = self.parts.recipe.get();
        let _waiter = self.parts.queue.join(recipe.max_queue_size)?;
        match tokio::time::timeout_at(self.until(self.begin, &recipe), one_shots.turns.acquire(self.caller))
            .await
        {
            Ok(turn) => turn.map_err(|_| self.parts.closed()),
            Err(_) => Err(self.too_late(&recipe)),
        }
    }

    /// Counts a request that gets no worker, unless another pool answers it.
    fn reject(&self, error: &Error) {
        if *error != Error::Removed {
            self.parts.counters.reject(Rejection::of(error));
        }
    }

    /// When a wait that has begun then is over.
    fn until(&self, begin: Instant, recipe: &Recipe) -> Instant {
        let patience = begin + recipe.allocate_timeout;
        self.deadline.map_or(patience, |deadline| deadline.min(patience))
    }

    fn too_late(&self, recipe: &Recipe) -> Error {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            Error::DeadlineExceeded
        } else {
            Error::Busy { waited: recipe.allocate_timeout }
        }
    }
}

/// Counts how long a request waits, also if its caller goes away meanwhile.
struct Wait<'a> {
    counters: &'a Counters,
    kind: RequestType,
    since: Instant,
    is_over: bool,
}

impl<'a> Wait<'a> {
    fn new(acquire: &Acquire<'a>) -> Self {
        Self { counters: &acquire.parts.counters, kind: acquire.kind, since: acquire.begin, is_over: false }
    }

    /// The request waits for something else now, which counts from the same beginning.
    fn goes_on(mut self) {
        self.is_over = true;
    }

    fn over(mut self, now: Instant) {
        self.is_over = true;
        self.counters.waited(self.kind, now.saturating_duration_since(self.since));
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            self.counters.waited(self.kind, self.since.elapsed());
            self.counters.reject(Rejection::Cancelled);
        }
    }
}
