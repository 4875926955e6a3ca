//! The memory budget of all connections.
//!
//! Each connection may hold [`FREE`] bytes; more is taken from one budget that all of them share. A connection that gets nothing stops
//! reading, which is backpressure for its peer. While one waits, those that hold a part of the budget for a slow peer give it back.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep_until};

use crate::telemetry::metrics::{Collect, Collected, CollectorKind, approximate, ready};

/// The budget in bytes: arguments that have arrived or are arriving, and replies that have not been read.
pub(super) const MAX_TOTAL: usize = 128 << 20;

/// Bytes that each connection may hold without the budget.
pub(super) const FREE: usize = 32 << 10;

/// The budget is handed out in units of this many bytes.
const UNIT: usize = 4 << 10;

/// Units that a connection keeps though it does not need them now: taking and releasing costs more.
const SLACK: usize = 16;

/// How long a connection waits for memory before the call that it reads is refused.
const PATIENCE: Duration = Duration::from_secs(1);

/// The budget.
#[derive(Debug)]
pub(super) struct Memory {
    free: Arc<Semaphore>,
    /// The number of waiting connections.
    waiting: watch::Sender<usize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_TOTAL / UNIT)), waiting: watch::Sender::new(0) }
    }
}

impl Memory {
    /// Bytes that connections have taken, or been granted, of the budget.
    fn held(&self) -> usize {
        MAX_TOTAL - self.free.available_permits() * UNIT
    }

    /// The number of connections that wait for memory.
    fn waiting(&self) -> usize {
        *self.waiting.borrow()
    }

    async fn take(self: Arc<Self>, units: u32) -> Option<OwnedSemaphorePermit> {
        self.waiting.send_modify(|waiting| *waiting += 1);
        let _waiting = WaitGuard(&self.waiting);
        Arc::clone(&self.free).acquire_many_owned(units).await.ok()
    }
}

impl Collect for Memory {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            for (name, help, value) in [
                (
                    "causeway_rpc_memory_bytes",
                    "Bytes of the memory budget of RPC held by connections.",
                    self.held(),
                ),
                (
                    "causeway_rpc_memory_waiters",
                    "Number of RPC connections waiting for memory of the budget.",
                    self.waiting(),
                ),
            ] {
                page.single(name, CollectorKind::Gauge, help, approximate(value as u64));
            }
        })
    }
}

/// Counts a waiting connection.
struct WaitGuard<'a>(&'a watch::Sender<usize>);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|waiting| *waiting -= 1);
    }
}

