//! From the pools' counters, read once a second, to rates, points of the history and what went wrong within a minute.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use super::history::{INTERVAL, MAX_POOLS, Point, PoolValues};
use crate::pools::PoolSnapshot;
use crate::telemetry::metrics::approximate;

/// How far back counters are remembered.
const WINDOW: Duration = Duration::from_mins(1);

/// The time that a rate is the mean of.
const RATE: Duration = Duration::from_secs(5);

/// A pool's counters, which only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) deaths: u64,
}

/// All readings of the last minute, and what has been seen of the point that is being made.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Oldest first.
    readings: VecDeque<Reading>,
    point: Unfinished,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    pools: Vec<Totals>,
}

#[derive(Debug)]
struct Unfinished {
    since: Instant,
    /// The counters when it began.
    begin: Vec<Totals>,
    /// The peaks of waiting requests and of those in hand.
    peaks: Vec<(usize, usize)>,
}

impl Totals {
    fn of(pool: &PoolSnapshot) -> Self {
        let deaths = pool.stats.restarts.get("died").copied().unwrap_or_default();
        Self { requests: pool.stats.requests, failures: pool.stats.failures, deaths }
    }

    fn since(self, before: Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failures: self.failures.saturating_sub(before.failures),
            deaths: self.deaths.saturating_sub(before.deaths),
        }
    }
}

impl Sampler {
    pub(super) fn new(now: Instant) -> Self {
        let point = Unfinished { since: now, begin: Vec::new(), peaks: Vec::new() };
        Self { readings: VecDeque::new(), point }
    }

    /// Takes the next reading. Returns a point of the history each time that one is complete.
    pub(super) fn read(&mut self, now: Instant, pools: &[PoolSnapshot]) -> Option<Point> {
        let totals: Vec<Totals> = pools.iter().map(Totals::of).collect();
        let point = self.point.read(now, pools, &totals);
        self.readings.push_back(Reading { at: now, pools: totals });
        // One that is older than the window is kept, since the window begins with it.
        while self.readings.get(1).is_some_and(|second| now - second.at >= WINDOW) {
            self.readings.pop_front();
        }
        point
    }

    /// What a pool has counted within the last minute.
    pub(super) fn minute(&self, pool: usize) -> Totals {
        self.within(WINDOW, pool).map_or_else(Totals::default, |(counted, _)| counted)
    }

    /// Requests and failures per second lately; `None` before there are two readings.
    pub(super) fn rates(&self, pool: usize) -> Option<(f64, f64)> {
        let (counted, seconds) = self.within(RATE, pool)?;
        Some((approximate(counted.requests) / seconds, approximate(counted.failures) / seconds))
    }

    /// What a pool has counted since the last reading that is at least this old, or the first one, and how many seconds that is.
    fn within(&self, window: Duration, pool: usize) -> Option<(Totals, f64)> {
        let last = self.readings.back()?;
        let first = self.readings.iter().rev().find(|reading| last.at - reading.at >= window);
        let first = first.or(self.readings.front())?;
        let of = |reading: &Reading| reading.pools.get(pool).copied().unwrap_or_default();
        let seconds = (last.at - first.at).as_secs_f64();
        (seconds > 0.0).then(|| (of(last).since(of(first)), seconds))
    }
}

impl Unfinished {
    fn read(&mut self, now: Instant, pools: &[PoolSnapshot], totals: &[Totals]) -> Option<Point> {
        self.peaks.resize(pools.len(), (0, 0));
        for (peak, pool) in self.peaks.iter_mut().zip(pools) {
            *peak = (peak.0.max(pool.stats.waiting), peak.1.max(pool.in_hand()));
        }
        let seconds = (now - self.since).as_secs_f64();
        if seconds < INTERVAL.as_secs_f64() {
            return None;
        }
        let values = |(index, pool): (usize, &PoolSnapshot)| -> PoolValues {
            let begin = self.begin.get(index).copied().unwrap_or_default();
            let counted = totals[index].since(begin);
            let (waiting, in_hand) = self.peaks[index];
            let latency = |time: Duration| if counted.requests > 0 { time.as_secs_f64() } else { f64::NAN };
            [
                approximate(counted.requests) / seconds,
                approximate(counted.failures) / seconds,
                approximate(waiting as u64),
                approximate(in_hand as u64),
                latency(pool.stats.latency.p50),
                latency(pool.stats.latency.p99),
            ]
        };
        let pools = pools.iter().enumerate().take(MAX_POOLS).map(values).collect();
        *self = Self { since: now, begin: totals.to_vec(), peaks: Vec::new() };
        Some(Point { pools })
    }
}
