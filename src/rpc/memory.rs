//! What all connections together may hold, in bytes.
//!
//! Each connection may hold [`FREE`] without asking; what goes beyond that is taken from one budget that all of them share. A connection
//! that gets nothing stops reading, which its peer feels as backpressure. While somebody waits, those who hold a part of the budget for a
//! peer that is slow give it back.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

/// Bytes that all connections together may hold beyond what is free: arguments that have come or are coming, and replies that have not
/// been read.
pub(super) const MAX_TOTAL: usize = 128 << 20;

/// Bytes that each connection may hold without asking.
pub(super) const FREE: usize = 32 << 10;

/// The budget is given out in pieces of this many bytes.
const UNIT: usize = 4 << 10;

/// What a connection keeps, in pieces, though it does not need it just now: to take and give back costs more than that.
const SLACK: usize = 16;

/// How long a connection waits for memory before the call that it is reading is refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// The budget.
#[derive(Debug)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    /// How many wait.
    waiting: watch::Sender<usize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_TOTAL / UNIT)), waiting: watch::Sender::new(0) }
    }
}

impl Memory {
    async fn take(self: Arc<Self>, units: u32) -> Option<OwnedSemaphorePermit> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waits = Waits(&self.waiting);
        Arc::clone(&self.free).acquire_many_owned(units).await.ok()
    }
}

/// Somebody waits.
struct Waits<'a>(&'a watch::Sender<usize>);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// A connection's part of the budget, given back when it is dropped.
pub(super) struct Share {
    memory: Arc<Memory>,
    permit: Option<OwnedSemaphorePermit>,
    waiting: Option<Waiting>,
}

struct Waiting {
    grant: Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>,
    until: Instant,
}

impl Share {
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        Self { memory, permit: None, waiting: None }
    }

    /// Bytes that may be held now.
    pub(super) fn covered(&self) -> usize {
        FREE + self.units() * UNIT
    }

    /// Whether anything is taken from the budget.
    pub(super) fn is_in_use(&self) -> bool {
        self.permit.is_some()
    }

    /// Takes what is needed to hold so many bytes. False when there is not enough, and nothing has changed.
    pub(super) fn cover(&mut self, bytes: usize) -> bool {
        if bytes <= self.covered() {
            return true;
        }
        if self.waiting.is_some() {
            return false;
        }
        let Ok(missing) = u32::try_from(self.missing(bytes)) else { return false };
        match Arc::clone(&self.memory.free).try_acquire_many_owned(missing) {
            Ok(permit) => {
                self.merge(permit);
                true
            }
            Err(_) => false,
        }
    }

    /// Gives back what is not needed to hold so many bytes.
    pub(super) fn shrink(&mut self, bytes: usize) {
        let units = self.units();
        if units == 0 {
            return;
        }
        let needed = bytes.saturating_sub(FREE).div_ceil(UNIT);
        if needed == 0 {
            self.permit = None;
        } else if needed + SLACK <= units
            && let Some(permit) = &mut self.permit
        {
            drop(permit.split(units - needed));
        }
    }

    /// Waits from now on until so many bytes can be held.
    pub(super) fn wait_for(&mut self, bytes: usize) {
        let missing = u32::try_from(self.missing(bytes)).unwrap_or(u32::MAX);
        let grant = Box::pin(Arc::clone(&self.memory).take(missing));
        self.waiting = Some(Waiting { grant, until: Instant::now() + PATIENCE });
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Resolves when what was waited for is there, or when it has been waited for too long: then to false, and it goes on waiting.
    pub(super) async fn granted(&mut self) -> bool {
        let Some(waiting) = &mut self.waiting else { return std::future::pending().await };
        let permit = tokio::select! {
            // What is there counts, though it is late.
            biased;
            permit = &mut waiting.grant => permit,
            () = sleep_until(waiting.until) => {
                waiting.until += PATIENCE;
                return false;
            }
        };
        self.waiting = None;
        if let Some(permit) = permit {
            self.merge(permit);
        }
        true
    }

    /// Waits for nothing any more.
    pub(super) fn give_up(&mut self) {
        self.waiting = None;
    }

    /// Resolves at `since` or later, when another connection waits for memory.
    pub(super) fn wanted_by_others(&self, since: Instant) -> impl Future<Output = ()> + Send + use<> {
        let mut waiting = self.memory.waiting.subscribe();
        async move {
            sleep_until(since).await;
            if waiting.wait_for(|waiting| *waiting > 0).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn units(&self) -> usize {
        self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits)
    }

    fn missing(&self, bytes: usize) -> usize {
        bytes.saturating_sub(FREE).div_ceil(UNIT).saturating_sub(self.units())
    }

    fn merge(&mut self, permit: OwnedSemaphorePermit) {
        match &mut self.permit {
            Some(own) => own.merge(permit),
            None => self.permit = Some(permit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_free_needs_no_budget_and_the_rest_is_given_back() {
        let memory = Arc::new(Memory::default());
        let (mut one, mut other) = (Share::new(Arc::clone(&memory)), Share::new(Arc::clone(&memory)));
        assert!(one.cover(FREE) && !one.is_in_use());
        assert!(one.cover(FREE + MAX_TOTAL));
        assert!(!other.cover(FREE + 1) && other.cover(FREE));
        one.shrink(FREE + MAX_TOTAL / 2);
        assert!(other.cover(FREE + MAX_TOTAL / 2) && !other.cover(FREE + MAX_TOTAL / 2 + 1));
        drop(one);
        assert!(other.cover(FREE + MAX_TOTAL));
        other.shrink(0);
        assert!(!other.is_in_use());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_is_seen_by_those_who_hold_and_is_served_when_they_give_back() {
        let memory = Arc::new(Memory::default());
        let (mut one, mut other) = (Share::new(Arc::clone(&memory)), Share::new(memory));
        assert!(one.cover(FREE + MAX_TOTAL));
        let wanted = one.wanted_by_others(Instant::now() + PATIENCE * 2);
        other.wait_for(FREE + 1);
        assert!(!other.granted().await, "it is told that it takes long");
        tokio::select! {
            () = wanted => {}
            () = async { while !other.granted().await {} } => unreachable!("there is nothing to be had"),
        }
        one.shrink(0);
        assert!(other.granted().await && other.is_in_use());
    }
}
