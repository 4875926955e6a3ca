//! Where requests and workers are counted.
//!
//! Requests count with relaxed atomics: no decision depends on these numbers, and each is right in the end.

use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Error;
use super::core::Reason;
use super::stats::{Latency, Stats, TypeStats};
use crate::request_type::RequestType;
use crate::telemetry::histogram::{Eighths, EighthsHistogram, SecondsHistogram, StageHistogram};
use crate::worker::{Dropped, Waste};

/// Percentiles cover the time since the last reading but one that is at least this old.
const WINDOW: Duration = Duration::from_secs(10);

/// The pool's numbers.
#[derive(Debug)]
pub(super) struct Counters {
    failures: AtomicU64,
    durations: EighthsHistogram,
    readings: Mutex<[(Instant, Vec<u64>); 2]>,
    types: [OfType; RequestType::COUNT],
    rejections: [AtomicU64; Rejection::ALL.len()],
    /// Nanoseconds for which units were leased that have come back.
    busy: AtomicU64,
    /// Milliseconds of capacity of workers that are gone.
    capacity: AtomicU64,
    /// The highest readings of both so far, in nanoseconds and milliseconds: they are sums that are not read at one moment, so that a
    /// reading may be too small, and counters must not fall. It is never too large: see [`Counters::times`].
    highest: [AtomicU64; 2],
    boots: SecondsHistogram,
    boot_failures: AtomicU64,
    restarts: Mutex<BTreeMap<&'static str, u64>>,
    waste: Arc<Waste>,
}

/// The requests of one type.
#[derive(Debug, Default)]
struct OfType {
    waits: StageHistogram,
    works: StageHistogram,
}

/// Why a request got no worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejection {
    QueueFull,
    AllocateTimeout,
    Deadline,
    NoWorkers,
    Shutdown,
    /// Its caller has gone.
    Cancelled,
}

impl Rejection {
    const ALL: [Self; 6] = [
        Self::QueueFull,
        Self::AllocateTimeout,
        Self::Deadline,
        Self::NoWorkers,
        Self::Shutdown,
        Self::Cancelled,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::AllocateTimeout => "allocate_timeout",
            Self::Deadline => "deadline",
            Self::NoWorkers => "no_workers",
            Self::Shutdown => "shutdown",
            Self::Cancelled => "cancelled",
        }
    }

    /// The rejection that this error means.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::QueueFull { .. } => Self::QueueFull,
            Error::Busy { .. } => Self::AllocateTimeout,
            Error::DeadlineExceeded => Self::Deadline,
            Error::ShuttingDown => Self::Shutdown,
            _ => Self::NoWorkers,
        }
    }
}

/// What is read elsewhere for [`Stats`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Present {
    pub(super) waiting: usize,
    pub(super) target: usize,
    /// For how long the units that are leased have been so.
    pub(super) busy: Duration,
    /// The capacity of the workers that live, so far.
    pub(super) capacity: Duration,
}

impl Counters {
    pub(super) fn new() -> Self {
        let durations = EighthsHistogram::default();
        let empty = || (Instant::now(), durations.read().counts);
        let readings = Mutex::new([empty(), empty()]);
        Self {
            failures: AtomicU64::new(0),
            durations,
            readings,
            types: Default::default(),
            rejections: Default::default(),
            busy: AtomicU64::new(0),
            capacity: AtomicU64::new(0),
            highest: Default::default(),
            boots: SecondsHistogram::default(),
            boot_failures: AtomicU64::new(0),
            restarts: Mutex::default(),
            waste: Arc::default(),
        }
    }

    /// Counts a request that is done.
    pub(super) fn request(&self, took: Duration, failed: bool) {
        self.durations.observe(took);
        if failed {
            self.failures.fetch_add(1, Relaxed);
        }
    }

    /// Counts how long a request waited for its worker, or in vain.
    pub(super) fn waited(&self, kind: RequestType, took: Duration) {
        self.types[kind.number()].waits.observe(took);
    }

    /// Counts how long a worker worked on a request.
    pub(super) fn worked(&self, kind: RequestType, took: Duration) {
        self.types[kind.number()].works.observe(took);
    }

