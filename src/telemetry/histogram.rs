//! Histograms of durations that every call writes: an array of counters, without a lock.
//!
//! The scale decides the buckets. [`Seconds`] and [`Stage`] have the bounds that a Prometheus histogram shows, so that its `le` counts are
//! exact; [`Eighths`] has buckets that are narrow enough to read percentiles off them. HdrHistogram would serve neither: recording without a lock
//! takes one histogram per thread, its buckets do not match Prometheus' bounds, and each takes some hundred kilobytes, where these take
//! 128 bytes and 2 KB.
//!
//! The application's own histograms (`metrics::family`) count any numbers, with bounds known at run time only.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The upper bounds of [`Seconds`], in seconds; a last bucket takes everything beyond.
pub(crate) const BOUNDS: [f64; 14] = seconds(MICROS);

/// The same in microseconds.
const MICROS: [u32; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// The buckets of [`Seconds`].
const SECONDS: usize = BOUNDS.len() + 1;

/// The upper bounds of [`Stage`], in seconds; a last bucket takes everything beyond.
pub(crate) const STAGE_BOUNDS: [f64; 17] = seconds(STAGE_MICROS);

/// The same in microseconds.
const STAGE_MICROS: [u32; 17] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// The buckets of [`Stage`].
const STAGE: usize = STAGE_BOUNDS.len() + 1;

/// Buckets per doubling of [`Eighths`]: each is at most an eighth wider than what it holds.
const STEPS: u64 = 8;

/// The buckets of [`Eighths`]: up to 2^36 microseconds, which is 19 hours.
const EIGHTHS: usize = 34 * 8;

/// Sorts durations into `BUCKETS` buckets.
pub(crate) trait Scale<const BUCKETS: usize> {
    /// The index of the bucket.
    fn bucket(took: Duration) -> usize;
}

/// Counts durations.
pub(crate) struct Histogram<S, const BUCKETS: usize> {
    counts: [AtomicU64; BUCKETS],
    nanos: AtomicU64,
    scale: PhantomData<fn() -> S>,
}

/// The buckets of a Prometheus histogram.
pub(crate) enum Seconds {}

/// A histogram for the metrics page.
pub(crate) type SecondsHistogram = Histogram<Seconds, SECONDS>;

/// The buckets of a Prometheus histogram for the stages of a call, of which many take microseconds.
pub(crate) enum Stage {}

/// A histogram of one stage, for the metrics page.
pub(crate) type StageHistogram = Histogram<Stage, STAGE>;

/// One bucket per microsecond below eight, then eight per doubling.
pub(crate) enum Eighths {}

/// A histogram for percentiles.
pub(crate) type EighthsHistogram = Histogram<Eighths, EIGHTHS>;

/// What a histogram has counted so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// Per bucket, not cumulative.
    pub(crate) counts: Vec<u64>,
    /// The sum of all durations.
    pub(crate) sum: Duration,
}

impl<S: Scale<BUCKETS>, const BUCKETS: usize> Histogram<S, BUCKETS> {
    /// Counts one duration.
    pub(crate) fn observe(&self, took: Duration) {
        self.counts[S::bucket(took)].fetch_add(1, Relaxed);
        // Most calls wait for nothing.
        if !took.is_zero() {
            self.nanos.fetch_add(nanoseconds(took), Relaxed);
        }
    }

    /// Reads the counts.
    pub(crate) fn read(&self) -> Counts {
        Counts {
            counts: self.counts.iter().map(|count| count.load(Relaxed)).collect(),
            sum: Duration::from_nanos(self.nanos.load(Relaxed)),
        }
    }
}

impl<S, const BUCKETS: usize> Default for Histogram<S, BUCKETS> {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], nanos: AtomicU64::new(0), scale: PhantomData }
    }
}

impl<S, const BUCKETS: usize> fmt::Debug for Histogram<S, BUCKETS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total: u64 = self.counts.iter().map(|count| count.load(Relaxed)).sum();
        f.debug_struct("Histogram").field("count", &total).finish_non_exhaustive()
    }
}

impl Scale<SECONDS> for Seconds {
    fn bucket(took: Duration) -> usize {
        below(&MICROS, took)
    }
}

impl Scale<STAGE> for Stage {
    fn bucket(took: Duration) -> usize {
        below(&STAGE_MICROS, took)
    }
}

/// The number of bounds below a duration.
fn below(micros: &[u32], took: Duration) -> usize {
    let took = nanoseconds(took);
    micros.iter().take_while(|micros| u64::from(**micros) * 1000 < took).count()
}

const fn seconds<const N: usize>(micros: [u32; N]) -> [f64; N] {
    let mut seconds = [0.0; N];
    let mut index = 0;
    while index < N {
        seconds[index] = micros[index] as f64 / 1e6;
        index += 1;
    }
    seconds
}

fn nanoseconds(took: Duration) -> u64 {
    took.as_secs().saturating_mul(1_000_000_000).saturating_add(took.subsec_nanos().into())
}

