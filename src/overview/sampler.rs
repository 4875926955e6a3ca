//! From counters, read once a second, to rates, percentiles, points of the history and what went wrong within a minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::calls::Counted;
use super::history::{BridgeValues, INTERVAL, MAX_POOLS, Point, PoolValues};
use crate::pools::PoolSnapshot;
use crate::telemetry::histogram::{Counts, STAGE_BOUNDS, quantile};
use crate::telemetry::metrics::approximate;

/// How far back counters are remembered.
const WINDOW: Duration = Duration::from_mins(1);

/// The time that a rate is the mean of.
const RATE: Duration = Duration::from_secs(5);

/// The time that percentiles are of.
const PERCENTILES: Duration = Duration::from_secs(10);

/// A pool's counters, which only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) rejections: u64,
    pub(super) deaths: u64,
    pub(super) boot_failures: u64,
    busy: Duration,
    capacity: Duration,
}

/// How long a pool's requests waited and were worked on, by the number of the bucket.
#[derive(Debug, Clone, Default)]
struct Durations {
    waits: Counts,
    works: Counts,
}

/// Percentiles of these, in seconds; `None` if there were no requests.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Percentiles {
    pub(super) wait: Option<[f64; 2]>,
    pub(super) worker: Option<[f64; 2]>,
}

/// What is known of the last minute, and what has been seen of the point that is being made.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Oldest first.
    readings: VecDeque<Reading>,
    /// The same of the last seconds only: they are larger.
    durations: VecDeque<(Instant, Vec<Durations>)>,
    point: Unfinished,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    calls: [Counted; 2],
    pools: Vec<Totals>,
}

#[derive(Debug)]
struct Unfinished {
    since: Instant,
    /// The counters when it began.
    calls: [Counted; 2],
    begin: Vec<(Totals, Durations)>,
    /// The peaks of waiting requests and of those in hand.
    peaks: Vec<(usize, usize)>,
}

impl Totals {
    fn of(pool: &PoolSnapshot) -> Self {
        let stats = &pool.stats;
        Self {
            requests: stats.requests,
            failures: stats.failures,
            rejections: stats.rejections.values().sum(),
            deaths: stats.restarts.get("died").copied().unwrap_or_default(),
            boot_failures: stats.boot_failures,
            busy: stats.busy,
            capacity: stats.capacity,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failures: self.failures.saturating_sub(before.failures),
            rejections: self.rejections.saturating_sub(before.rejections),
            deaths: self.deaths.saturating_sub(before.deaths),
            boot_failures: self.boot_failures.saturating_sub(before.boot_failures),
            busy: self.busy.saturating_sub(before.busy),
            capacity: self.capacity.saturating_sub(before.capacity),
        }
    }

    /// The share of the workers' time in which they had requests.
    fn share(self) -> f64 {
        if self.capacity.is_zero() {
            0.0
        } else {
            (self.busy.as_secs_f64() / self.capacity.as_secs_f64()).min(1.0)
        }
    }
}

impl Durations {
    fn of(pool: &PoolSnapshot) -> Self {
        Self { waits: pool.stats.waits(), works: pool.stats.works() }
    }

    /// The median and the 99th percentile of what was counted since.
    fn since(&self, before: Option<&Self>) -> Percentiles {
        let percentiles = |now: &Counts, before: Option<&Counts>| {
            let before = before.map_or(&[][..], |before| &before.counts).iter().chain(std::iter::repeat(&0));
            let counts: Vec<u64> =
                now.counts.iter().zip(before).map(|(now, before)| now.saturating_sub(*before)).collect();
            let has_any = counts.iter().any(|count| *count > 0);
            has_any.then(|| [0.5, 0.99].map(|share| quantile(&STAGE_BOUNDS, &counts, share).as_secs_f64()))
        };
        Percentiles {
            wait: percentiles(&self.waits, before.map(|before| &before.waits)),
            worker: percentiles(&self.works, before.map(|before| &before.works)),
        }
    }
}

impl Sampler {
    pub(super) fn new(now: Instant) -> Self {
        let point = Unfinished { since: now, calls: [(0, 0); 2], begin: Vec::new(), peaks: Vec::new() };
        Self { readings: VecDeque::new(), durations: VecDeque::new(), point }
    }

    /// Takes the next reading. Returns a point of the history each time that one is complete.
    pub(super) fn read(
        &mut self,
        now: Instant,
        calls: [Counted; 2],
        pools: &[PoolSnapshot],
    ) -> Option<Point> {
        let totals = by_number(pools, Totals::of);
        let durations = by_number(pools, Durations::of);
        let point = self.point.read(now, calls, pools, &totals, &durations);
        self.readings.push_back(Reading { at: now, calls, pools: totals });
        self.durations.push_back((now, durations));
        // One that is older than the window is kept, since the window begins with it.
        while self.readings.get(1).is_some_and(|second| now - second.at >= WINDOW) {
            self.readings.pop_front();
        }
        while self.durations.get(1).is_some_and(|(at, _)| now - *at >= PERCENTILES) {
            self.durations.pop_front();
        }
        point
    }

    /// What a pool has counted within the last minute.
    pub(super) fn minute(&self, pool: usize) -> Totals {
        let Some((last, first)) = self.within(WINDOW) else { return Totals::default() };
        totals(last, pool).since(totals(first, pool))
    }

    /// Requests and failures per second lately; `None` before there are two readings.
    pub(super) fn rates(&self, pool: usize) -> Option<(f64, f64)> {
        let (last, first) = self.within(RATE)?;
        let (counted, seconds) = (totals(last, pool).since(totals(first, pool)), seconds(last, first));
        Some((approximate(counted.requests) / seconds, approximate(counted.failures) / seconds))
    }

