//! The memory of all streams together, and what the streams of each connection hold of it.
//!
//! A client that does not read, or a whole Centrifugo, may use up all of it. What that costs others is bounded: each connection is guaranteed
//! a share, each stream a little, and a message that its client reads at once passes.

use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::Relaxed};

/// Bytes that all streams may hold: what is kept of their openings, and messages that wait, in both directions.
pub(super) const IN_ALL: usize = 256 << 20;

/// Bytes beyond that of which each connection is guaranteed an equal share.
const SHARES: usize = IN_ALL / 4;

/// Bytes beyond that for messages that their clients read at once: so those who read suffer less from those who do not.
const AT_ONCE: usize = IN_ALL / 4;

/// Bytes that count for a stream by itself: its entry in the registry, and what HTTP/2 keeps.
pub(super) const STREAM: usize = 1024;

/// Bytes of messages that a stream may hold whatever others do.
pub(super) const ALWAYS: usize = 4 << 10;

/// What all streams hold.
#[derive(Debug, Default)]
pub(super) struct Budget {
    held: AtomicUsize,
    /// Connections whose streams hold something. Below the truth for a moment, even below zero, when one thread is faster than another.
    connections: AtomicIsize,
}

/// What the streams of one connection hold.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicUsize);

impl Budget {
    /// Takes memory; false, and nothing taken, if there is not enough.
    pub(super) fn take(&self, share: &Share, bytes: usize) -> bool {
        self.take_up_to(IN_ALL, share, bytes) || self.take_of(share, bytes)
    }

    /// Takes memory for a message that goes to HTTP/2 at once.
    pub(super) fn take_at_once(&self, share: &Share, bytes: usize) -> bool {
        self.take_up_to(IN_ALL + AT_ONCE, share, bytes)
    }

    /// Takes memory for messages of a stream that holds `held` bytes of them: it always gets some.
    pub(super) fn take_for(&self, share: &Share, held: usize, bytes: usize) -> bool {
        if held + bytes <= ALWAYS {
            self.add(share, bytes);
            return true;
        }
        self.take(share, bytes)
    }

    /// Takes memory for what exists already.
    pub(super) fn add(&self, share: &Share, bytes: usize) {
        self.held.fetch_add(bytes, Relaxed);
        self.note(share.0.fetch_add(bytes, Relaxed), bytes);
    }

    pub(super) fn release(&self, share: &Share, bytes: usize) {
        self.held.fetch_sub(bytes, Relaxed);
        if share.0.fetch_sub(bytes, Relaxed) == bytes && bytes > 0 {
            self.connections.fetch_sub(1, Relaxed);
        }
    }

    pub(super) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    fn take_up_to(&self, most: usize, share: &Share, bytes: usize) -> bool {
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        if self.held.fetch_update(Relaxed, Relaxed, more).is_err() {
            return false;
        }
        self.note(share.0.fetch_add(bytes, Relaxed), bytes);
        true
    }

    /// Takes memory that a connection is guaranteed.
    fn take_of(&self, share: &Share, bytes: usize) -> bool {
        let connections = usize::try_from(self.connections.load(Relaxed)).unwrap_or_default();
        let others = connections - usize::from(connections > 0 && share.0.load(Relaxed) > 0);
        let most = SHARES / (others + 1);
        let more = |held: usize| held.checked_add(bytes).filter(|held| *held <= most);
        let Ok(before) = share.0.fetch_update(Relaxed, Relaxed, more) else { return false };
        self.note(before, bytes);
        self.held.fetch_add(bytes, Relaxed);
        true
    }

    /// Counts a connection that holds something from now on.
    fn note(&self, before: usize, bytes: usize) {
        if before == 0 && bytes > 0 {
            self.connections.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_at_once_gets_memory_when_all_is_held_and_no_end_of_it() {
        let (budget, share) = <(Budget, Share)>::default();
        assert!(budget.take(&share, IN_ALL));
        assert!(!budget.take_for(&share, 0, ALWAYS + 1) && budget.take_at_once(&share, AT_ONCE));
        assert!(!budget.take_at_once(&share, 1));
        budget.release(&share, AT_ONCE);
        assert!(!budget.take(&share, 1), "it is not for what waits");
    }

    #[test]
    fn a_stream_that_holds_little_gets_memory_when_all_is_held() {
        let (budget, share) = <(Budget, Share)>::default();
        assert!(budget.take(&share, IN_ALL));
        assert!(!budget.take(&share, 1) && !budget.take_for(&share, ALWAYS, 1));
        assert!(budget.take_for(&share, ALWAYS - 1, 1));
        budget.release(&share, 2);
        assert!(budget.take(&share, 1));
        assert_eq!(budget.held(), IN_ALL);
    }

    #[test]
    fn a_connection_that_holds_all_leaves_an_equal_share_to_each_other_one() {
        let budget = Budget::default();
        let [full, one, other] = [(); 3].map(|()| Share::default());
        assert!(budget.take(&full, IN_ALL));
        assert!(!budget.take(&one, SHARES / 2 + 1) && budget.take(&one, SHARES / 2));
        assert!(!budget.take(&one, 1));
        assert!(!budget.take(&other, SHARES / 3 + 1) && budget.take(&other, SHARES / 3));
        assert!(!budget.take(&full, 1));
        // Those that hold nothing any more have no share.
        for (share, bytes) in [(&one, SHARES / 2), (&other, SHARES / 3)] {
            budget.release(share, bytes);
        }
        assert!(budget.take(&one, SHARES / 2));
        budget.release(&one, SHARES / 2);
        budget.release(&full, IN_ALL);
        assert_eq!((budget.held(), budget.connections.into_inner()), (0, 0));
    }
}
