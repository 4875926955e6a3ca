//! Permits, and the queue of those who wait for one: a semaphore that is fair between callers.
//!
//! Waiters of one caller are served first come, first served, and callers in turns, so that a caller with a thousand requests delays
//! another one by a few. While nothing waits, taking and adding a permit is one atomic operation. While something waits, there is no
//! free permit: each goes to the next waiter under a lock, and a newcomer cannot overtake. A waiter that is dropped passes on what it was
//! given.

use std::future::poll_fn;
use std::mem;
use std::task::{Context, Poll, Waker};

use super::caller::Caller;
use super::fair_queue::{FairQueue, Key};
use super::sync::{AtomicUsize, Mutex, MutexGuard, Ordering, PoisonError};

/// The state is a number of free permits and two flags. Something waits, and so no permit is free; changed under the lock.
const WAITING: usize = 1;
/// No permit is given out any more.
const CLOSED: usize = 2;
/// One permit.
const ONE: usize = 4;

/// How many requests of one caller are served in its turn. More than one, since answers that become ready together are written together.
const TURN: usize = 4;

/// Permits that are free, or else waiters.
pub(super) struct Permits {
    state: AtomicUsize,
    queue: Mutex<FairQueue<Waiter>>,
}

/// A permit; it is given back when it is dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped is given back"]
pub(super) struct Permit<'a>(&'a Permits);

/// There is nothing to wait for: no permit is given out any more.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

/// What became of a waiter so far.
enum Waiter {
    Waits(Waker),
    Served,
    TurnedAway,
}

/// A request for a permit; dropping it leaves the queue.
struct Request<'a> {
    permits: &'a Permits,
    caller: Caller,
    /// Where it is in the queue, once it waits.
    key: Option<Key>,
}

impl std::fmt::Debug for Permits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permits").field("state", &self.state).finish_non_exhaustive()
    }
}

impl Permits {
    pub(super) fn new(free: usize) -> Self {
        Self { state: AtomicUsize::new(free * ONE), queue: Mutex::new(FairQueue::new(TURN)) }
    }

    /// Adds a permit, for the next waiter if there is one.
    pub(super) fn add(&self) {
        self.add_many(1);
    }

    /// Adds permits, for those who wait first; the others in one step.
    pub(super) fn add_many(&self, mut permits: usize) {
        let mut state = self.state.load(Ordering::Relaxed);
        while permits > 0 {
            if state & (WAITING | CLOSED) == WAITING {
                // Unless the last waiter has left meanwhile.
                permits -= usize::from(self.serve_next());
                state = self.state.load(Ordering::Relaxed);
            } else {
                match self.exchange(state, state + permits * ONE) {
                    Ok(_) => return,
                    Err(now) => state = now,
                }
            }
        }
    }

    /// Takes a permit if one is free; then nothing waits.
    pub(super) fn try_acquire(&self) -> Option<Permit<'_>> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 || state < ONE {
                return None;
            }
            match self.exchange(state, state - ONE) {
                Ok(_) => return Some(Permit(self)),
                Err(now) => state = now,
            }
        }
    }

    /// Takes so many free permits at most, in one step, for good. Returns how many.
    pub(super) fn take_many(&self, most: usize) -> usize {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            let taken = if state & CLOSED == 0 { most.min(state / ONE) } else { 0 };
            if taken == 0 {
                return 0;
            }
            match self.exchange(state, state - taken * ONE) {
                Ok(_) => return taken,
                Err(now) => state = now,
            }
        }
    }

    /// Takes a permit, or waits for one. Dropping the future leaves the queue.
    ///
    /// # Errors
    /// When they are closed.
    pub(super) async fn acquire(&self, caller: Caller) -> Result<Permit<'_>, Closed> {
        let mut request = Request { permits: self, caller, key: None };
        poll_fn(|cx| request.poll(cx)).await
    }

    /// Turns away all who wait, and all who come.
    pub(super) fn close(&self) {
        let mut wakers = Vec::new();
        let mut queue = self.lock();
        self.state.fetch_or(CLOSED, Ordering::AcqRel);
        while let Some(waiter) = queue.serve_next() {
            wakers.extend(waiter.becomes(Waiter::TurnedAway));
        }
        self.state.fetch_and(!WAITING, Ordering::AcqRel);
        drop(queue);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Gives a permit to the next waiter; false if there is none.
    fn serve_next(&self) -> bool {
        let mut queue = self.lock();
        let Some(waiter) = queue.serve_next() else { return false };
        let waker = waiter.becomes(Waiter::Served);
        self.note_whether_something_waits(&queue);
        drop(queue);
        if let Some(waker) = waker {
            waker.wake();
        }
        true
    }

    /// To be called under the lock whenever a waiter has left the queue.
    fn note_whether_something_waits(&self, queue: &FairQueue<Waiter>) {
        if queue.is_empty() {
            self.state.fetch_and(!WAITING, Ordering::AcqRel);
        }
    }

    /// Takes a free permit, or else notes, under the lock, that something waits. Returns whether it took one.
    fn take_or_wait(&self) -> Result<bool, Closed> {
        let mut state = self.state.load(Ordering::Relaxed);
        loop {
            if state & CLOSED != 0 {
                return Err(Closed);
            }
            let is_free = state >= ONE;
            match self.exchange(state, if is_free { state - ONE } else { state | WAITING }) {
                Ok(_) => return Ok(is_free),
                Err(now) => state = now,
            }
        }
    }

    fn exchange(&self, state: usize, new: usize) -> Result<usize, usize> {
        self.state.compare_exchange(state, new, Ordering::AcqRel, Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, FairQueue<Waiter>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Keeps the permit; [`Permits::add`] gives it back.
    pub(super) fn forget(self) {
        mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.add();
    }
}

impl Waiter {
    /// Ends the wait. Returns the waker, to be woken without the lock.
    fn becomes(&mut self, end: Self) -> Option<Waker> {
        match mem::replace(self, end) {
            Self::Waits(waker) => Some(waker),
            Self::Served | Self::TurnedAway => None,
        }
    }
}

impl<'a> Request<'a> {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Result<Permit<'a>, Closed>> {
        let permits = self.permits;
        let mut queue = permits.lock();
        let Some(key) = self.key else {
            if permits.take_or_wait()? {
                return Poll::Ready(Ok(Permit(permits)));
            }
            self.key = Some(queue.join(self.caller, Waiter::Waits(cx.waker().clone())));
            return Poll::Pending;
        };
        // Dropped without the lock: the last waker of a task may drop other waiters with it.
        let _old = match queue.get_mut(key) {
            Some(Waiter::Waits(waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Some(Waiter::Waits(waker)) => {
                let old = mem::replace(waker, cx.waker().clone());
                drop(queue);
                old
            }
            Some(Waiter::Served) => {
                self.key = None;
                queue.remove(key);
                return Poll::Ready(Ok(Permit(permits)));
            }
            Some(Waiter::TurnedAway) | None => return Poll::Ready(Err(Closed)),
        };
        Poll::Pending
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut queue = self.permits.lock();
        let left = queue.remove(key);
        self.permits.note_whether_something_waits(&queue);
        drop(queue);
        if matches!(left, Some(Waiter::Served)) {
            self.permits.add();
        }
    }
}
