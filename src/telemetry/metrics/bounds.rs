//! The bounds of the application's collectors: of each, and of all together.

/// The number of collectors.
pub(super) const MAX_COLLECTORS: usize = 10_000;

/// The number of series of all collectors: combinations of label values.
pub(super) const MAX_SERIES: usize = 500_000;

/// The bytes of all series, in memory or on the page, whichever is more; so this bounds the page as well.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// The part of that reserved for the sketches of existing summaries, which grow with the range of their values.
pub(super) const FOR_SKETCHES: usize = MAX_BYTES / 4;

/// The most that one value can make a sketch grow by, in bytes.
pub(super) const SKETCH: usize = 32 << 10;

/// Labels of one collector.
pub(super) const MAX_LABELS: usize = 64;

/// Buckets of one histogram.
pub(super) const MAX_BUCKETS: usize = 512;

/// Objectives of one summary.
pub(super) const MAX_OBJECTIVES: usize = 64;

/// Bytes of a name: of a collector with its namespace and subsystem, or of a label.
pub(super) const MAX_NAME: usize = 512;

/// Bytes of a collector's help.
pub(super) const MAX_HELP: usize = 4096;

/// Bytes of one label value.
pub(super) const MAX_VALUE: usize = 4096;
