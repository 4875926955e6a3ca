//! How much a connection may do at once.
//!
//! `h2` reads frames for as long as there are any, and new calls are taken for as long as there are any. A peer that sends faster than that
//! is handled would keep the runtime's thread to itself. So each poll of a connection may use up a slice: of what frames cost to read, and
//! of what calls cost to take. Then all tasks that are ready run, the sockets are looked at, and the other connections that have used up
//! theirs have a turn, before it goes on.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicU32, Ordering::Relaxed};
use std::task::{Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What one poll may cost: roughly the bytes of ordinary calls, of which this is some forty, or a third of a millisecond.
pub(super) const SLICE: isize = 8 * 1024;

/// A connection that has used up its slice again and again gets smaller ones: halved so often.
const HALVINGS: u32 = 2;

/// A byte of a call's headers costs so much less when the call is taken than when it is read: it is copied twice.
const HEADERS: usize = 32;

/// What is left of the present slice. Only the connection's task uses it.
#[derive(Debug)]
pub(super) struct Slice {
    reading: AtomicIsize,
    work: AtomicIsize,
    /// Calls have arrived that were not taken.
    is_behind: AtomicBool,
    /// How many slices in a row were used up.
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

    /// The next one begins. Says whether the last was used up.
    fn begin(&self) {
        let slice = SLICE >> self.used_up.load(Relaxed).min(HALVINGS);
        self.work.store(slice, Relaxed);
        // What has arrived is taken before more is read.
        let reading = if self.is_behind.swap(false, Relaxed) { 0 } else { slice };
        self.reading.store(reading, Relaxed);
    }

    /// Says whether it was used up.
    fn end(&self) -> bool {
        let is_used_up = self.may_not_read() || self.is_behind.load(Relaxed);
        self.used_up
            .store(if is_used_up { self.used_up.load(Relaxed).saturating_add(1) } else { 0 }, Relaxed);
        is_used_up
    }

    /// Something was read.
    pub(super) fn read(&self, cost: isize) {
        self.reading.store(self.reading.load(Relaxed) - cost, Relaxed);
    }

    pub(super) fn may_not_read(&self) -> bool {
        self.reading.load(Relaxed) <= 0
    }

    /// A call was taken, with so many bytes of headers.
    pub(super) fn work(&self, headers: usize) {
        let cost = isize::try_from(headers / HEADERS).unwrap_or(SLICE);
        self.work.store(self.work.load(Relaxed) - cost, Relaxed);
    }

    /// Takes calls for as long as the slice lasts.
    pub(super) async fn taking<T>(&self, accept: impl Future<Output = T>) -> T {
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

/// A turn that is waited for.
type Turn = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

/// Polls a connection slice by slice; those that have used up theirs go on one after the other, in the `lane`.
pub(super) async fn by_slice<T>(
    slice: &Slice,
    lane: &Arc<Semaphore>,
    connection: impl Future<Output = T>,
) -> T {
    let mut connection = pin!(connection);
    let mut gate: Option<Turn> = None;
    std::future::poll_fn(|cx| {
        loop {
            // Kept while its slice lasts.
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
            gate = Some(Box::pin(turn(Arc::clone(lane))));
        }
    })
    .await
}

/// Resolves when the others have had their turn.
async fn turn(lane: Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // It is never closed.
    let turn = lane.acquire_owned().await.ok();
    tokio::task::yield_now().await;
    turn
}
