//! Something that may happen many times a second, told in few lines.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// A line at most this often while it goes on.
const EVERY: Duration = Duration::from_secs(10);

/// A trouble that begins, goes on, and is over.
#[derive(Debug)]
pub(super) struct Incident {
    /// It is over when it has not happened for so long.
    quiet: Duration,
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
    pub(super) const fn new(quiet: Duration) -> Self {
        Self { quiet, current: None }
    }

    /// It has happened. Gives how many times so far when a line is due, which is 1 at the beginning.
    pub(super) fn happened(&mut self) -> Option<u64> {
        let now = Instant::now();
        let Some(current) = &mut self.current else {
            self.current = Some(Current { times: 1, last: now, told: now });
            return Some(1);
        };
        current.times += 1;
        current.last = now;
        if now.duration_since(current.told) < EVERY {
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
}