    /// Counts the time for which a unit was leased that is not in its request any more.
    pub(super) fn was_busy(&self, time: Duration) {
        self.busy.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Release);
    }

    /// Counts the capacity that a worker had in its life that is not in the roster any more.
    pub(super) fn had_capacity(&self, time: Duration) {
        self.capacity.fetch_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), Release);
    }

    /// Counts a request that got no worker.
    pub(super) fn reject(&self, reason: Rejection) {
        self.rejections[reason as usize].fetch_add(1, Relaxed);
    }

    /// Counts a worker that has become ready.
    pub(super) fn boot(&self, took: Duration) {
        self.boots.observe(took);
    }

    /// Counts a worker that did not become ready.
    pub(super) fn failed_boot(&self) {
        self.boot_failures.fetch_add(1, Relaxed);
    }

    /// Counts a worker that leaves, for a reason or by its own death.
    pub(super) fn restart(&self, reason: Option<Reason>) {
        let name = reason.map_or("died", Reason::name);
        *self.restarts.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
    }

    /// Where workers count what they send in vain.
    pub(super) fn waste(&self) -> &Arc<Waste> {
        &self.waste
    }

    pub(super) fn stats(&self, present: impl FnOnce() -> Present) -> Stats {
        let (present, [busy, capacity]) = self.times(present);
        let counts = self.durations.read().counts;
        let rejections =
            Rejection::ALL.map(|reason| (reason.name(), self.rejections[reason as usize].load(Relaxed)));
        Stats {
            waiting: present.waiting,
            target: present.target,
            requests: counts.iter().sum(),
            failures: self.failures.load(Relaxed),
            latency: self.lately(counts, Instant::now()),
            restarts: self.restarts.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            types: self.types(),
            rejections: rejections.into(),
            busy,
            capacity,
            boots: self.boots.read(),
            boot_failures: self.boot_failures.load(Relaxed),
            frames_dropped: Dropped::ALL.map(|reason| (reason.name(), self.waste.frames(reason))).into(),
            noise_bytes: self.waste.noise_bytes(),
        }
    }

    /// The types that have occurred.
    fn types(&self) -> Vec<TypeStats> {
        let all = RequestType::all().zip(&self.types);
        let read = all.map(|(kind, counts)| TypeStats {
            kind,
            waits: counts.waits.read(),
            works: counts.works.read(),
        });
        read.filter(|counts| counts.waits.total() + counts.works.total() > 0).collect()
    }

    /// For how long units were leased, and the capacity that there was for that. What is over is read first: a lease or a life that ends
    /// meanwhile is missing then, until the next reading, and never counts twice.
    fn times(&self, present: impl FnOnce() -> Present) -> (Present, [Duration; 2]) {
        let busy = Duration::from_nanos(self.busy.load(Acquire));
        let capacity = Duration::from_millis(self.capacity.load(Acquire));
        let present = present();
        let (busy, capacity) = (busy + present.busy, capacity + present.capacity);
        let highest = |of: &AtomicU64, now: u128| {
            let now = u64::try_from(now).unwrap_or(u64::MAX);
            now.max(of.fetch_max(now, Relaxed))
        };
        let highest = [
            Duration::from_nanos(highest(&self.highest[0], busy.as_nanos())),
            Duration::from_millis(highest(&self.highest[1], capacity.as_millis())),
        ];
        (present, highest)
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

    const NOTHING: Present =
        Present { waiting: 0, target: 1, busy: Duration::ZERO, capacity: Duration::ZERO };

    fn nothing() -> Present {
        NOTHING
    }

    #[test]
    fn percentiles_are_within_an_eighth() {
        let counters = Counters::new();
        assert_eq!(counters.stats(nothing).latency, Latency::default());
        for micros in 1..=100 {
            counters.request(Duration::from_micros(micros), micros == 100);
        }
        let stats = counters.stats(|| Present { waiting: 3, ..NOTHING });
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
        assert!(counters.stats(nothing).latency.max >= Duration::from_secs(5));
        for _ in 0..2 {
            tokio::time::advance(WINDOW).await;
            counters.stats(nothing);
        }
        counters.request(Duration::from_micros(5), false);
        let stats = counters.stats(nothing);
        assert_eq!(stats.latency.max, Duration::from_micros(5));
        assert_eq!(stats.requests, 2);
    }

    #[test]
    fn restarts_are_counted_by_reason() {
        let counters = Counters::new();
        counters.restart(Some(Reason::MaxJobs));
        counters.restart(Some(Reason::MaxJobs));
        counters.restart(None);
        assert_eq!(counters.stats(nothing).restarts, BTreeMap::from([("max_jobs", 2), ("died", 1)]));
    }

    #[test]
    fn times_grow_although_they_are_not_read_at_one_moment() {
        let counters = Counters::new();
        let read = |busy, capacity| {
            let (busy, capacity) = (Duration::from_secs(busy), Duration::from_secs(capacity));
            let stats = counters.stats(|| Present { busy, capacity, ..NOTHING });
            (stats.busy.as_secs(), stats.capacity.as_secs())
        };
        assert_eq!(read(3, 10), (3, 10));
        // The request in hand and its worker have gone, and are not counted yet.
        assert_eq!(read(0, 0), (3, 10));
        counters.was_busy(Duration::from_secs(4));
        counters.had_capacity(Duration::from_secs(11));
        assert_eq!(read(0, 2), (4, 13));
    }

    #[test]
    fn a_worker_that_goes_while_the_times_are_read_does_not_count_twice() {
        let counters = Counters::new();
        let (busy, capacity) = (Duration::from_hours(1), Duration::from_hours(24));
        let stats = counters.stats(|| {
            counters.was_busy(busy);
            counters.had_capacity(capacity);
            Present { busy, capacity, ..NOTHING }
        });
        assert_eq!((stats.busy, stats.capacity), (busy, capacity));
        let stats = counters.stats(nothing);
        assert_eq!((stats.busy, stats.capacity), (busy, capacity));
    }

    #[test]
    fn only_types_that_have_occurred_are_shown() {
        let counters = Counters::new();
        let rpc = RequestType::of("rpc");
        counters.waited(rpc, Duration::ZERO);
        counters.worked(rpc, Duration::from_millis(3));
        counters.waited(RequestType::OTHER, Duration::from_secs(1));
        let types = counters.stats(nothing).types;
        let seen: Vec<_> = types
            .iter()
            .map(|counts| (counts.kind.name(), counts.waits.total(), counts.works.total()))
            .collect();
        assert_eq!(seen, [("rpc", 1, 1), ("other", 1, 0)]);
    }
}
