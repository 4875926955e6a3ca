//! How many calls a peer may cancel.
//!
//! To cancel a call costs its caller less than the call costs the server ("rapid reset"). But Centrifugo cancels as many calls at once as are
//! in flight when workers are slow, again and again: its calls have deadlines, and the shortest that are of use are around a second. So what
//! is allowed follows from [`CALLS`], the calls that a connection may have open.

use std::time::Duration;

use tokio::time::Instant;

use super::concurrency::CALLS;

/// Calls that may be cancelled per second, continuously: all that can be open.
const PER_SECOND: u32 = CALLS;

/// Calls that may be cancelled at once.
pub(super) const BURST: u32 = 3 * CALLS;

/// The calls that a peer has cancelled: the generic cell rate algorithm, a bucket that fills again with time.
#[derive(Debug)]
pub(super) struct Resets {
    /// When the next one would be due if all came at the same interval.
    next: Instant,
}

impl Resets {
    pub(super) fn new(now: Instant) -> Self {
        Self { next: now }
    }

    /// Counts a call that is cancelled now; true if that is one too many.
    pub(super) fn exceed(&mut self, now: Instant) -> bool {
        const INTERVAL: Duration = Duration::from_nanos(1_000_000_000 / PER_SECOND as u64);
        self.next = self.next.max(now) + INTERVAL;
        self.next - now > INTERVAL * BURST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_calls_may_be_cancelled_again_and_again_as_may_be_open() {
        let (mut now, mut resets) = (Instant::now(), Resets::new(Instant::now()));
        for _ in 0..60 {
            for _ in 0..CALLS {
                assert!(!resets.exceed(now));
            }
            now += Duration::from_secs(1);
        }
    }

    #[test]
    fn a_flood_is_over_after_a_burst() {
        let now = Instant::now();
        let mut resets = Resets::new(now);
        let allowed = (0..=BURST).take_while(|_| !resets.exceed(now)).count();
        assert_eq!(allowed, BURST as usize);
        // Twice the rate that is allowed.
        let (mut now, mut resets) = (now, Resets::new(now));
        let mut seconds = 0;
        while !(0..2 * CALLS).any(|_| resets.exceed(now)) {
            now += Duration::from_secs(1);
            seconds += 1;
        }
        assert_eq!(seconds, 2);
    }
}
