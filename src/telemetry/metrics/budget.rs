//! How much the application's collectors may take, all together and each.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tracing::warn;

use super::registry::{DeclareError, WriteError};
use crate::telemetry::Collector;

/// Collectors.
pub(super) const MAX_COLLECTORS: usize = 10_000;

/// Series of all collectors: combinations of values of labels.
pub(super) const MAX_SERIES: usize = 500_000;

/// Bytes that all series take, in memory or on the page, whichever is more; so this bounds the page as well.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// What of that is kept for the sketches of summaries that are there, which grow with the range of their values.
const FOR_SKETCHES: usize = MAX_BYTES / 4;

/// The most that one value can make a sketch grow by.
const SKETCH: usize = 32 << 10;

/// Labels of one collector.
const MAX_LABELS: usize = 64;

/// Buckets of one histogram.
const MAX_BUCKETS: usize = 512;

/// Objectives of one summary.
const MAX_OBJECTIVES: usize = 64;

/// Bytes of a name: that of a collector with its namespace, and that of a label.
const MAX_NAME: usize = 512;

/// Bytes of a collector's help.
const MAX_HELP: usize = 4096;

/// Bytes of one value of a label.
const MAX_VALUE: usize = 4096;

/// What all collectors have taken so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    series: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether the log tells already that there is no more.
    is_told: AtomicBool,
}

impl Budget {
    /// Takes so much, if it is there.
    pub(super) fn take(&self, series: usize, bytes: usize) -> Result<(), WriteError> {
        let full = if self.series.fetch_add(series, Relaxed) + series > MAX_SERIES {
            WriteError::TooManySeries
        } else if self.bytes.fetch_add(bytes, Relaxed) + bytes > MAX_BYTES - FOR_SKETCHES {
            self.bytes.fetch_sub(bytes, Relaxed);
            WriteError::TooManyBytes
        } else {
            return Ok(());
        };
        self.series.fetch_sub(series, Relaxed);
        if !self.is_told.swap(true, Relaxed) {
            warn!(target: "metrics", error = %full, "values of new labels are not counted any more");
        }
        Err(full)
    }

    pub(super) fn give_back(&self, series: usize, bytes: usize) {
        self.series.fetch_sub(series, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn has_room_for_a_sketch(&self) -> bool {
        self.bytes() + SKETCH <= MAX_BYTES
    }

    /// What took so much takes another amount now.
    pub(super) fn resize(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, Relaxed);
        } else if after < before {
            self.bytes.fetch_sub(before - after, Relaxed);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

/// Whether a collector is one that may be declared.
pub(super) fn check(name: &str, collector: &Collector) -> Result<(), DeclareError> {
    let Collector { namespace, subsystem, help, labels, buckets, objectives, .. } = collector;
    let longest = labels.iter().map(String::len).max().unwrap_or_default();
    for (what, found, most) in [
        ("labels", labels.len(), MAX_LABELS),
        ("buckets", buckets.len(), MAX_BUCKETS),
        ("objectives", objectives.len(), MAX_OBJECTIVES),
        ("bytes in its name", name.len() + namespace.len() + subsystem.len(), MAX_NAME),
        ("bytes in the name of a label", longest, MAX_NAME),
        ("bytes of help", help.len(), MAX_HELP),
    ] {
        if found > most {
            return Err(DeclareError::TooMuch { what, found, most });
        }
    }
    Ok(())
}

/// Whether values of labels are such as may be written.
pub(super) fn check_values(values: &[String]) -> Result<(), WriteError> {
    match values.iter().map(String::len).find(|length| *length > MAX_VALUE) {
        Some(found) => Err(WriteError::LongValue { found, most: MAX_VALUE }),
        None => Ok(()),
    }
}
