//! What the pool has done so far, in numbers.
//!
//! Requests count with relaxed atomics: no decision depends on these numbers, and each is right in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::core::Reason;

/// Steps per doubling: a bucket is at most an eighth wider than what it holds.
const STEPS: u64 = 8;

/// Buckets up to 2^36 microseconds, which is 19 hours.
const BUCKETS: usize = 34 * 8;

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
    histogram: Box<[AtomicU64]>,
    restarts: Mutex<BTreeMap<&'static str, u64>>,
    readings: Mutex<[(Instant, Vec<u64>); 2]>,
}

impl Counters {
    pub(super) fn new() -> Self {
        let empty = || (Instant::now(), vec![0; BUCKETS]);
        Self {
            failures: AtomicU64::new(0),
            histogram: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            restarts: Mutex::default(),
            readings: Mutex::new([empty(), empty()]),
        }
    }

    /// Counts a request that is done.
    pub(super) fn request(&self, took: Duration, failed: bool) {
        self.histogram[bucket(took)].fetch_add(1, Relaxed);
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
        let counts: Vec<u64> = self.histogram.iter().map(|count| count.load(Relaxed)).collect();
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
            p50: percentile(&recent, 50),
            p90: percentile(&recent, 90),
            p99: percentile(&recent, 99),
            max: percentile(&recent, 100),
        }
    }
}

/// Below eight microseconds one bucket each, then eight per doubling.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS {
        return usize::try_from(micros).unwrap_or(0);
    }
    let doublings = u64::from(micros.ilog2() - STEPS.ilog2());
    let step = (micros >> doublings) - STEPS;
    usize::try_from((doublings + 1) * STEPS + step).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// The largest time that falls into a bucket.
fn upper_end(bucket: usize) -> Duration {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return Duration::from_micros(bucket);
    }
    let doublings = bucket / STEPS - 1;
    Duration::from_micros(((STEPS + bucket % STEPS + 1) << doublings) - 1)
}

/// The time that this percentage of the counted requests did not exceed.
fn percentile(counts: &[u64], percent: u64) -> Duration {
    let total: u64 = counts.iter().sum();
    let rank = (total * percent).div_ceil(100);
    let mut seen = 0;
    let place = counts.iter().position(|count| {
        seen += count;
        *count > 0 && seen >= rank
    });
    place.map_or(Duration::ZERO, upper_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_at_most_an_eighth_below_its_bucket_s_upper_end() {
        for micros in (0..5_000).chain([65_535, 65_536, 1_000_000, 60_000_000, 3_600_000_000]) {
            let took = Duration::from_micros(micros);
            let end = upper_end(bucket(took));
            assert!(end >= took && end <= took + took / 8, "{took:?} {end:?}");
        }
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_read_off_the_buckets() {
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
