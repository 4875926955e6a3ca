//! What the calls of one connection share: memory, the time slice, the place in queues, the authority.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use http::HeaderMap;
use tokio::time::Instant;

use super::authority::Replaced;
use super::concurrency::{CALLS, STEP};
use super::in_flight::InFlight;
use super::memory::{Memory, Share};
use super::slice::Slice;
use crate::pools::Caller;
use crate::streams::Port;

/// Bytes that a call takes apart from its headers and its message: its task, its stream, its place in the queue.
const CALL: usize = 4 << 10;

/// One connection, as its calls see it.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) in_flight: Arc<InFlight>,
    share: Share,
    slice: Slice,
    /// As the pools know it.
    caller: Caller,
    /// Its subscription streams.
    port: Arc<Port>,
    /// How many calls and streams the peer was told that it may have open.
    allowed: AtomicU32,
    /// The peer has cancelled too many calls.
    is_flooded: AtomicBool,
    /// When its calls are over, however long they may take otherwise.
    over: Option<Instant>,
    /// The authority that was replaced. That of the first call counts, since a connection has one.
    authority: OnceLock<Replaced>,
}

/// Memory that a call holds until this is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    account: Arc<Account>,
    bytes: usize,
}

impl Account {
    pub(super) fn open(in_flight: Arc<InFlight>, memory: Arc<Memory>, over: Option<Instant>) -> Arc<Self> {
        let (share, slice) = (Share::new(memory), Slice::new());
        let (caller, port) = (Caller::unique(), Arc::default());
        let (allowed, is_flooded, authority) =
            (AtomicU32::new(CALLS), AtomicBool::new(false), OnceLock::new());
        Arc::new(Self { in_flight, share, slice, caller, port, allowed, is_flooded, over, authority })
    }

    /// Reserves memory for a call with these headers.
    pub(super) fn reserve_call(self: &Arc<Self>, headers: &HeaderMap) -> Option<Reservation> {
        let size = size(headers);
        self.slice.work(size);
        // Held twice: as they came, and as the context.
        self.reserve(CALL + 2 * size)
    }

    /// Reserves memory.
    pub(super) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reservation> {
        let mut reservation = Reservation { account: Arc::clone(self), bytes: 0 };
        reservation.grow(bytes).then_some(reservation)
    }

    pub(super) fn slice(&self) -> &Slice {
        &self.slice
    }

    /// Returns the connection as the pools know it.
    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// Its subscription streams.
    pub(super) fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// The peer is told that it may have this many calls and streams open.
    pub(super) fn allow(&self, limit: u32) {
        self.allowed.store(limit, Relaxed);
    }

    /// Whether the peer has more calls open than it was told that it may. Each holds this, and a call that has ended may do so for a moment.
    pub(super) fn is_full(self: &Arc<Self>) -> bool {
        let allowed = self.allowed.load(Relaxed) + STEP;
        Arc::strong_count(self) > allowed as usize
    }

    /// The peer has cancelled too many calls.
    pub(super) fn flood(&self) {
        self.is_flooded.store(true, Relaxed);
    }

    /// Drives what reads from the peer; `None` once the peer has cancelled too many calls.
    pub(super) async fn until_flooded<T>(&self, reading: impl Future<Output = T>) -> Option<T> {
        let mut reading = pin!(reading);
        poll_fn(|cx| {
            let read = reading.as_mut().poll(cx);
            if self.is_flooded.load(Relaxed) { Poll::Ready(None) } else { read.map(Some) }
        })
        .await
    }

    /// When its calls are over: at the end of its maximum age's grace.
    pub(super) fn over(&self) -> Option<Instant> {
        self.over
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

impl Reservation {
    pub(super) fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// Reserves more; false, and nothing changed, if there is not enough.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let is_taken = self.account.share.take(bytes);
        self.bytes += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Reserves more as soon as there is enough; false, and nothing changed, if that would take too long.
    pub(super) async fn grow_when_free(&mut self, bytes: usize) -> bool {
        let is_taken = self.account.share.take_when_free(self.bytes, bytes).await;
        self.bytes += if is_taken { bytes } else { 0 };
        is_taken
    }

    /// Reserves memory for an answer in place of what was reserved.
    pub(super) fn replace(&mut self, bytes: usize) -> bool {
        let is_replaced = self.account.share.exchange(self.bytes, bytes);
        self.bytes = if is_replaced { bytes } else { self.bytes };
        is_replaced
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.account.share.release(self.bytes);
    }
}

/// The size of a header list as HTTP/2 counts it, which is about what it takes in memory.
pub(super) fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum()
}

#[cfg(test)]
mod tests {
    use super::super::memory::{IN_ALL, PATIENCE, PER_CONNECTION};
    use super::*;

