//! `src/pool/sync.rs` as shuttle plays it.

pub(crate) use crossbeam::utils::CachePadded;
pub(crate) use shuttle::hint::spin_loop;
pub(crate) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
pub(crate) use shuttle::sync::{Mutex, MutexGuard};
pub(crate) use std::sync::PoisonError;

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
