//! Something that may happen many times a second, told in few lines.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A line at most this often while it goes on.
const EVERY: Duration = Duration::from_secs(10);

/// A trouble that begins, goes on, and is over.
#[derive(Debug)]
pub(crate) struct Incident {
    /// It is over when it has not happened for so long.
    quiet: Duration,
    /// So many lines are written at its beginning, each time that it happens.
    burst: u64,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    /// How many times it has happened.
    times: u64,
    last: Instant,
    told: Instant,
}

impl Incident {
    pub(crate) const fn new(quiet: Duration) -> Self {
        Self { quiet, burst: 1, current: None }
    }

    /// With so many lines at its beginning.
    pub(crate) const fn with_burst(mut self, burst: u64) -> Self {
        self.burst = burst;
        self
    }

    /// It has happened. Gives how many times so far when a line is due, which is 1 at the beginning.
    pub(crate) fn happened(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.current.as_ref().is_some_and(|current| now.duration_since(current.last) >= self.quiet) {
            self.current = None;
        }
        let Some(current) = &mut self.current else {
            self.current = Some(Current { times: 1, last: now, told: now });
            return Some(1);
        };
        current.times += 1;
        current.last = now;
        if current.times > self.burst && now.duration_since(current.told) < EVERY {
            return None;
        }
        current.told = now;
        Some(current.times)
    }

    /// Resolves when it is over, with how many times it happened; never while there is nothing to be over. May be dropped and called again.
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
    async fn a_line_at_the_beginning_every_ten_seconds_and_at_the_end() {
        let mut incident = Incident::new(Duration::from_secs(1));
        timeout(EVERY, incident.over()).await.unwrap_err();
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
    async fn it_begins_anew_after_a_while_though_nobody_asked_whether_it_is_over() {
        let mut incident = Incident::new(Duration::from_secs(1)).with_burst(3);
        for _ in 0..2 {
            let lines: Vec<_> = (0..10).filter_map(|_| incident.happened()).collect();
            assert_eq!(lines, [1, 2, 3]);
            advance(Duration::from_secs(1)).await;
        }
    }
}
