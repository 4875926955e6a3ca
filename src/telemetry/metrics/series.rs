//! The values of one combination of label values.

use std::sync::Arc;
use std::time::Instant;

use super::budget::Budget;
use super::collector::CollectorKind;
use super::summary::Recent;

/// Label values, in the order of the label names.
pub(super) type Key = Arc<[String]>;

/// The bytes of a series in memory, without its key and its buckets.
const SERIES: usize = 128;

/// The bytes of a label value in memory, without its text.
const LABEL: usize = 48;

/// The bytes of a sample on the page, without its labels: the suffix of its name, a bound or quantile, and the number.
const SAMPLE: usize = 32;
const BOUNDED_SAMPLE: usize = 96;

/// The bytes of one bin of a sketch.
const BIN: usize = 8;

/// The values.
#[derive(Debug)]
pub(super) enum Series {
    Value(f64),
    /// Per bucket, not cumulative; the last one is for what is larger than all bounds.
    Histogram {
        counts: Box<[u64]>,
        sum: f64,
    },
    Summary {
        recent: Recent,
        count: u64,
        sum: f64,
    },
}

/// A copy of the values for the page.
#[derive(Debug)]
pub(super) enum Shown {
    Value(f64),
    Histogram { counts: Box<[u64]>, sum: f64 },
    Summary { quantiles: Vec<f64>, count: u64, sum: f64 },
}

impl Series {
    /// A series of a collector with this number of bounds.
    pub(super) fn empty(kind: CollectorKind, buckets: usize) -> Self {
        match kind {
            CollectorKind::Counter | CollectorKind::Gauge => Self::Value(0.0),
            CollectorKind::Histogram => Self::Histogram { counts: vec![0; buckets + 1].into(), sum: 0.0 },
            CollectorKind::Summary => Self::Summary { recent: Recent::default(), count: 0, sum: 0.0 },
        }
    }

    /// Adds a value to a summary. Its sketches grow with the range of the values; once the budget is used up, the quantiles stay as they
    /// are.
    pub(super) fn summarize(recent: &mut Recent, value: f64, budget: &Budget) {
        if budget.has_room_for_a_sketch() {
            let before = recent.bins();
            recent.observe(value, Instant::now());
            settle(before, recent.bins(), budget);
        }
    }

    /// The bytes of its sketches.
    pub(super) fn sketches(&self) -> usize {
        match self {
            Self::Summary { recent, .. } => recent.bins() * BIN,
            Self::Value(_) | Self::Histogram { .. } => 0,
        }
    }

    /// A copy for the page.
    pub(super) fn show(&mut self, quantiles: &[f64], budget: &Budget) -> Shown {
        match self {
            Self::Value(value) => Shown::Value(*value),
            Self::Histogram { counts, sum } => Shown::Histogram { counts: counts.clone(), sum: *sum },
            Self::Summary { recent, count, sum } => {
                let before = recent.bins();
                let quantiles = recent.quantiles(quantiles.iter().copied(), Instant::now());
                settle(before, recent.bins(), budget);
                Shown::Summary { quantiles, count: *count, sum: *sum }
            }
        }
    }
}

/// The bytes of a series with these label values, in memory or on the page, whichever is more. `names` are the bytes of the names on each
/// of its lines, `bounds` is the number of its buckets or quantiles.
pub(super) fn size(kind: CollectorKind, names: usize, bounds: usize, values: &[String]) -> usize {
    let (held, written) = values.iter().fold((SERIES, names), |(held, written), value| {
        let escaped = value.bytes().filter(|byte| matches!(byte, b'\\' | b'"' | b'\n')).count();
        (held + LABEL + value.len(), written + value.len() + escaped)
    });
    match kind {
        CollectorKind::Counter | CollectorKind::Gauge => held.max(written + SAMPLE),
        CollectorKind::Histogram => {
            (held + (bounds + 1) * size_of::<u64>()).max((bounds + 3) * (written + BOUNDED_SAMPLE))
        }
        CollectorKind::Summary => held.max((bounds + 2) * (written + BOUNDED_SAMPLE)),
    }
}

/// The sketches of a summary have grown, or have been dropped.
fn settle(before: usize, after: usize, budget: &Budget) {
    budget.resize(before * BIN, after * BIN);
}
