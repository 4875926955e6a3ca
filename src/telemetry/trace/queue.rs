//! Spans that wait to be exported, and a count of those that never will be.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::span::Span;
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// Why spans are not exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// More waited already than fit.
    QueueFull,
    /// The collector could not be reached, or did not answer in time.
    Unreachable,
    /// The collector did not take them.
    Rejected,
    /// They were not sent before the server exited.
    Shutdown,
}

/// A bounded queue. Written by calls, read by one exporter.
#[derive(Debug)]
pub(super) struct Queue {
    spans: Mutex<Vec<Span>>,
    capacity: usize,
    batch: usize,
    /// There are enough for a batch.
    is_ready: Notify,
    exported: AtomicU64,
    dropped: [AtomicU64; Dropped::ALL.len()],
}

/// Spans that an exporter has taken from the queue. Unless something else becomes of them, they are dropped at shutdown.
#[derive(Debug)]
#[must_use = "spans count as dropped at shutdown"]
pub(super) struct Taken {
    queue: Arc<Queue>,
    spans: usize,
}

impl Dropped {
    const ALL: [Self; 4] = [Self::QueueFull, Self::Unreachable, Self::Rejected, Self::Shutdown];

    fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::Unreachable => "unreachable",
            Self::Rejected => "rejected",
            Self::Shutdown => "shutdown",
        }
    }
}

impl Queue {
    /// A queue for `capacity` spans, which are exported `batch` at a time.
    pub(super) fn new(capacity: usize, batch: usize) -> Self {
        Self {
            spans: Mutex::default(),
            capacity,
            batch,
            is_ready: Notify::new(),
            exported: AtomicU64::new(0),
            dropped: [const { AtomicU64::new(0) }; Dropped::ALL.len()],
        }
    }

    /// Adds the spans of one call, all or none.
    pub(super) fn push(&self, call: impl IntoIterator<Item = Span, IntoIter: ExactSizeIterator>) {
        let call = call.into_iter();
        let added = call.len();
        let mut spans = self.spans();
        let waiting = spans.len() + added;
        if waiting > self.capacity {
            drop(spans);
            return self.count(Dropped::QueueFull, added);
        }
        let before = spans.len();
        spans.extend(call);
        drop(spans);
        // Otherwise they wait for the exporter's next turn, which costs a call nothing.
        if before / self.batch < waiting / self.batch {
            self.is_ready.notify_one();
        }
    }

    /// Whether there are enough for a batch.
    pub(super) fn has_batch(&self) -> bool {
        self.spans().len() >= self.batch
    }

    /// Resolves when there are enough for a batch.
    pub(super) async fn ready(&self) {
        // What it was notified of may have been taken since.
        while !self.has_batch() {
            self.is_ready.notified().await;
        }
    }

    /// Takes the oldest spans, as many as fit into a batch.
    pub(super) fn take(&self) -> Vec<Span> {
        let mut spans = self.spans();
        if spans.len() <= self.batch {
            return std::mem::take(&mut *spans);
        }
        spans.drain(..self.batch).collect()
    }

    /// Drops what waits, at shutdown.
    pub(super) fn drop_waiting(&self) {
        let waiting = std::mem::take(&mut *self.spans()).len();
        self.count(Dropped::Shutdown, waiting);
    }

    /// Counts spans that will not be exported.
    fn count(&self, why: Dropped, spans: usize) {
        self.dropped[why as usize].fetch_add(spans as u64, Relaxed);
    }

    /// The spans that will not be exported, for one reason.
    pub(super) fn dropped(&self, why: Dropped) -> u64 {
        self.dropped[why as usize].load(Relaxed)
    }

    /// The spans that have been exported.
    #[cfg(test)]
    pub(super) fn exported(&self) -> u64 {
        self.exported.load(Relaxed)
    }

    /// The spans that will not be exported.
    #[cfg(test)]
    pub(super) fn dropped_in_all(&self) -> u64 {
        Dropped::ALL.into_iter().map(|why| self.dropped(why)).sum()
    }

    fn spans(&self) -> MutexGuard<'_, Vec<Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// A number of spans that were taken from this queue.
    pub(super) fn new(queue: &Arc<Queue>, spans: usize) -> Self {
        Self { queue: Arc::clone(queue), spans }
    }

    /// They have been exported, except for those that the collector has rejected.
    pub(super) fn exported(mut self, rejected: usize) {
        let spans = std::mem::take(&mut self.spans);
        let rejected = rejected.min(spans);
        self.queue.exported.fetch_add((spans - rejected) as u64, Relaxed);
        self.queue.count(Dropped::Rejected, rejected);
    }

    /// They will not be exported.
    pub(super) fn dropped(mut self, why: Dropped) {
        self.queue.count(why, std::mem::take(&mut self.spans));
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.queue.count(Dropped::Shutdown, self.spans);
    }
}

impl Collect for Queue {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            page.single(
                "causeway_spans_exported_total",
                CollectorKind::Counter,
                "Number of spans exported.",
                approximate(self.exported.load(Relaxed)),
            );
            let mut dropped = FamilyText::new(
                "causeway_spans_dropped_total",
                CollectorKind::Counter,
                "Number of spans dropped, by reason.",
            );
            for why in Dropped::ALL {
                let count = self.dropped[why as usize].load(Relaxed);
                dropped.sample("", [("reason", why.name())], approximate(count));
            }
            page.add(dropped);
        })
    }
}
