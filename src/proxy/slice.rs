//! Time slices: how much work a connection may do before it yields.
//!
//! `h2` reads frames, and calls are accepted, for as long as there are any. A peer that sends faster than that would keep the runtime's
//! thread to itself. So each poll of a connection may use up one slice, of the cost of frames read and of the cost of calls accepted.
//! Before its next one, all ready tasks run, I/O is polled, and the other connections that have used up theirs have a turn.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU32, Ordering::Relaxed};
use std::task::{Poll, ready};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The cost of one poll, at most: roughly the bytes of ordinary calls. This is some forty of them, or a third of a millisecond.
pub(super) const SLICE: isize = 8 * 1024;

/// The slices of a connection that uses up one after the other are halved up to this many times.
const HALVINGS: u32 = 2;

/// By how much a byte of headers costs less when its call is accepted, which copies it twice, than when it is read.
const HEADERS: usize = 32;

/// What is left of the current slice. Only the connection's task uses it.
#[derive(Debug)]
pub(super) struct Slice {
    reading: AtomicIsize,
    work: AtomicIsize,
    /// Calls have arrived that were not accepted yet.
    is_behind: AtomicBool,
    /// The number of slices in a row that were used up.
    used_up: AtomicU32,
}

impl Slice {
    pub(super) fn new() -> Self {
        Self {
            reading: AtomicIsize::new(SLICE),
            work: AtomicIsize::new(SLICE),
            is_behind: AtomicBool::new(false),
            used_up: AtomicU32::new(0),
        }
    }

    /// Begins the next slice.
    fn begin(&self) {
        let slice = SLICE >> self.used_up.load(Relaxed).min(HALVINGS);
        self.work.store(slice, Relaxed);
        // Calls that have arrived are accepted before more is read.
        let reading = if self.is_behind.swap(false, Relaxed) { 0 } else { slice };
        self.reading.store(reading, Relaxed);
    }

    /// Ends the slice; true if it was used up.
    fn end(&self) -> bool {
        let is_used_up = self.may_not_read() || self.is_behind.load(Relaxed);
        self.used_up
            .store(if is_used_up { self.used_up.load(Relaxed).saturating_add(1) } else { 0 }, Relaxed);
        is_used_up
    }

    /// Charges for a frame that was read.
    pub(super) fn read(&self, cost: isize) {
        self.reading.store(self.reading.load(Relaxed) - cost, Relaxed);
    }

    pub(super) fn may_not_read(&self) -> bool {
        self.reading.load(Relaxed) <= 0
    }

    /// Charges for a call that was accepted.
    pub(super) fn work(&self, headers: usize) {
        let cost = isize::try_from(headers / HEADERS).unwrap_or(SLICE);
        self.work.store(self.work.load(Relaxed) - cost, Relaxed);
    }

    /// Accepts calls for as long as the slice lasts.
    pub(super) async fn accepting<T>(&self, accept: impl Future<Output = T>) -> T {
        let mut accept = pin!(accept);
        std::future::poll_fn(|cx| {
            if self.work.load(Relaxed) <= 0 {
                self.is_behind.store(true, Relaxed);
                return Poll::Pending;
            }
            accept.as_mut().poll(cx)
        })
        .await
    }
}

/// The turns of connections that have used up their slice, or of other long work: as many at a time as there are threads, so that many such
/// connections take no more of each turn than one.
#[derive(Debug, Clone)]
pub(super) struct Lane(Arc<Semaphore>);

impl Lane {
    pub(super) fn new() -> Self {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        Self(Arc::new(Semaphore::new(threads)))
    }

    /// Resolves when it is the caller's turn and all ready tasks have run. The turn lasts until its permit is dropped.
    pub(super) fn turn(&self) -> impl Future<Output = Option<OwnedSemaphorePermit>> + Send + use<> {
        let turns = Arc::clone(&self.0);
        async move {
            // The semaphore is never closed.
            let turn = turns.acquire_owned().await.ok();
            tokio::task::yield_now().await;
            turn
        }
    }
}

/// A turn that a connection waits for.
type Turn = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// Polls a connection slice by slice; those that have used up theirs take turns.
pub(super) async fn by_slice<T>(slice: &Slice, lane: &Lane, connection: impl Future<Output = T>) -> T {
    let mut connection = pin!(connection);
    let mut gate: Option<Turn> = None;
    std::future::poll_fn(|cx| {
        loop {
            // Held while the slice lasts.
            let _turn = match &mut gate {
                Some(opening) => ready!(opening.as_mut().poll(cx)),
                None => None,
            };
            gate = None;
            slice.begin();
            let served = connection.as_mut().poll(cx);
            if served.is_ready() || !slice.end() {
                return served;
            }
            gate = Some(Box::pin(lane.turn()));
        }
    })
    .await
}
