//! What calls hold in memory, per connection and in all.
//!
//! Every call holds a share from its headers on until its answer has been taken: for itself, its headers, its message, then its answer. A
//! connection may hold [`PER_CONNECTION`], and all together [`IN_ALL`]; beyond that a connection still gets what it would have if all
//! connections shared alike. So one that fills the memory takes nothing from those that behave, and `IN_ALL` is passed by no more than once
//! again.

use std::sync::atomic::{
    AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, OnceLock};

use http::HeaderMap;
use tokio::sync::Semaphore;

use super::authority::Replaced;
use super::calls::Calls;
use super::slice::Slice;

/// What the calls of one connection may hold, in bytes; or twice the largest message, if that is more.
const PER_CONNECTION: usize = 128 << 20;

/// What all calls may hold, in bytes; or four times the largest message, if that is more.
const IN_ALL: usize = 256 << 20;

/// What a connection may hold whatever others do, in bytes.
const ALWAYS: usize = 256 << 10;

/// What a call takes apart from its headers and its message, in bytes: its task, its stream, its place in the line.
const CALL: usize = 4 << 10;

/// What calls may hold together.
#[derive(Debug)]
pub(super) struct Memory {
    held: AtomicUsize,
    connections: AtomicUsize,
    per_connection: usize,
    in_all: usize,
    /// Those that wait for memory.
    waiting: AtomicUsize,
    released: tokio::sync::Notify,
    /// Connections that have used up their slice go on one after the other, so that many of them take no more of each turn than one. As many as
    /// there are threads have a turn at the same time.
    pub(super) lane: Arc<Semaphore>,
}

/// What a connection's calls hold.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) calls: Arc<Calls>,
    held: AtomicUsize,
    slice: Slice,
    /// The authority that was replaced; that of the first call counts, since a connection has one.
    authority: OnceLock<Replaced>,
    /// One call of a connection at a time waits for memory, so that memory which is released wakes no more than one for each.
    line: Semaphore,
}

/// Memory that a call holds.
#[derive(Debug)]
pub(super) struct Hold {
    account: Arc<Account>,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(max_message_size: usize) -> Self {
        Self {
            held: AtomicUsize::new(0),
            connections: AtomicUsize::new(0),
            per_connection: PER_CONNECTION.max(max_message_size.saturating_mul(2)),
            in_all: IN_ALL.max(max_message_size.saturating_mul(4)),
            waiting: AtomicUsize::new(0),
            released: tokio::sync::Notify::new(),
            lane: Arc::new(Semaphore::new(threads())),
        }
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(SeqCst)
    }

    /// Whether a connection that holds so much may do so.
    fn allows(&self, mine: usize) -> bool {
        mine <= ALWAYS
            || mine <= self.per_connection
                && (self.held.load(Relaxed) <= self.in_all
                    || mine <= self.in_all / self.connections.load(Relaxed).max(1))
    }
}

impl Account {
    pub(super) fn open(calls: Arc<Calls>) -> Arc<Self> {
        calls.memory.connections.fetch_add(1, Relaxed);
        Arc::new(Self {
            calls,
            held: AtomicUsize::new(0),
            slice: Slice::new(),
            authority: OnceLock::new(),
            line: Semaphore::new(1),
        })
    }

    /// Memory for a call with these headers, if there is any.
    pub(super) fn hold_call(self: &Arc<Self>, headers: &HeaderMap) -> Option<Hold> {
        let size = size(headers);
        self.slice.work(size);
        // Held twice: as they came, and as the context.
        self.hold(CALL + 2 * size)
    }

    /// So much memory, if there is any.
    pub(super) fn hold(self: &Arc<Self>, bytes: usize) -> Option<Hold> {
        let mut hold = Hold { account: Arc::clone(self), bytes: 0 };
        hold.grow(bytes).then_some(hold)
    }

    pub(super) fn slice(&self) -> &Slice {
        &self.slice
    }

    pub(super) fn set_authority(&self, replaced: Replaced) {
        let _ = self.authority.set(replaced);
    }