    const MB: usize = 1 << 20;

    fn accounts<const N: usize>() -> [Arc<Account>; N] {
        let (in_flight, memory) = (Arc::new(InFlight::new()), Arc::new(Memory::new(MB)));
        std::array::from_fn(|_| Account::open(Arc::clone(&in_flight), Arc::clone(&memory), None))
    }

    #[test]
    fn a_connection_has_a_limit_of_its_own() {
        let [one] = accounts();
        let mut reservation = one.reserve(PER_CONNECTION - MB).unwrap();
        assert!(!reservation.grow(MB + 1));
        assert!(reservation.grow(MB));
        assert!(one.reserve(1).is_none());
        drop(reservation);
        assert!(one.reserve(PER_CONNECTION).is_some());
    }

    #[test]
    fn a_connection_gets_an_equal_share_whatever_others_hold() {
        let accounts = accounts::<8>();
        let greedy: Vec<_> =
            accounts[..7].iter().filter_map(|account| account.reserve(PER_CONNECTION)).collect();
        assert_eq!(greedy.len(), 2, "all is held");
        let modest = &accounts[7];
        let share = modest.reserve(IN_ALL / 8).unwrap();
        assert!(modest.reserve(1).is_none());
        drop(greedy);
        assert!(modest.reserve(1).is_some());
        drop(share);
    }

    #[test]
    fn one_answer_is_accepted_beyond_the_limit() {
        let [one] = accounts();
        let (mut first, mut second) = (one.reserve(CALL).unwrap(), one.reserve(CALL).unwrap());
        assert!(first.replace(2 * PER_CONNECTION));
        assert!(!second.replace(1));
        drop(first);
        assert!(second.replace(1));
    }

    #[tokio::test]
    async fn a_call_waits_for_memory_until_it_is_released() {
        let [one] = accounts();
        let (other, mut reservation) =
            (one.reserve(PER_CONNECTION - CALL).unwrap(), one.reserve(CALL).unwrap());
        let mut wait = std::pin::pin!(reservation.grow_when_free(MB));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(wait.as_mut().poll(&mut context).is_pending());
        drop(other);
        assert!(wait.await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_waits_for_memory_only_for_a_while() {
        let [one] = accounts();
        let _other = one.reserve(PER_CONNECTION - CALL).unwrap();
        let mut reservation = one.reserve(CALL).unwrap();
        let begin = Instant::now();
        assert!(!reservation.grow_when_free(MB).await);
        assert_eq!(begin.elapsed(), PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn of_calls_that_wait_for_what_each_other_holds_only_as_many_are_refused_as_must_be() {
        let [one] = accounts();
        let calls: Vec<_> = (0..6).map(|_| one.reserve(14 * MB).unwrap()).collect();
        let begin = Instant::now();
        let grown = calls.into_iter().map(async |mut call| call.grow_when_free(60 * MB).await);
        let grown = futures_util::future::join_all(grown).await;
        // With 14 MB each, four leave room for 60 MB within 128 MB.
        assert_eq!(grown.iter().filter(|grown| **grown).count(), 4, "{grown:?}");
        assert!(begin.elapsed().is_zero(), "nothing was to be waited for");
        assert!(one.reserve(PER_CONNECTION).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_many_connections_do_not_wait_for_each_other_for_ever() {
        let accounts: [_; 4] = accounts();
        let calls: Vec<_> =
            accounts.iter().flat_map(|one| (0..4).map(|_| one.reserve(15 * MB).unwrap())).collect();
        let begin = Instant::now();
        let grown = calls.into_iter().map(async |mut call| call.grow_when_free(60 * MB).await);
        let grown = futures_util::future::join_all(grown).await;
        assert!(grown.contains(&true), "{grown:?}");
        assert!(begin.elapsed().is_zero(), "nothing was to be waited for");
    }
}
