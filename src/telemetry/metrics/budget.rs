//! Keeps the application's collectors within their bounds.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use tracing::warn;

use super::bounds::{
    FOR_SKETCHES, MAX_BUCKETS, MAX_BYTES, MAX_HELP, MAX_LABELS, MAX_NAME, MAX_OBJECTIVES, MAX_SERIES,
    MAX_VALUE, SKETCH,
};
use super::collector::Collector;
use super::error::{DeclareError, WriteError};

/// What all collectors together have taken so far.
#[derive(Debug, Default)]
pub(super) struct Budget {
    series: AtomicUsize,
    bytes: AtomicUsize,
    /// Whether it is logged already that a bound is reached.
    is_logged: AtomicBool,
}

impl Budget {
    /// Takes this much, if it is left.
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
        if !self.is_logged.swap(true, Relaxed) {
            warn!(target: "metrics", error = %full, "refusing new label values");
        }
        Err(full)
    }

    /// Returns what was taken.
    pub(super) fn give_back(&self, series: usize, bytes: usize) {
        self.series.fetch_sub(series, Relaxed);
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    /// Whether any sketch may grow by one more value.
    pub(super) fn has_room_for_a_sketch(&self) -> bool {
        self.bytes() + SKETCH <= MAX_BYTES
    }

    /// Adjusts what was taken, in bytes.
    pub(super) fn resize(&self, before: usize, after: usize) {
        if after > before {
            self.bytes.fetch_add(after - before, Relaxed);
        } else if after < before {
            self.bytes.fetch_sub(before - after, Relaxed);
        }
    }

    /// The bytes taken so far.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }
}

/// Checks the bounds of one collector.
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

/// Checks the lengths of label values.
pub(super) fn check_values(values: &[String]) -> Result<(), WriteError> {
    match values.iter().map(String::len).find(|length| *length > MAX_VALUE) {
        Some(found) => Err(WriteError::LongValue { found, most: MAX_VALUE }),
        None => Ok(()),
    }
}
