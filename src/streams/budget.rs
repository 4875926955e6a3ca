//! The memory of all streams together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that all streams may hold: what is kept of their openings, and messages that wait, in both directions.
pub(super) const IN_ALL: usize = 256 << 20;

/// Bytes that count for a stream by itself: its entry in the registry, and what HTTP/2 keeps.
pub(super) const STREAM: usize = 1024;

/// Bytes of messages that a stream may hold whatever others do.
pub(super) const ALWAYS: usize = 4 << 10;

/// What all streams hold.
#[derive(Debug, Default)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    /// Takes memory; false, and nothing taken, if there is not enough.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= IN_ALL);
        self.0.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Takes memory for messages of a stream that holds `held` bytes of them: it always gets some.
    pub(super) fn take_for(&self, held: usize, bytes: usize) -> bool {
        if held + bytes <= ALWAYS {
            self.add(bytes);
            return true;
        }
        self.take(bytes)
    }

    /// Takes memory for what exists already.
    pub(super) fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes, Relaxed);
    }

    pub(super) fn release(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn held(&self) -> usize {
        self.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_holds_little_gets_memory_when_all_is_held() {
        let budget = Budget::default();
        assert!(budget.take(IN_ALL));
        assert!(!budget.take(1) && !budget.take_for(ALWAYS, 1));
        assert!(budget.take_for(ALWAYS - 1, 1));
        budget.release(2);
        assert!(budget.take(1));
        assert_eq!(budget.held(), IN_ALL);
    }
}