/// A connection's part of the budget, released when this is dropped.
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

    /// Whether a part of the budget is held.
    pub(super) fn is_in_use(&self) -> bool {
        self.permit.is_some()
    }

    /// Takes the memory needed to hold `bytes`. False, and nothing changed, when there is not enough.
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

    /// Releases the memory not needed to hold `bytes`.
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

    /// Starts to wait until `bytes` can be held.
    pub(super) fn wait_for(&mut self, bytes: usize) {
        let missing = u32::try_from(self.missing(bytes)).unwrap_or(u32::MAX);
        let grant = Box::pin(Arc::clone(&self.memory).take(missing));
        self.waiting = Some(Waiting { grant, until: Instant::now() + PATIENCE });
    }

    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// Resolves to true when the memory was granted, to false when that takes too long, after which the wait continues.
    pub(super) async fn granted(&mut self) -> bool {
        let Some(waiting) = &mut self.waiting else { return std::future::pending().await };
        let permit = tokio::select! {
            // A late grant counts.
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

    /// Stops waiting. A connection that waits and does not poll [`Share::granted`] any more has to: what is granted to it is of no use to
    /// others, and its place in the queue is before theirs.
    pub(super) fn give_up(&mut self) {
        self.waiting = None;
    }

    /// Resolves at `since` or later, once another connection waits for memory.
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
    use bolero::TypeGenerator;
    use futures_util::FutureExt as _;
    use tokio::task::{coop::unconstrained, yield_now};

    use super::*;

    /// What one of a few connections does next.
    #[derive(Debug, Clone, Copy, TypeGenerator)]
    enum Step {
        Cover(u32),
        Shrink(u32),
        WaitFor(u32),
        /// Looks whether the memory was granted.
        Look,
        GiveUp,
        /// Closes, and is replaced by another one.
        Close,
    }

    fn bytes(any: u32) -> usize {
        // Now and then more than there is.
        any as usize % (MAX_TOTAL + 2 * FREE)
    }

    impl Share {
        fn step(&mut self, step: Step) {
            match step {
                Step::Cover(any) => {
                    let is_covered = self.cover(bytes(any));
                    assert!(!is_covered || self.covered() >= bytes(any));
                }
                Step::Shrink(any) => self.shrink(bytes(any)),
                Step::WaitFor(any) if !self.is_waiting() => self.wait_for(bytes(any)),
                Step::Look if self.is_waiting() => {
                    unconstrained(self.granted()).now_or_never();
                }
                Step::GiveUp => self.give_up(),
                Step::Close => *self = Self::new(Arc::clone(&self.memory)),
                Step::WaitFor(_) | Step::Look => {}
            }
        }
    }

    async fn play(steps: &[(u8, Step)]) {
        let memory = Arc::new(Memory::default());
        let mut shares: Vec<_> = (0..4).map(|_| Share::new(Arc::clone(&memory))).collect();
        for (number, step) in steps {
            shares[usize::from(*number) % 4].step(*step);
            let held: usize = shares.iter().map(|share| share.units() * UNIT).sum();
            let waiting = shares.iter().filter(|share| share.is_waiting()).count();
            assert!(memory.held() >= held);
            // Only a grant that was not looked at is held by none of them.
            assert!(waiting > 0 || memory.held() == held, "{} bytes are lost", memory.held() - held);
            assert!(memory.waiting() <= waiting);
        }
        // Whoever waits is granted what it waits for once all others are gone, if that exists at all.
        while let Some(mut share) = shares.pop() {
            if let [other, ..] = &*shares {
                assert!(Arc::ptr_eq(&share.memory, &other.memory));
                continue;
            }
            share.give_up();
            share.wait_for(FREE + MAX_TOTAL);
            assert_eq!(unconstrained(share.granted()).now_or_never(), Some(true));
            drop(share);
            yield_now().await;
        }
        assert_eq!((memory.held(), memory.waiting()), (0, 0));
    }

    #[test]
    fn no_memory_is_lost_whatever_connections_do() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.unwrap();
        bolero::check!()
            .with_type::<Vec<(u8, Step)>>()
            .with_iterations(5_000)
            .for_each(|steps| runtime.block_on(play(steps)));
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_granted_in_the_order_in_which_connections_wait_however_much_they_want() {
        let memory = Arc::new(Memory::default());
        let mut shares: [_; 4] = std::array::from_fn(|_| Share::new(Arc::clone(&memory)));
        let [all, large, small, new] = &mut shares;
        assert!(all.cover(FREE + MAX_TOTAL));
        for (share, bytes) in [(&mut *large, MAX_TOTAL / 2), (&mut *small, UNIT)] {
            share.wait_for(FREE + bytes);
            assert_eq!(share.granted().now_or_never(), None);
        }
        // Enough for the small one alone, and for one that has not waited.
        all.shrink(FREE + MAX_TOTAL - SLACK * UNIT);
        assert_eq!((large.granted().now_or_never(), small.granted().now_or_never()), (None, None));
        assert!(!new.cover(FREE + UNIT));
        all.shrink(0);
        assert_eq!((large.granted().await, small.granted().await), (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn the_budget_is_taken_beyond_the_free_bytes_and_released() {
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
    async fn a_waiting_share_is_seen_by_the_holders_and_granted_when_they_release() {
        let memory = Arc::new(Memory::default());
        let (mut one, mut other) = (Share::new(Arc::clone(&memory)), Share::new(memory));
        assert!(one.cover(FREE + MAX_TOTAL));
        let wanted = one.wanted_by_others(Instant::now() + PATIENCE * 2);
        other.wait_for(FREE + 1);
        assert!(!other.granted().await, "it has waited for too long");
        tokio::select! {
            () = wanted => {}
            () = async { while !other.granted().await {} } => unreachable!("the budget is used up"),
        }
        one.shrink(0);
        assert!(other.granted().await && other.is_in_use());
    }
}
