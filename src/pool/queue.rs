//! A request on its way to a worker.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, oneshot};
use tokio::time::{Instant, sleep_until};

use super::Error;
use super::core::Availability;
use super::lease::Lease;
use super::shared::{Message, Shared};

/// A request that has waited for so long is worth another worker.
const PATIENCE: Duration = Duration::from_millis(20);

/// A request that needs a worker.
pub(super) struct Waiter<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) begin: Instant,
    pub(super) deadline: Option<Instant>,
}

impl Waiter<'_> {
    /// A worker for this request, if there is one in time.
    pub(super) async fn lease(&self) -> Result<Lease, Error> {
        let (lease, now) = if self.shared.one_shot.is_some() {
            (self.one_shot().await?, Instant::now())
        } else if let Some(connection) = self.shared.idle.try_take() {
            // There was no wait, and so no need to ask for the time.
            (Lease::new(connection, Arc::clone(self.shared)), self.begin)
        } else {
            (self.wait().await?, Instant::now())
        };
        match self.deadline {
            Some(deadline) if deadline <= now => Err(Error::DeadlineExceeded),
            _ => Ok(lease),
        }
    }

    /// Waits in the queue for an idle worker.
    async fn wait(&self) -> Result<Lease, Error> {
        let mut availability = self.shared.availability.subscribe();
        let place = self.shared.join_queue()?;
        let until = self.until();
        let mut down = pin!(availability.wait_for(|availability| *availability != Availability::Serving));
        let mut connection = pin!(self.shared.idle.take());
        let mut alarm = pin!(sleep_until(until.min(self.begin + PATIENCE)));
        let mut asked = false;
        loop {
            tokio::select! {
                biased;
                down = &mut down => return Err(match down.as_deref() {
                    Ok(Availability::Down(reason)) => Error::NoWorkers { reason: reason.clone() },
                    _ => Error::ShuttingDown,
                }),
                connection = &mut connection => {
                    let connection = connection.map_err(|_| Error::ShuttingDown)?;
                    place.served();
                    return Ok(Lease::new(connection, Arc::clone(self.shared)));
                }
                () = &mut alarm => {
                    if asked || Instant::now() >= until {
                        return Err(self.too_late());
                    }
                    asked = true;
                    self.shared.ask_for_more();
                    alarm.as_mut().reset(until);
                }
            }
        }
    }

    /// Waits until it may have a worker of its own.
    pub(super) async fn turn<'t>(&self, turns: &'t Semaphore) -> Result<SemaphorePermit<'t>, Error> {
        if let Ok(turn) = turns.try_acquire() {
            return Ok(turn);
        }
        let _place = self.shared.join_queue()?;
        match tokio::time::timeout_at(self.until(), turns.acquire()).await {
            Ok(turn) => turn.map_err(|_| Error::ShuttingDown),
            Err(_) => Err(self.too_late()),
        }
    }

    /// Waits for a worker that is started for this request.
    async fn one_shot(&self) -> Result<Lease, Error> {
        let (reply, lease) = oneshot::channel();
        self.shared.tell(Message::OneShot(reply));
        lease.await.unwrap_or(Err(Error::ShuttingDown))
    }

    fn until(&self) -> Instant {
        let patience = self.begin + self.shared.allocate_timeout;
        self.deadline.map_or(patience, |deadline| deadline.min(patience))
    }

    fn too_late(&self) -> Error {
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            Error::DeadlineExceeded
        } else {
            Error::Busy { waited: self.shared.allocate_timeout }
        }
    }
}
