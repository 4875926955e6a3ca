//! `src/pool/sync.rs` as shuttle plays it.

pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic::{AtomicU64, Ordering};

use shuttle::future::batch_semaphore::{BatchSemaphore, Fairness};
use shuttle::sync::Mutex;

/// Like crossbeam's cell; its operations are single steps there, and so they are here.
#[derive(Debug)]
pub(crate) struct AtomicCell<T>(Mutex<T>);

impl<T: Default> Default for AtomicCell<T> {
    fn default() -> Self {
        Self(Mutex::new(T::default()))
    }
}

impl<T> AtomicCell<T> {
    pub(crate) const fn is_lock_free() -> bool {
        true
    }

    pub(crate) fn store(&self, value: T) {
        *self.0.lock().unwrap() = value;
    }
}

impl<T: Default> AtomicCell<T> {
    pub(crate) fn take(&self) -> T {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Like tokio's semaphore, whose model in shuttle has no guards.
#[derive(Debug)]
pub(crate) struct Semaphore(BatchSemaphore);

/// One permit; given back when it is dropped.
#[must_use = "a permit that is dropped is given back"]
pub(crate) struct Permit<'a>(&'a BatchSemaphore);

/// There is none, or the semaphore is closed.
#[derive(Debug)]
pub(crate) struct NoPermit;

impl Semaphore {
    pub(crate) fn new(permits: usize) -> Self {
        Self(BatchSemaphore::new(permits, Fairness::StrictlyFair))
    }

    pub(crate) fn add_permits(&self, permits: usize) {
        self.0.release(permits);
    }

    pub(crate) fn try_acquire(&self) -> Result<Permit<'_>, NoPermit> {
        self.0.try_acquire(1).map_err(|_| NoPermit)?;
        Ok(Permit(&self.0))
    }

    pub(crate) async fn acquire(&self) -> Result<Permit<'_>, NoPermit> {
        self.0.acquire(1).await.map_err(|_| NoPermit)?;
        Ok(Permit(&self.0))
    }

    pub(crate) fn close(&self) {
        self.0.close();
    }
}

impl Permit<'_> {
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.release(1);
    }
}
