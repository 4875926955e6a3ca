//! The memory that calls may hold, per connection and in all.
//!
//! Every call holds memory from its headers on until its answer has been sent: for itself, its headers, its message, then its answer. A
//! connection may hold [`PER_CONNECTION`], and all together [`IN_ALL`]; beyond that a connection still gets an equal share of it. So one
//! that fills the memory takes nothing from those that behave, and `IN_ALL` is exceeded at most twofold.

use std::sync::Arc;
use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use crate::telemetry::metrics::{Collect, Collected, CollectorKind, approximate, ready};

/// Bytes that the calls of one connection may hold; or twice the largest message, if that is more.
pub(super) const PER_CONNECTION: usize = 128 << 20;

/// Bytes that all calls may hold; or four times the largest message, if that is more.
pub(super) const IN_ALL: usize = 256 << 20;

/// Bytes that a connection may hold whatever others do.
const ALWAYS: usize = 256 << 10;

/// How long the first call of a connection's queue waits for memory.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// What all calls hold.
#[derive(Debug)]
pub(super) struct Memory {
    held: AtomicUsize,
    connections: AtomicUsize,
    per_connection: usize,
    in_all: usize,
    /// The part of `held` that calls hold which wait for more.
    held_by_waiting: AtomicUsize,
    /// Calls that wait at the front of their connection's queue.
    at_front: AtomicUsize,
    changed: Notify,
}

/// What the calls of one connection hold.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    held: AtomicUsize,
    /// The part of `held` that calls hold which wait for more.
    held_by_waiting: AtomicUsize,
    /// One call of a connection at a time waits for memory, so that released memory wakes one for each.
    queue: Semaphore,
}

impl Memory {
    pub(super) fn new(max_message_size: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            per_connection: PER_CONNECTION.max(max_message_size.saturating_mul(2)),
            in_all: IN_ALL.max(max_message_size.saturating_mul(4)),
            held_by_waiting: AtomicUsize::new(0),
            at_front: AtomicUsize::new(0),
            changed: Notify::new(),
        }
    }

    /// Bytes that all calls hold.
    pub(super) fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// Whether one share may hold this many bytes while all hold `in_all`.
    fn allows(&self, held: usize, in_all: usize) -> bool {
        held <= ALWAYS
            || held <= self.per_connection
                && (in_all <= self.in_all || held <= self.in_all / self.connections.load(Relaxed).max(1))
    }

    /// Has those at the front of a queue look again.
    fn wake(&self) {
        if self.at_front.load(SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }
}

impl Collect for Memory {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let bytes = approximate(self.held() as u64);
            let help = "Bytes held by calls from Centrifugo.";
            page.single("causeway_proxy_memory_bytes", CollectorKind::Gauge, help, bytes);
        })
    }
}

impl Share {
    /// The share of one more connection.
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        memory.connections.fetch_add(1, Relaxed);
        let (held, held_by_waiting) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { memory, held, held_by_waiting, queue: Semaphore::new(1) }
    }

    /// Takes memory; false, and nothing taken, if there is not enough. Not even for a moment is more held than allowed: another call would be
    /// refused for that.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let more = |held| {
            let in_all = self.memory.held.load(SeqCst) + bytes;
            self.memory.allows(held + bytes, in_all).then_some(held + bytes)
        };
        let Ok(before) = self.held.fetch_update(SeqCst, SeqCst, more) else { return false };
        let more = |in_all| self.memory.allows(before + bytes, in_all + bytes).then_some(in_all + bytes);
        if self.memory.held.fetch_update(SeqCst, SeqCst, more).is_ok() {
            return true;
        }
        // Another connection was faster. A call of this one may have been refused for what is given back.
        self.held.fetch_sub(bytes, SeqCst);
        self.memory.wake();
        false
    }

    /// Takes memory for a call that holds `held` bytes, as soon as there is enough. False, and nothing taken, if there is not enough within
    /// [`PATIENCE`], or would not be enough even if only calls that wait held any.
    pub(super) async fn take_when_free(&self, held: usize, bytes: usize) -> bool {
        let _waiting = Waiting::new(self, held);
        // The semaphore is never closed.
        let _turn = self.queue.acquire().await;
        let wait = async {
            loop {
                let changed = self.memory.changed.notified();
                let _front = AtFront::new(&self.memory.at_front);
                if self.take(bytes) {
                    return true;
                }
                if !self.is_enough_for_waiting(bytes) {
                    return false;
                }
                changed.await;
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or(false)
    }

    /// Whether these bytes can be taken once all calls have ended but those that wait, each of which keeps what it holds until its turn.
    fn is_enough_for_waiting(&self, bytes: usize) -> bool {
        let in_all = self.memory.held_by_waiting.load(SeqCst) + bytes;
        self.memory.allows(self.held_by_waiting.load(SeqCst) + bytes, in_all)
    }

    /// Takes memory for an answer, which exists already, in place of what its call held. Refused only if the other calls hold too much.
    pub(super) fn exchange(&self, held: usize, bytes: usize) -> bool {
        let others = self.held.load(Relaxed).saturating_sub(held);
        if !self.memory.allows(others, self.memory.held.load(Relaxed)) {
            return false;
        }
        self.memory.held.fetch_add(bytes, Relaxed);
        self.held.fetch_add(bytes, Relaxed);
        self.release(held);
        true
    }

    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, SeqCst);
        self.memory.held.fetch_sub(bytes, SeqCst);
        self.memory.wake();
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.connections.fetch_sub(1, Relaxed);
    }
}

/// A call that waits for memory, with what it holds.
struct Waiting<'a> {
    share: &'a Share,
    held: usize,
}

impl<'a> Waiting<'a> {
    fn new(share: &'a Share, held: usize) -> Self {
        share.held_by_waiting.fetch_add(held, SeqCst);
        share.memory.held_by_waiting.fetch_add(held, SeqCst);
        // What another one waits for may be held by this one now.
        share.memory.wake();
        Self { share, held }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.share.held_by_waiting.fetch_sub(self.held, SeqCst);
        self.share.memory.held_by_waiting.fetch_sub(self.held, SeqCst);
    }
}

/// The call at the front of its connection's queue.
struct AtFront<'a>(&'a AtomicUsize);

impl<'a> AtFront<'a> {
    fn new(at_front: &'a AtomicUsize) -> Self {
        at_front.fetch_add(1, SeqCst);
        Self(at_front)
    }
}

impl Drop for AtFront<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    #[test]
    fn a_call_is_not_refused_for_memory_that_another_one_is_refused() {
        let memory = Arc::new(Memory::new(0));
        let [full, half, refused, fits] = std::array::from_fn(|_| Share::new(Arc::clone(&memory)));
        assert!(full.take(100 * MB) && half.take(60 * MB));
        std::thread::scope(|scope| {
            let fits = scope.spawn(move || {
                for _ in 0..100_000 {
                    assert!(fits.take(65 * MB), "there is room for it");
                    fits.release(65 * MB);
                }
            });
            while !fits.is_finished() {
                assert!(!refused.take(127 * MB));
            }
        });
        assert_eq!(memory.held(), 160 * MB);
    }
}
