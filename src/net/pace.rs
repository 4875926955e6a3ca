//! How fast connections are accepted.
//!
//! A peer that connects in a loop would keep the runtime's thread busy: the backlog is never empty, and each connection is a new task with
//! work at once. So other tasks run after every few connections, and a storm is slowed down; the backlog holds its peers meanwhile.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// Connections accepted in a row. Then all ready tasks have a turn.
const IN_A_ROW: u32 = 8;

/// Connections accepted per [`WINDOW`] without a pause, for example when all workers connect at once.
const BURST: u32 = 128;
const WINDOW: Duration = Duration::from_millis(100);

/// The pause after [`IN_A_ROW`] connections of a storm.
const PAUSE: Duration = Duration::from_millis(2);

/// Counts accepted connections.
#[derive(Debug)]
pub(super) struct Pace {
    window: Instant,
    /// Since the window began.
    accepted: u32,
    next: Option<Gap>,
}

/// What precedes the next connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Yield,
    Until(Instant),
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { window: Instant::now(), accepted: 0, next: None }
    }

    /// Counts a connection.
    pub(super) fn accepted(&mut self) {
        let now = Instant::now();
        if now.duration_since(self.window) >= WINDOW {
            (self.window, self.accepted) = (now, 0);
        }
        self.accepted += 1;
        if self.accepted.is_multiple_of(IN_A_ROW) {
            self.next = Some(if self.accepted < BURST { Gap::Yield } else { Gap::Until(now + PAUSE) });
        }
    }

    /// Resolves when the next connection may be accepted. May be dropped and called again.
    pub(super) async fn turn(&mut self) {
        match self.next {
            None => return,
            Some(Gap::Yield) => tokio::task::yield_now().await,
            Some(Gap::Until(end)) => sleep_until(end).await,
        }
        self.next = None;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_connections_is_slowed_down_and_a_burst_is_not() {
        let mut pace = Pace::new();
        let mut accept = async |number| {
            let begin = Instant::now();
            for _ in 0..number {
                pace.turn().await;
                pace.accepted();
            }
            begin.elapsed()
        };
        assert_eq!(accept(BURST).await, Duration::ZERO);
        let storm = accept(10_000).await;
        assert!(storm > Duration::from_secs(1) && storm < Duration::from_secs(3), "{storm:?}");
        tokio::time::sleep(WINDOW * 2).await;
        assert_eq!(accept(BURST).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn other_tasks_run_after_a_few_connections() {
        let mut pace = Pace::new();
        for _ in 0..IN_A_ROW {
            assert!(pace.turn().now_or_never().is_some());
            pace.accepted();
        }
        assert!(pace.turn().now_or_never().is_none());
        // The dropped turn is not lost.
        {
            let mut turn = pin!(pace.turn());
            assert!(futures_util::poll!(&mut turn).is_pending());
            turn.await;
        }
        assert!(pace.turn().now_or_never().is_some());
    }
}