impl Counts {
    /// Adds what another histogram of the same scale has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum += other.sum;
    }

    /// How many durations were counted.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

impl Scale<EIGHTHS> for Eighths {
    fn bucket(took: Duration) -> usize {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if micros < STEPS {
            return usize::try_from(micros).unwrap_or(0);
        }
        let doublings = u64::from(micros.ilog2() - STEPS.ilog2());
        let step = (micros >> doublings) - STEPS;
        usize::try_from((doublings + 1) * STEPS + step).unwrap_or(EIGHTHS).min(EIGHTHS - 1)
    }
}

/// The duration that a share of the counted ones did not exceed, as Prometheus' `histogram_quantile` estimates it: on a straight line
/// within its bucket, and never beyond the last bound. Zero if none were counted.
#[allow(clippy::cast_precision_loss, reason = "an estimate")]
pub(crate) fn quantile(bounds: &[f64], counts: &[u64], share: f64) -> Duration {
    let total: u64 = counts.iter().sum();
    let rank = share * total as f64;
    let (mut below, mut lower) = (0, 0.0);
    for (bound, count) in bounds.iter().zip(counts) {
        let count = *count;
        if count > 0 && (below + count) as f64 >= rank {
            let part = (rank - below as f64).max(0.0) / count as f64;
            return Duration::from_secs_f64(lower + (bound - lower) * part);
        }
        (below, lower) = (below + count, *bound);
    }
    Duration::from_secs_f64(if total == 0 { 0.0 } else { lower })
}

impl Eighths {
    /// The duration that `percent` of the counted ones did not exceed; zero if none were counted.
    pub(crate) fn percentile(counts: &[u64], percent: u64) -> Duration {
        let total: u64 = counts.iter().sum();
        let rank = (total * percent).div_ceil(100);
        let mut seen = 0;
        let bucket = counts.iter().position(|count| {
            seen += count;
            *count > 0 && seen >= rank
        });
        bucket.map_or(Duration::ZERO, Self::upper_end)
    }

    /// The longest duration in a bucket.
    fn upper_end(bucket: usize) -> Duration {
        let bucket = bucket as u64;
        if bucket < STEPS {
            return Duration::from_micros(bucket);
        }
        let doublings = bucket / STEPS - 1;
        Duration::from_micros(((STEPS + bucket % STEPS + 1) << doublings) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_at_most_an_eighth_below_the_upper_end_of_its_bucket() {
        for micros in (0..5_000).chain([65_535, 65_536, 1_000_000, 60_000_000, 3_600_000_000]) {
            let took = Duration::from_micros(micros);
            let end = Eighths::upper_end(Eighths::bucket(took));
            assert!(end >= took && end <= took + took / 8, "{took:?} {end:?}");
        }
        assert_eq!(Eighths::bucket(Duration::MAX), EIGHTHS - 1);
    }

    #[test]
    fn percentiles_are_read_off_the_buckets() {
        let histogram = EighthsHistogram::default();
        assert_eq!(Eighths::percentile(&histogram.read().counts, 50), Duration::ZERO);
        for micros in 1..=100 {
            histogram.observe(Duration::from_micros(micros));
        }
        let Counts { counts, sum } = histogram.read();
        assert_eq!(sum, Duration::from_micros(5050));
        for micros in [50, 99, 100] {
            let found = Eighths::percentile(&counts, micros);
            let exact = Duration::from_micros(micros);
            assert!(found >= exact && found <= exact + exact / 8, "{found:?}");
        }
    }

    #[test]
    fn quantiles_lie_on_a_straight_line_within_their_bucket() {
        let of = |counts: &[u64], share| quantile(&[1.0, 2.0, 4.0], counts, share).as_millis();
        assert_eq!(of(&[0, 0, 0, 0], 0.5), 0);
        assert_eq!(of(&[0, 10, 0, 0], 0.5), 1500);
        assert_eq!(of(&[10, 0, 10, 0], 0.75), 3000);
        assert_eq!(of(&[10, 0, 10, 0], 0.5), 1000);
        assert_eq!(of(&[1, 0, 0, 99], 0.99), 4000);
    }

    #[test]
    fn short_stages_have_buckets_and_sums_of_nanoseconds() {
        let histogram = StageHistogram::default();
        for nanos in [0, 50_000, 50_001, 249_999] {
            histogram.observe(Duration::from_nanos(nanos));
        }
        let mut counts = histogram.read();
        assert_eq!((&counts.counts[..4], counts.sum), (&[2, 1, 1, 0][..], Duration::from_micros(350)));
        counts.add(&histogram.read());
        assert_eq!((counts.total(), counts.sum), (8, Duration::from_micros(700)));
    }

    #[test]
    fn the_bounds_of_seconds_are_inclusive() {
        for (micros, bucket) in [(0, 0), (500, 0), (501, 1), (10_000_000, 13), (10_000_001, 14)] {
            assert_eq!(Seconds::bucket(Duration::from_micros(micros)), bucket, "{micros}");
        }
    }
}
