//! Calls in flight and answers not sent yet, counted so that shutdown can wait for them.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::info;

/// How long connections may take to close once no call is left.
const GOODBYE: Duration = Duration::from_millis(500);

/// Counts the calls in flight and their answers.
#[derive(Debug)]
pub(super) struct InFlight {
    calls: AtomicUsize,
    /// Answers, or parts of them, that HTTP/2 has not sent yet.
    unsent: AtomicUsize,
    closing: AtomicBool,
    changed: Notify,
}

/// Counts one call while it is held.
#[derive(Debug)]
pub(super) struct CallGuard<'a>(&'a InFlight);

impl InFlight {
    pub(super) fn new() -> Self {
        Self {
            calls: AtomicUsize::new(0),
            unsent: AtomicUsize::new(0),
            closing: AtomicBool::new(false),
            changed: Notify::new(),
        }
    }

    /// Counts a call.
    pub(super) fn begin(&self) -> CallGuard<'_> {
        self.calls.fetch_add(1, SeqCst);
        CallGuard(self)
    }

    /// The number of calls in flight.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// Counts a part of an answer until [`InFlight::sent`].
    pub(super) fn send(&self) {
        self.unsent.fetch_add(1, SeqCst);
    }

    /// A part of an answer was sent, or dropped since its caller has gone.
    pub(super) fn sent(&self) {
        self.remove_one(&self.unsent);
    }

    #[cfg(test)]
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(SeqCst)
    }

    /// No more calls are about to come: [`InFlight::finished`] may resolve.
    pub(super) fn close(&self) {
        self.closing.store(true, SeqCst);
        info!(target: "centrifuge", calls = self.calls.load(SeqCst), "draining connections");
        self.changed.notify_waiters();
    }

    /// Resolves a moment after the last answer was sent, once no more calls come. Most connections have closed by then.
    pub(super) async fn finished(&self) {
        loop {
            // Registered before the counts are read, so that no change is missed.
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
        let left = [&self.calls, &self.unsent];
        self.closing.load(SeqCst) && left.iter().all(|count| count.load(SeqCst) == 0)
    }

    fn remove_one(&self, count: &AtomicUsize) {
        if count.fetch_sub(1, SeqCst) == 1 && self.closing.load(SeqCst) {
            self.changed.notify_waiters();
        }
    }
}

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.0.remove_one(&self.0.calls);
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn shutdown_ends_a_moment_after_the_last_answer_was_sent() {
        let in_flight = InFlight::new();
        let begin = Instant::now();
        let waits = async |time| timeout(time, in_flight.finished()).await.is_err();
        let call = in_flight.begin();
        in_flight.close();
        assert!(waits(10 * GOODBYE).await, "a call is in flight");
        in_flight.send();
        drop(call);
        assert_eq!(in_flight.calls(), 0);
        assert!(waits(10 * GOODBYE).await, "its answer is not sent");
        in_flight.sent();
        in_flight.finished().await;
        assert_eq!(begin.elapsed(), 21 * GOODBYE);
    }
}
