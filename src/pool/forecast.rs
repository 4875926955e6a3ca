//! When a worker will have had all the requests that it may have, and whether its successor has to be started by then: pure functions of
//! counters, and the time.
//!
//! Nothing watches the counters. A worker reports when it has had a certain number of requests: its first one, and then each time a quarter
//! of the rest, or as many as make the start of its successor due if the rate stays the same. So a worker whose rate rises reports in time,
//! and each sends only a few dozen messages in its life, however long that is.

use std::collections::HashMap;
use std::time::Duration;

use super::core::WorkerId;

/// A successor is started when what is left lasts for no longer than this many boots.
const MARGIN: u32 = 2;

/// A worker with this part of its requests left, or less, is replaced early rather than served by a standby that waits for long.
const LAST_PART: u64 = 4;

/// A boot that was faster than the estimate changes it by this part of the difference.
const SMOOTHING: u32 = 8;

/// What is known of boots and of the workers that are lent to requests.
#[derive(Debug, Default)]
pub(super) struct Forecast {
    boot: Duration,
    workers: HashMap<WorkerId, Progress>,
}

/// What is to be done about a worker that has reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Its successor has to be started now.
    NearlyExhausted,
    /// It is to report again when it has had this many requests.
    ReportAt(u64),
}

/// The requests that a worker had had when it reported, and when: the last time, and the time before.
#[derive(Debug, Clone, Copy)]
struct Progress {
    earlier: (u64, Duration),
    last: (u64, Duration),
}

impl Forecast {
    /// A boot took so long. The estimate rises at once and falls slowly: a successor that is early costs memory, a late one costs time.
    pub(super) fn observe_boot(&mut self, took: Duration) {
        let less = self.boot.saturating_sub(took) / SMOOTHING;
        self.boot = took.max(self.boot.saturating_sub(less));
    }

    /// How long a boot takes.
    pub(super) fn boot(&self) -> Duration {
        self.boot
    }

    /// A worker is lent to requests from now on; `now` is measured from any one moment.
    pub(super) fn begin(&mut self, id: WorkerId, now: Duration) {
        self.workers.insert(id, Progress { earlier: (0, now), last: (0, now) });
    }

    /// A worker is gone.
    pub(super) fn end(&mut self, id: WorkerId) {
        self.workers.remove(&id);
    }

    /// A worker that may have `most` requests has had `executions` by now.
    pub(super) fn check(&mut self, id: WorkerId, most: u64, executions: u64, now: Duration) -> Verdict {
        let Some(progress) = self.workers.get_mut(&id) else { return Verdict::ReportAt(u64::MAX) };
        let left = most.saturating_sub(executions);
        if progress.last.0 == 0 {
            // How soon its first request came after it was lent says nothing about the rate.
            return Verdict::ReportAt(progress.begin_anew(left, executions, now));
        }
        let enough = progress.requests_in(self.boot * MARGIN, executions, now);
        *progress = Progress { earlier: progress.last, last: (executions, now) };
        if left <= enough {
            return Verdict::NearlyExhausted;
        }
        Verdict::ReportAt(executions + (left - enough).min(left / 4).max(1))
    }

    /// A worker was nearly exhausted, but its successor has waited for long, so the rate has fallen. Returns at how many requests it is to
    /// report again; `None` if it has so few left that the successor may as well replace it.
    pub(super) fn reconsider(
        &mut self,
        id: WorkerId,
        most: u64,
        executions: u64,
        now: Duration,
    ) -> Option<u64> {
        let left = most.saturating_sub(executions);
        let progress = self.workers.get_mut(&id).filter(|_| left > most / LAST_PART)?;
        Some(progress.begin_anew(left, executions, now))
    }
}

impl Progress {
    /// The rate counts from now on. Returns at how many requests the worker is to report.
    fn begin_anew(&mut self, left: u64, executions: u64, now: Duration) -> u64 {
        *self = Self { earlier: (executions, now), last: (executions, now) };
        executions + (left / 4).max(1)
    }

