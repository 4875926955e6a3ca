//! The values of one combination of labels' values.

use std::sync::Arc;
use std::time::Instant;

use super::budget::Budget;
use super::summary::Recent;
use crate::telemetry::CollectorKind;

/// The values of the labels, in the order of their names.
pub(super) type Key = Arc<[String]>;

/// What a series takes in memory, in bytes, beside what is in its key and its buckets.
const SERIES: usize = 128;

/// What a value of a label takes in memory, beside its bytes.
const LABEL: usize = 48;

/// What a sample takes on the page beside the names and values of labels: its name's suffix, a bound or quantile, and the number.
const SAMPLE: usize = 32;
const BOUNDED_SAMPLE: usize = 96;

/// What one bin of a sketch takes in memory.
const BIN: usize = 8;

/// The values.
#[derive(Debug)]
pub(super) enum Series {
    Value(f64),
    /// Per bucket, the last one being what is larger than all bounds; not yet added up.
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

/// What the page shows of a series.
#[derive(Debug)]
pub(super) enum Shown {
    Value(f64),
    Histogram { counts: Box<[u64]>, sum: f64 },
    Summary { quantiles: Vec<f64>, count: u64, sum: f64 },
}

impl Series {
    /// A series of a collector with so many bounds of buckets.
    pub(super) fn empty(kind: CollectorKind, buckets: usize) -> Self {
        match kind {
            CollectorKind::Counter | CollectorKind::Gauge => Self::Value(0.0),
            CollectorKind::Histogram => Self::Histogram { counts: vec![0; buckets + 1].into(), sum: 0.0 },
            CollectorKind::Summary => Self::Summary { recent: Recent::default(), count: 0, sum: 0.0 },
        }
    }

    /// Takes a value into a summary. What its sketches take grows with the range of the values; when there is no more, the quantiles stay
    /// as they are.
    pub(super) fn summarize(recent: &mut Recent, value: f64, budget: &Budget) {
        if budget.has_room_for_a_sketch() {
            let before = recent.bins();
            recent.observe(value, Instant::now());
            settle(before, recent.bins(), budget);
        }
    }

    /// What its sketches count as.
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

/// What a series of these values of labels counts as, whichever is more: its memory or its part of the page. `names` are the bytes of the
/// names on each of its lines, `bounds` the numbers of its buckets or quantiles.
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

/// A summary's sketches have grown, or have been dropped.
fn settle(before: usize, after: usize, budget: &Budget) {
    budget.resize(before * BIN, after * BIN);
}
