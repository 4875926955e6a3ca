//! The memory of all streams together.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Bytes that all streams may hold: what is kept of their openings, and messages that wait, in both directions.
pub(super) const IN_ALL: usize = 256 << 20;

/// Bytes beyond that for messages that their clients read at once: so those who read suffer less from those who do not.
const AT_ONCE: usize = IN_ALL / 4;

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
        self.take_up_to(IN_ALL, bytes)
    }

    /// Takes memory for a message that goes to HTTP/2 at once.
    pub(super) fn take_at_once(&self, bytes: usize) -> bool {
        self.take_up_to(IN_ALL + AT_ONCE, bytes)
    }

    fn take_up_to(&self, most: usize, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
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
    fn what_is_read_at_once_gets_memory_when_all_is_held_and_no_end_of_it() {
        let budget = Budget::default();
        assert!(budget.take(IN_ALL));
        assert!(!budget.take_for(0, ALWAYS + 1) && budget.take_at_once(AT_ONCE));
        assert!(!budget.take_at_once(1));
        budget.release(AT_ONCE);
        assert!(!budget.take(1), "it is not for what waits");
    }

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
