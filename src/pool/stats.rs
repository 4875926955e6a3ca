//! What the pool has done so far, in numbers.
//!
//! Requests count with relaxed atomics: no decision depends on these numbers, and each is right in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::core::Reason;
use crate::telemetry::histogram::{Eighths, EighthsHistogram};

/// Percentiles cover the time since the last reading but one that is at least this old.
const WINDOW: Duration = Duration::from_secs(10);

/// The pool's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Configured number of workers.
    pub target: usize,
    /// Requests that were answered or failed so far; those whose callers went away before are not among them.
    pub requests: u64,
    /// Requests that failed so far.
    pub failures: u64,
    /// How long requests took lately, waiting included.
    pub latency: Latency,
    /// How many workers have left so far, by the reason's name.
    pub restarts: BTreeMap<&'static str, u64>,
}

/// How long requests took in the last ten seconds, or since the reading before; zero when there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latency {
    /// The median.
    pub p50: Duration,
    /// The 90th percentile.
    pub p90: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

/// Where requests and workers are counted.
#[derive(Debug)]
pub(super) struct Counters {
    failures: AtomicU64,
    durations: EighthsHistogram,
    restarts: Mutex<BTreeMap<&'static str, u64>>,
    readings: Mutex<[(Instant, Vec<u64>); 2]>,
}

impl Counters {
    pub(super) fn new() -> Self {
        let durations = EighthsHistogram::default();
        let empty = || (Instant::now(), durations.read().counts);
        let readings = Mutex::new([empty(), empty()]);
        Self { failures: AtomicU64::new(0), durations, restarts: Mutex::default(), readings }
    }

    /// Counts a request that is done.
    pub(super) fn request(&self, took: Duration, failed: bool) {
        self.durations.observe(took);
        if failed {
            self.failures.fetch_add(1, Relaxed);
        }
    }

    /// Counts a worker that leaves, for a reason or by its own death.
    pub(super) fn restart(&self, reason: Option<Reason>) {
        let name = reason.map_or("died", Reason::name);
        *self.restarts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    pub(super) fn stats(&self, waiting: usize, target: usize) -> Stats {
        let counts = self.durations.read().counts;
        Stats {
            waiting,
            target,
            requests: counts.iter().sum(),
            failures: self.failures.load(Relaxed),
            latency: self.lately(counts, Instant::now()),
            restarts: self.restarts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The latency since the older of two remembered readings; the newer one replaces it when it is old enough.
    fn lately(&self, counts: Vec<u64>, now: Instant) -> Latency {
        let mut readings = self.readings.lock().unwrap_or_else(PoisonError::into_inner);
        let [older, newer] = &mut *readings;
        let recent: Vec<u64> = counts.iter().zip(&older.1).map(|(count, before)| count - before).collect();
        if now.saturating_duration_since(newer.0) >= WINDOW {
            *older = std::mem::replace(newer, (now, counts));
        }
        Latency {
            p50: Eighths::percentile(&recent, 50),
            p90: Eighths::percentile(&recent, 90),
            p99: Eighths::percentile(&recent, 99),
            max: Eighths::percentile(&recent, 100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_an_eighth() {
        let counters = Counters::new();
        assert_eq!(counters.stats(0, 1).latency, Latency::default());
        for micros in 1..=100 {
            counters.request(Duration::from_micros(micros), micros == 100);
        }
        let stats = counters.stats(3, 1);
        assert_eq!((stats.requests, stats.failures, stats.waiting), (100, 1, 3));
        let near = |time: Duration, micros: u64| {
            time >= Duration::from_micros(micros) && time <= Duration::from_micros(micros + micros / 8)
        };
        assert!(near(stats.latency.p50, 50) && near(stats.latency.p99, 99) && near(stats.latency.max, 100));
    }

    #[tokio::test(start_paused = true)]
    async fn percentiles_forget_what_is_long_ago() {
        let counters = Counters::new();
        counters.request(Duration::from_secs(5), false);
        assert!(counters.stats(0, 1).latency.max >= Duration::from_secs(5));
        for _ in 0..2 {
            tokio::time::advance(WINDOW).await;
            counters.stats(0, 1);
        }
        counters.request(Duration::from_micros(5), false);
        let stats = counters.stats(0, 1);
        assert_eq!(stats.latency.max, Duration::from_micros(5));
        assert_eq!(stats.requests, 2);
    }

    #[test]
    fn restarts_are_counted_by_reason() {
        let counters = Counters::new();
        counters.restart(Some(Reason::MaxJobs));
        counters.restart(Some(Reason::MaxJobs));
        counters.restart(None);
        assert_eq!(counters.stats(0, 1).restarts, BTreeMap::from([("max_jobs", 2), ("died", 1)]));
    }
}