    /// Calls to the API and of RPC per second lately.
    pub(super) fn calls(&self) -> Option<BridgeValues> {
        let (last, first) = self.within(RATE)?;
        Some(rates(last.calls, first.calls, seconds(last, first)))
    }

    /// How long a pool's requests waited and were worked on lately.
    pub(super) fn percentiles(&self, pool: usize) -> Percentiles {
        let of = |(_, pools): &(Instant, Vec<Durations>)| pools.get(pool).cloned();
        let last = self.durations.back().and_then(of).unwrap_or_default();
        last.since(self.durations.front().and_then(of).as_ref())
    }

    /// The last reading, and the last one before it that is at least this old, or else the first one.
    fn within(&self, window: Duration) -> Option<(&Reading, &Reading)> {
        let last = self.readings.back()?;
        let first = self.readings.iter().rev().find(|reading| last.at - reading.at >= window);
        let first = first.or(self.readings.front())?;
        (last.at > first.at).then_some((last, first))
    }
}

/// What is read of each pool, by its number. There is nothing of those that a reload has removed.
fn by_number<T: Clone + Default>(pools: &[PoolSnapshot], read: impl Fn(&PoolSnapshot) -> T) -> Vec<T> {
    let numbers = pools.iter().map(|pool| pool.number + 1).max().unwrap_or_default();
    let mut all = vec![T::default(); numbers];
    for pool in pools {
        all[pool.number] = read(pool);
    }
    all
}

fn totals(reading: &Reading, pool: usize) -> Totals {
    reading.pools.get(pool).copied().unwrap_or_default()
}

fn seconds(last: &Reading, first: &Reading) -> f64 {
    (last.at - first.at).as_secs_f64()
}

fn rates(now: [Counted; 2], before: [Counted; 2], seconds: f64) -> BridgeValues {
    let per_second = |now: u64, before: u64| approximate(now.saturating_sub(before)) / seconds;
    let [(api, api_failures), (rpc, rpc_failures)] = now;
    [
        per_second(api, before[0].0),
        per_second(api_failures, before[0].1),
        per_second(rpc, before[1].0),
        per_second(rpc_failures, before[1].1),
    ]
}

impl Unfinished {
    fn read(
        &mut self,
        now: Instant,
        calls: [Counted; 2],
        pools: &[PoolSnapshot],
        totals: &[Totals],
        durations: &[Durations],
    ) -> Option<Point> {
        self.peaks.resize(self.peaks.len().max(totals.len()), (0, 0));
        for pool in pools {
            let peak = &mut self.peaks[pool.number];
            *peak = (peak.0.max(pool.stats.waiting), peak.1.max(pool.in_hand()));
        }
        let seconds = (now - self.since).as_secs_f64();
        if seconds < INTERVAL.as_secs_f64() {
            return None;
        }
        let values = |index: usize| self.values(index, totals[index], &durations[index], seconds);
        let point = Point {
            bridge: rates(calls, self.calls, seconds),
            pools: (0..totals.len().min(MAX_POOLS)).map(values).collect(),
        };
        let begin = totals.iter().copied().zip(durations.iter().cloned()).collect();
        *self = Self { since: now, calls, begin, peaks: Vec::new() };
        Some(point)
    }

    fn values(&self, index: usize, totals: Totals, durations: &Durations, seconds: f64) -> PoolValues {
        let begin = self.begin.get(index);
        let counted = totals.since(begin.map(|(totals, _)| *totals).unwrap_or_default());
        let Percentiles { wait, worker } = durations.since(begin.map(|(_, durations)| durations));
        let of =
            |percentiles: Option<[f64; 2]>, which: usize| percentiles.map_or(f64::NAN, |both| both[which]);
        let (waiting, in_hand) = self.peaks[index];
        [
            approximate(counted.requests) / seconds,
            approximate(counted.failures) / seconds,
            approximate(counted.rejections) / seconds,
            approximate(waiting as u64),
            approximate(in_hand as u64),
            of(wait, 1),
            of(worker, 0),
            of(worker, 1),
            counted.share(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(counts: [u64; 3]) -> Durations {
        let counts = Counts { counts: counts.to_vec(), ..Counts::default() };
        Durations { waits: Counts::default(), works: counts }
    }

    #[test]
    fn percentiles_are_of_what_was_counted_since() {
        let [fast, slow] = [counts([100, 0, 0]), counts([100, 0, 10])];
        assert_eq!(fast.since(Some(&fast)), Percentiles::default(), "no requests");
        let [_, p99] = slow.since(Some(&fast)).worker.unwrap();
        assert!(p99 > STAGE_BOUNDS[1] && p99 <= STAGE_BOUNDS[2], "{p99}");
        let [p50, _] = slow.since(None).worker.unwrap();
        assert!(p50 <= STAGE_BOUNDS[0], "{p50}");
    }

    #[tokio::test(start_paused = true)]
    async fn rates_are_of_the_last_seconds_and_points_of_whole_intervals() {
        let mut sampler = Sampler::new(Instant::now());
        let mut points = Vec::new();
        for second in 0..=10 {
            points.extend(sampler.read(Instant::now(), [(second * 3, second), (0, 0)], &[]));
            if second == 0 {
                assert_eq!(sampler.calls(), None);
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(sampler.calls(), Some([3.0, 1.0, 0.0, 0.0]));
        assert_eq!(points.iter().map(|point| point.bridge).collect::<Vec<_>>(), [[3.0, 1.0, 0.0, 0.0]; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_readings_are_kept_than_are_needed() {
        let mut sampler = Sampler::new(Instant::now());
        for _ in 0..1000 {
            sampler.read(Instant::now(), [(0, 0); 2], &[]);
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((sampler.readings.len(), sampler.durations.len()), (61, 11));
    }
}