    /// Requests that will come within `time`, at the rate since the last report, or since the one before if that is higher.
    fn requests_in(&self, time: Duration, executions: u64, now: Duration) -> u64 {
        let since = |(before, at): (u64, Duration)| {
            let requests = u128::from(executions.saturating_sub(before)) * time.as_nanos();
            let elapsed = now.saturating_sub(at).as_nanos().max(1);
            // Rounded: one request a minute is none within a second.
            (2 * requests + elapsed) / (2 * elapsed)
        };
        u64::try_from(since(self.earlier).max(since(self.last))).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Duration = Duration::from_millis(300);

    fn forecast() -> Forecast {
        let mut forecast = Forecast::default();
        forecast.observe_boot(BOOT);
        forecast.begin(1, Duration::ZERO);
        forecast
    }

    /// Requests come at the times that `at` gives for each; returns how many were left when the successor was started, and the reports.
    fn life(forecast: &mut Forecast, most: u64, at: impl Fn(u64) -> Duration) -> (u64, u64) {
        let (mut next, mut reports) = (1, 0);
        while next <= most {
            reports += 1;
            match forecast.check(1, most, next, at(next)) {
                Verdict::NearlyExhausted => return (most - next, reports),
                Verdict::ReportAt(later) => {
                    assert!(later > next);
                    next = later;
                }
            }
        }
        (0, reports)
    }

    #[test]
    fn at_a_steady_rate_the_successor_is_started_two_boots_before_the_last_request() {
        for (most, per_second) in [(50, 10), (1_000, 50), (1_000, 500), (1_000_000, 1_000)] {
            let at = |executions| Duration::from_hours(1) + Duration::from_secs(executions) / per_second;
            let (left, reports) = life(&mut forecast(), most, at);
            let two_boots = u64::from(per_second) * 600 / 1000;
            assert!(left.abs_diff(two_boots) <= 2, "{left} of {most} are left at {per_second} per second");
            assert!(reports < 60, "{reports}");
        }
    }

    #[test]
    fn a_worker_with_few_requests_per_boot_has_its_successor_started_at_once() {
        let (left, _) = life(&mut forecast(), 20, |executions| Duration::from_millis(5 * executions));
        assert!(left >= 15, "{left}");
    }

    #[test]
    fn a_rate_that_rises_a_hundredfold_is_noticed_in_time() {
        let at = |executions: u64| match executions {
            ..=600 => Duration::from_secs(executions),
            _ => Duration::from_mins(10) + Duration::from_millis(10 * (executions - 600)),
        };
        let (left, _) = life(&mut forecast(), 1_000, at);
        assert!((30..=300).contains(&left), "{left}");
    }

    #[test]
    fn a_rare_request_starts_no_successor() {
        assert_eq!(life(&mut forecast(), 100, |executions| Duration::from_secs(60 * executions)).0, 0);
    }

    #[test]
    fn one_request_right_after_a_worker_was_lent_starts_no_successor() {
        assert_eq!(forecast().check(1, 200, 1, Duration::from_millis(1)), Verdict::ReportAt(50));
    }

    #[test]
    fn a_worker_whose_successor_has_waited_for_long_goes_on_unless_few_requests_are_left() {
        let mut forecast = forecast();
        let burst = Duration::from_millis(1);
        assert_eq!(forecast.check(1, 200, 1, burst), Verdict::ReportAt(50));
        assert_eq!(forecast.check(1, 200, 50, 2 * burst), Verdict::NearlyExhausted);
        let later = Duration::from_secs(20);
        assert_eq!(forecast.reconsider(1, 200, 60, later), Some(95));
        assert_eq!(forecast.check(1, 200, 95, later + Duration::from_mins(1)), Verdict::ReportAt(121));
        assert_eq!(forecast.reconsider(1, 200, 150, later), None);
    }

    #[test]
    fn the_estimate_of_boots_rises_at_once_and_falls_slowly() {
        let mut forecast = forecast();
        forecast.observe_boot(10 * BOOT);
        assert_eq!(forecast.boot(), 10 * BOOT);
        forecast.observe_boot(2 * BOOT);
        assert_eq!(forecast.boot(), 9 * BOOT);
        for _ in 0..100 {
            forecast.observe_boot(BOOT);
        }
        assert!(forecast.boot() < BOOT * 11 / 10);
    }
}
