//! Logging in few lines what may happen many times a second.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// The least time between two lines while it goes on.
const INTERVAL: Duration = Duration::from_secs(10);

/// A trouble that begins, repeats, and is over.
#[derive(Debug)]
pub(crate) struct Incident {
    /// It is over when it has not happened for this time.
    quiet: Duration,
    /// How often it is logged each time, at its beginning.
    burst: u64,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    /// How often it has happened.
    times: u64,
    last: Instant,
    logged: Instant,
}

impl Incident {
    pub(crate) const fn new(quiet: Duration) -> Self {
        Self { quiet, burst: 1, current: None }
    }

    /// Logs the first `burst` times one by one.
    pub(crate) const fn with_burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self
    }

    /// Counts one more time. If it is to be logged, returns how often it has happened so far: 1 at its beginning.
    pub(crate) fn happened(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.current.as_ref().is_some_and(|current| now.duration_since(current.last) >= self.quiet) {
            self.current = None;
        }
        let Some(current) = &mut self.current else {
            self.current = Some(Current { times: 1, last: now, logged: now });
            return Some(1);
        };
        current.times += 1;
        current.last = now;
        if current.times > self.burst && now.duration_since(current.logged) < INTERVAL {
            return None;
        }
        current.logged = now;
        Some(current.times)
    }

    /// Resolves when it is over, with how often it has happened; never if it has not begun. May be dropped and called again.
    pub(super) async fn over(&mut self) -> u64 {
        let Some(current) = &self.current else { return std::future::pending().await };
        sleep_until(current.last + self.quiet).await;
        self.current.take().map_or(0, |current| current.times)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_is_logged_when_it_begins_every_ten_seconds_and_when_it_is_over() {
        let mut incident = Incident::new(Duration::from_secs(1));
        timeout(INTERVAL, incident.over()).await.unwrap_err();
        let mut lines = Vec::new();
        for _ in 0..500 {
            lines.extend(incident.happened());
            advance(Duration::from_millis(50)).await;
        }
        assert_eq!(lines, [1, 201, 401]);
        timeout(Duration::from_millis(900), incident.over()).await.unwrap_err();
        assert_eq!(incident.over().await, 500);
        assert_eq!(incident.happened(), Some(1));
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_quiet_time_it_begins_again_even_if_its_end_was_never_awaited() {
        let mut incident = Incident::new(Duration::from_secs(1)).with_burst(3);
        for _ in 0..2 {
            let lines: Vec<_> = (0..10).filter_map(|_| incident.happened()).collect();
            assert_eq!(lines, [1, 2, 3]);
            advance(Duration::from_secs(1)).await;
        }
    }
}