    /// The authority as the caller sent it.
    pub(super) fn authority<'a>(&'a self, read: &'a str) -> &'a str {
        match self.authority.get() {
            Some(replaced) if replaced.by == read => &replaced.sent,
            _ => read,
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.calls.memory.connections.fetch_sub(1, Relaxed);
    }
}

impl Hold {
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Holds more, if there is room for it.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let memory = &self.account.calls.memory;
        memory.held.fetch_add(bytes, Relaxed);
        let mine = self.account.held.fetch_add(bytes, Relaxed) + bytes;
        if memory.allows(mine) {
            self.bytes += bytes;
            return true;
        }
        // Nothing is released by this, and nobody to be woken.
        memory.held.fetch_sub(bytes, Relaxed);
        self.account.held.fetch_sub(bytes, Relaxed);
        false
    }

    /// Holds more, as soon as there is room for it.
    pub(super) async fn grow_in_time(&mut self, bytes: usize) {
        let account = Arc::clone(&self.account);
        let memory = &account.calls.memory;
        // It is never closed.
        let _turn = account.line.acquire().await;
        loop {
            let released = memory.released.notified();
            let _waiting = Waiting::new(&memory.waiting);
            if self.grow(bytes) {
                return;
            }
            released.await;
        }
    }

    /// Holds so much instead: an answer that is there already. It is taken unless what the connection holds is too much without it.
    pub(super) fn replace(&mut self, bytes: usize) -> bool {
        let memory = &self.account.calls.memory;
        let others = self.account.held.load(Relaxed).saturating_sub(self.bytes);
        if !memory.allows(others) {
            return false;
        }
        memory.held.fetch_add(bytes, Relaxed);
        self.account.held.fetch_add(bytes, Relaxed);
        self.account.release(std::mem::replace(&mut self.bytes, bytes));
        true
    }
}

impl Account {
    fn release(&self, bytes: usize) {
        let memory = &self.calls.memory;
        self.held.fetch_sub(bytes, Relaxed);
        memory.held.fetch_sub(bytes, SeqCst);
        if memory.waiting.load(SeqCst) > 0 {
            memory.released.notify_waiters();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.account.release(self.bytes);
    }
}

/// How many threads serve connections.
fn threads() -> usize {
    tokio::runtime::Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers())
}

/// Somebody who waits for memory.
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

/// The size of a header list as HTTP/2 counts it, which is about what it takes in memory.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: usize = 1 << 20;

    fn accounts<const N: usize>() -> [Arc<Account>; N] {
        let calls = Arc::new(Calls::new(MB));
        std::array::from_fn(|_| Account::open(Arc::clone(&calls)))
    }

    #[test]
    fn a_connection_has_a_limit_of_its_own() {
        let [one] = accounts();
        let mut hold = one.hold(PER_CONNECTION - MB).unwrap();
        assert!(!hold.grow(MB + 1));
        assert!(hold.grow(MB));
        assert!(one.hold(1).is_none());
        drop(hold);
        assert!(one.hold(PER_CONNECTION).is_some());
    }

    #[test]
    fn what_others_hold_leaves_a_connection_its_share() {
        let accounts = accounts::<8>();
        let greedy: Vec<_> =
            accounts[..7].iter().filter_map(|account| account.hold(PER_CONNECTION)).collect();
        assert_eq!(greedy.len(), 2, "all is held");
        let modest = &accounts[7];
        let share = modest.hold(IN_ALL / 8).unwrap();
        assert!(modest.hold(1).is_none());
        drop(greedy);
        assert!(modest.hold(1).is_some());
        drop(share);
    }

    #[test]
    fn an_answer_is_taken_once_beyond_the_limit() {
        let [one] = accounts();
        let (mut first, mut second) = (one.hold(CALL).unwrap(), one.hold(CALL).unwrap());
        assert!(first.replace(2 * PER_CONNECTION));
        assert!(!second.replace(1));
        drop(first);
        assert!(second.replace(1));
    }

    #[tokio::test]
    async fn memory_is_waited_for_until_it_is_released() {
        let [one] = accounts();
        let (other, mut hold) = (one.hold(PER_CONNECTION - CALL).unwrap(), one.hold(CALL).unwrap());
        let mut wait = std::pin::pin!(hold.grow_in_time(MB));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        drop(other);
        wait.await;
    }
}
