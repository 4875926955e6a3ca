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

use tokio::sync::{Notify, Semaphore};

/// Bytes that the calls of one connection may hold; or twice the largest message, if that is more.
pub(super) const PER_CONNECTION: usize = 128 << 20;

/// Bytes that all calls may hold; or four times the largest message, if that is more.
pub(super) const IN_ALL: usize = 256 << 20;

/// Bytes that a connection may hold whatever others do.
const ALWAYS: usize = 256 << 10;

/// What all calls hold.
#[derive(Debug)]
pub(super) struct Memory {
    held: AtomicUsize,
    connections: AtomicUsize,
    per_connection: usize,
    in_all: usize,
    /// Calls that wait for memory.
    waiting: AtomicUsize,
    released: Notify,
}

/// What the calls of one connection hold.
#[derive(Debug)]
pub(super) struct Share {
    memory: Arc<Memory>,
    held: AtomicUsize,
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
            waiting: AtomicUsize::new(0),
            released: Notify::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// Whether one share may hold this many bytes.
    fn allows(&self, held: usize) -> bool {
        held <= ALWAYS
            || held <= self.per_connection
                && (self.held.load(Relaxed) <= self.in_all
                    || held <= self.in_all / self.connections.load(Relaxed).max(1))
    }
}

impl Share {
    /// The share of one more connection.
    pub(super) fn new(memory: Arc<Memory>) -> Self {
        memory.connections.fetch_add(1, Relaxed);
        Self { memory, held: AtomicUsize::new(0), queue: Semaphore::new(1) }
    }

    /// Takes memory; false, and nothing taken, if there is not enough.
    pub(super) fn take(&self, bytes: usize) -> bool {
        self.memory.held.fetch_add(bytes, Relaxed);
        let held = self.held.fetch_add(bytes, Relaxed) + bytes;
        if self.memory.allows(held) {
            return true;
        }
        // Nothing that others wait for is released by this.
        self.memory.held.fetch_sub(bytes, Relaxed);
        self.held.fetch_sub(bytes, Relaxed);
        false
    }

    /// Takes memory as soon as there is enough.
    pub(super) async fn take_when_free(&self, bytes: usize) {
        // The semaphore is never closed.
        let _turn = self.queue.acquire().await;
        loop {
            let released = self.memory.released.notified();
            let _waiting = Waiting::new(&self.memory.waiting);
            if self.take(bytes) {
                return;
            }
            released.await;
        }
    }

    /// Takes memory for an answer, which exists already, in place of what its call held. Refused only if the other calls hold too much.
    pub(super) fn exchange(&self, held: usize, bytes: usize) -> bool {
        let others = self.held.load(Relaxed).saturating_sub(held);
        if !self.memory.allows(others) {
            return false;
        }
        self.memory.held.fetch_add(bytes, Relaxed);
        self.held.fetch_add(bytes, Relaxed);
        self.release(held);
        true
    }

    pub(super) fn release(&self, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
        self.memory.held.fetch_sub(bytes, SeqCst);
        if self.memory.waiting.load(SeqCst) > 0 {
            self.memory.released.notify_waiters();
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.memory.connections.fetch_sub(1, Relaxed);
    }
}

/// A call that waits for memory.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, SeqCst);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
