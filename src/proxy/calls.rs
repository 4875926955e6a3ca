//! The calls in flight, counted so that the end can wait for them.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};
use std::time::Duration;

use tokio::sync::Notify;
use tracing::info;

/// How long connections may take to close once no call is left.
const GOODBYE: Duration = Duration::from_millis(500);

/// The calls in flight.
#[derive(Debug, Default)]
pub(super) struct Calls {
    count: AtomicUsize,
    closing: AtomicBool,
    changed: Notify,
}

/// One call in flight.
#[derive(Debug)]
pub(super) struct Call<'a>(&'a Calls);

impl Calls {
    /// Counts a call; `None` when no more are taken.
    pub(super) fn begin(&self) -> Option<Call<'_>> {
        self.count.fetch_add(1, SeqCst);
        let call = Call(self);
        (!self.closing.load(SeqCst)).then_some(call)
    }

    /// Whether there are any.
    pub(super) fn in_flight(&self) -> bool {
        self.count.load(Relaxed) > 0
    }

    /// Takes no more calls.
    pub(super) fn close(&self) {
        self.closing.store(true, SeqCst);
        info!(target: "centrifuge", calls = self.count.load(SeqCst), "no new calls are taken");
        self.changed.notify_waiters();
    }

    /// Resolves a moment after the last call, once no more are taken: mostly the connections have closed by then.
    pub(super) async fn finished(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.closing.load(SeqCst) && self.count.load(SeqCst) == 0 {
                break;
            }
            changed.await;
        }
        tokio::time::sleep(GOODBYE).await;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, SeqCst) == 1 && self.0.closing.load(SeqCst) {
            self.0.changed.notify_waiters();
        }
    }
}
