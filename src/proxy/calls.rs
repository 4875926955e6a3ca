//! The calls in flight and the answers on their way, counted so that the end can wait for them.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tracing::info;

use super::account::{Hold, Memory};

/// How long connections may take to close once no call is left.
const GOODBYE: Duration = Duration::from_millis(500);

/// The calls in flight, and their answers.
#[derive(Debug)]
pub(super) struct Calls {
    /// What they hold.
    pub(super) memory: Memory,
    in_flight: AtomicUsize,
    /// Answers that are there, but that a caller has not taken yet.
    unsent: AtomicUsize,
    closing: AtomicBool,
    changed: Notify,
}

/// One call in flight.
#[derive(Debug)]
pub(super) struct Call<'a>(&'a Calls);

/// A part of an answer that is not sent yet.
#[derive(Debug)]
struct Unsent {
    part: Bytes,
    hold: Hold,
}

impl Calls {
    pub(super) fn new(max_message_size: usize) -> Self {
        Self {
            memory: Memory::new(max_message_size),
            in_flight: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Counts a call; `None` when no more are taken.
    pub(super) fn begin(&self) -> Option<Call<'_>> {
        self.in_flight.fetch_add(1, SeqCst);
        let call = Call(self);
        (!self.closing.load(SeqCst)).then_some(call)
    }

    /// Whether there are any.
    pub(super) fn in_flight(&self) -> bool {
        self.count() > 0
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Takes no more calls.
    pub(super) fn close(&self) {
        self.closing.store(true, SeqCst);
        info!(target: "centrifuge", calls = self.in_flight.load(SeqCst), "no new calls are taken");
        self.changed.notify_waiters();
    }

    /// Resolves a moment after the last answer has been sent, once no more calls are taken: mostly the connections have closed by then.
    pub(super) async fn finished(&self) {
        loop {
            // Told of all that happens from here on.
            let changed = self.changed.notified();
            if self.is_finished() {
                tokio::time::sleep(GOODBYE).await;
                // A call ends a little before its answer is counted.
                if self.is_finished() {
                    return;
                }
            } else {
                changed.await;
            }
        }
    }

    fn is_finished(&self) -> bool {
        let left = [&self.in_flight, &self.unsent];
        self.closing.load(SeqCst) && left.iter().all(|count| count.load(SeqCst) == 0)
    }

    /// One of those that `count` counts is no more.
    fn is_gone(&self, count: &AtomicUsize) {
        if count.fetch_sub(1, SeqCst) == 1 && self.closing.load(SeqCst) {
            self.changed.notify_waiters();
        }
    }
}

/// The same bytes, counted until they are dropped, together with what they hold: they have been sent then, or nobody wants them any more.
pub(super) fn unsent(part: Bytes, hold: Hold) -> Bytes {
    hold.account().calls.unsent.fetch_add(1, SeqCst);
    Bytes::from_owner(Unsent { part, hold })
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.is_gone(&self.0.in_flight);
    }
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.part
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        let calls = &self.hold.account().calls;
        calls.is_gone(&calls.unsent);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::time::{Instant, timeout};

    use super::super::account::Account;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_end_comes_a_moment_after_the_last_answer_was_sent() {
        let calls = Arc::new(Calls::new(0));
        let account = Account::open(Arc::clone(&calls));
        let begin = Instant::now();
        let waits = async |time| timeout(time, calls.finished()).await.is_err();
        let call = calls.begin().unwrap();
        calls.close();
        assert!(calls.begin().is_none());
        assert!(waits(10 * GOODBYE).await, "a call is in flight");
        let answer = unsent(Bytes::from_static(b"answer"), account.hold(6).unwrap());
        drop(call);
        assert!(!calls.in_flight());
        let part = answer.slice(3..);
        drop(answer);
        assert!(waits(10 * GOODBYE).await, "{part:?} is not sent");
        drop(part);
        calls.finished().await;
        assert_eq!(begin.elapsed(), 21 * GOODBYE);
    }
}
