//! The waiters of this server, in the order of their arrival: for each resource, only the first asks Redis.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rpc::locks::claim::Claim;
use crate::rpc::locks::limits::{LimitReached, MAX_BYTES, MAX_ENTRIES, MAX_OF_ONE, size};

/// All queues.
#[derive(Debug, Clone, Default)]
pub(super) struct Queues(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    queues: HashMap<Arc<str>, Queue>,
    waiters: usize,
    /// What they count as.
    bytes: usize,
}

#[derive(Debug)]
struct Queue {
    /// One permit, granted in the order of arrival.
    turn: Arc<Semaphore>,
    waiters: usize,
}

/// A claim that is counted until this is dropped.
pub(super) struct Waiter {
    queues: Queues,
    resource: Arc<str>,
    turn: Arc<Semaphore>,
    bytes: usize,
}

/// The right to ask Redis on behalf of a queue.
pub(super) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Queues {
    /// Joins the queue of a resource.
    ///
    /// # Errors
    /// If a limit is reached.
    pub(super) fn join(&self, claim: &Claim) -> Result<Waiter, LimitReached> {
        let bytes = size(&claim.resource, &claim.id);
        let mut state = self.state();
        let of_one = state.queues.get(claim.resource.as_str()).map_or(0, |queue| queue.waiters);
        if state.waiters >= MAX_ENTRIES {
            return Err(LimitReached::Entries);
        }
        if of_one >= MAX_OF_ONE {
            return Err(LimitReached::OfOne);
        }
        if state.bytes + bytes > MAX_BYTES {
            return Err(LimitReached::Bytes);
        }
        state.waiters += 1;
        state.bytes += bytes;
        let resource: Arc<str> = claim.resource.as_str().into();
        let queue = || Queue { turn: Arc::new(Semaphore::new(1)), waiters: 0 };
        let queue = state.queues.entry(Arc::clone(&resource)).or_insert_with(queue);
        queue.waiters += 1;
        Ok(Waiter { queues: self.clone(), resource, turn: Arc::clone(&queue.turn), bytes })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let state = self.state();
        state.queues.is_empty() && (state.waiters, state.bytes) == (0, 0)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The turn, if no other waiter has it or waits for it.
    pub(super) fn try_turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).try_acquire_owned().ok().map(|permit| Turn { _permit: permit })
    }

    /// Waits for the turn.
    pub(super) async fn turn(&self) -> Option<Turn> {
        Arc::clone(&self.turn).acquire_owned().await.ok().map(|permit| Turn { _permit: permit })
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut state = self.queues.state();
        state.waiters -= 1;
        state.bytes -= self.bytes;
        if let Some(queue) = state.queues.get_mut(&self.resource) {
            queue.waiters -= 1;
            if queue.waiters == 0 {
                state.queues.remove(&self.resource);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::rpc::locks::claim::Mode;

    fn claim(resource: &str) -> Claim {
        let wait = Duration::from_secs(1);
        let (id, mode) = ("a".into(), Mode::Write);
        Claim { resource: resource.into(), id, mode, ttl: None, wait, is_fenced: false }
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_arrival_and_waiters_that_have_gone_are_passed_over() {
        let queues = Queues::default();
        let waiters: Vec<Waiter> = (0..4).map(|_| queues.join(&claim("r")).unwrap()).collect();
        let turn = waiters[0].try_turn().unwrap();
        assert!(waiters[1].try_turn().is_none());
        let other = queues.join(&claim("other")).unwrap();
        assert!(other.try_turn().is_some());
        let (order, mut turns) = tokio::sync::mpsc::unbounded_channel();
        let mut waiting = Vec::new();
        for (number, waiter) in waiters.into_iter().enumerate().skip(1) {
            let order = order.clone();
            waiting.push(tokio::spawn(async move {
                let turn = waiter.turn().await;
                order.send(number).unwrap();
                drop(turn);
            }));
            // It has joined the line of the semaphore.
            tokio::task::yield_now().await;
        }
        let gone = waiting.remove(1);
        gone.abort();
        assert!(gone.await.is_err());
        drop(turn);
        assert_eq!((turns.recv().await, turns.recv().await), (Some(1), Some(3)));
        for task in waiting {
            task.await.unwrap();
        }
        drop(other);
        assert!(queues.is_empty());
    }

    #[test]
    fn waiters_have_limits() {
        let queues = Queues::default();
        let waiters: Vec<Waiter> = (0..MAX_OF_ONE).map(|_| queues.join(&claim("r")).unwrap()).collect();
        assert_eq!(queues.join(&claim("r")).err(), Some(LimitReached::OfOne));
        assert!(queues.join(&claim("other")).is_ok());
        drop(waiters);
        assert!(queues.is_empty());
        let long = "x".repeat(1 << 20);
        let waiters: Vec<Waiter> = (0..63).map(|_| queues.join(&claim(&long)).unwrap()).collect();
        assert_eq!(queues.join(&claim(&long)).err(), Some(LimitReached::Bytes));
        drop(waiters);
    }
}
