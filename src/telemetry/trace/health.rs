//! Whether spans can be exported, and what the log says about it: one failure a minute, and that it is over.

use std::time::Duration;

use tokio::time::Instant;
use tracing::{info, warn};

use super::span::cut;

/// How often, at most, failures are logged.
const REPORT_EVERY: Duration = Duration::from_mins(1);

/// What is remembered from one batch to the next.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Attempts since the collector's last answer that was not to try again.
    failures: u32,
    /// When a failure was last logged.
    reported: Option<Instant>,
    /// A failure was logged after the last success.
    is_failing: bool,
}

impl Health {
    /// The number of attempts since the collector's last answer that was not to try again.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// The collector has taken all spans.
    pub(super) fn succeeded(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.is_failing) {
            info!(target: "otel", "exporting spans again");
        }
    }

    /// The collector has answered, but will not take (some) spans.
    pub(super) fn rejected(&mut self, error: &str) {
        self.failures = 0;
        self.report(error);
    }

    /// An attempt has failed, and may succeed later.
    pub(super) fn failed(&mut self, error: &str) {
        self.failures = self.failures.saturating_add(1);
        self.report(error);
    }

    fn report(&mut self, error: &str) {
        if self.reported.is_none_or(|at| at.elapsed() >= REPORT_EVERY) {
            self.reported = Some(Instant::now());
            self.is_failing = true;
            warn!(target: "otel", error = cut(error), "cannot export spans");
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_now_and_then_is_logged_once_a_minute() {
        let (mut health, mut warnings, mut recoveries) = (Health::default(), 0, 0);
        // Ten minutes of batches, each third of which the collector rejects or cannot take.
        for batch in 0..600 {
            let (reported, was_failing) = (health.reported, health.is_failing);
            match batch % 6 {
                0 => health.rejected("too old"),
                3 => health.failed("away"),
                _ => health.succeeded(),
            }
            warnings += u32::from(health.reported != reported);
            recoveries += u32::from(was_failing && !health.is_failing);
            advance(Duration::from_secs(1)).await;
        }
        assert_eq!((warnings, recoveries), (10, 10));
    }

    #[test]
    fn only_what_may_succeed_later_makes_pauses_longer() {
        let mut health = Health::default();
        health.failed("away");
        health.failed("away");
        assert_eq!(health.failures(), 2);
        health.rejected("too old");
        assert_eq!(health.failures(), 0);
    }
}
