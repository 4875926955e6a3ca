//! `streams.open_rate`: how many streams are opened per second.
//!
//! After a restart of the bridge, or of Centrifugo, all clients subscribe at once. Those beyond the rate wait for their turn, first come,
//! first served; one that gives up leaves the queue and takes no one's turn away.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep_until};

/// The part of a second whose streams may be opened at once.
const BURST: u32 = 10;

/// A token bucket with a queue.
#[derive(Debug)]
pub(super) struct Rate(Option<Mutex<Bucket>>);

/// The generic cell rate algorithm: a bucket without a clock of its own.
#[derive(Debug)]
struct Bucket {
    interval: Duration,
    /// How far `next` may be ahead of now.
    tolerance: Duration,
    /// When the next one would be due if all came at the same interval.
    next: Instant,
}

impl Rate {
    /// This many per second; 0: no limit.
    pub(super) fn new(per_second: u32) -> Self {
        Self((per_second > 0).then(|| Mutex::new(Bucket::new(per_second, Instant::now()))))
    }

    /// Resolves when another stream may be opened.
    pub(super) async fn turn(&self) {
        let Some(bucket) = &self.0 else { return };
        // tokio's mutex is fair: it is the queue.
        let mut bucket = bucket.lock().await;
        while let Err(due) = bucket.take(Instant::now()) {
            sleep_until(due).await;
        }
    }
}

impl Bucket {
    fn new(per_second: u32, now: Instant) -> Self {
        let interval = Duration::from_secs(1) / per_second;
        Self { interval, tolerance: interval * (per_second / BURST).max(1).saturating_sub(1), next: now }
    }

    /// Takes a token, or returns when there will be one.
    fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let due = self.next.checked_sub(self.tolerance).unwrap_or(now);
        if now < due {
            return Err(due);
        }
        self.next = self.next.max(now) + self.interval;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_a_second_s_streams_come_at_once_and_the_others_at_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(100, start);
        let mut now = start;
        let mut taken = Vec::new();
        while taken.len() < 60 {
            match bucket.take(now) {
                Ok(()) => taken.push(now - start),
                Err(due) => now = due,
            }
        }
        assert_eq!(taken[9], Duration::ZERO);
        assert_eq!(taken[10], Duration::from_millis(10));
        assert_eq!(taken[59], Duration::from_millis(500));
        // A pause fills the bucket, and no more than that.
        now += Duration::from_hours(1);
        let at_once = std::iter::from_fn(|| bucket.take(now).ok()).count();
        assert_eq!(at_once, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_gives_up_takes_no_turn_away() {
        let rate = Rate::new(10);
        rate.turn().await;
        let begin = Instant::now();
        let impatient = (0..100).map(|_| tokio::time::timeout(Duration::from_millis(50), rate.turn()));
        let outcomes = futures_util::future::join_all(impatient).await;
        assert!(outcomes.iter().all(Result::is_err));
        rate.turn().await;
        assert_eq!(begin.elapsed(), Duration::from_millis(100));
        // Without a limit there is no wait.
        Rate::new(0).turn().await;
    }
}
