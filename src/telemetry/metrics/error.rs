//! Why a collector cannot be declared, or not be written to. The texts that RoadRunner has are RoadRunner's.

use super::bounds::{MAX_BYTES, MAX_COLLECTORS, MAX_SERIES};
use super::collector::CollectorKind;

/// A collector cannot be declared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// It has no name. The text is RoadRunner's.
    #[error(
        "descriptor Desc{{fqName: \"\", help: {help:?}, constLabels: {{}}, variableLabels: {{{labels}}}}} is invalid: \"\" is not a valid metric name"
    )]
    NoName {
        /// Its help text.
        help: String,
        /// The names of its labels.
        labels: String,
    },
    /// Another collector, or one of the bridge, has this name on the page. The text is RoadRunner's.
    #[error("duplicate metrics collector registration attempted")]
    Duplicate,
    /// The name of a label is invalid, reserved or used twice.
    #[error("{reason} for metric \"{metric}\"")]
    Label {
        /// The collector's full name.
        metric: String,
        /// What is wrong.
        reason: LabelError,
    },
    /// The buckets of a histogram do not ascend.
    #[error("histogram buckets must be in increasing order: {0} >= {1}")]
    Buckets(f64, f64),
    /// It exceeds a bound of one collector.
    #[error("a collector may have {most} {what}, found {found}")]
    TooMuch {
        /// What it has too much of.
        what: &'static str,
        /// What it has.
        found: usize,
        /// What it may have.
        most: usize,
    },
    /// There are too many collectors.
    #[error("limit of {MAX_COLLECTORS} collectors reached")]
    TooMany,
    /// The collectors together exceed a bound.
    #[error(transparent)]
    Full(WriteError),
}

/// A label cannot have this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// It is empty or begins with two underscores.
    #[error("{0:?} is not a valid label name")]
    Invalid(String),
    /// The text format uses it for this kind of collector.
    #[error("{0:?} is a reserved label name")]
    Reserved(String),
    /// Another label has it on the page.
    #[error("duplicate label name {0:?}")]
    Duplicate(String),
}

/// A collector cannot be written to.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// It is not declared.
    #[error("undefined collector")]
    Undefined,
    /// Its kind has no such operation.
    #[error("the collector does not support this")]
    Unsupported,
    /// It has labels, and no values for them were given.
    #[error("required labels")]
    LabelsRequired(CollectorKind),
    /// It has another number of labels. The text is RoadRunner's.
    #[error(
        "inconsistent label cardinality: expected {expected} label values but got {} in []string{{{}}}",
        found.len(),
        found.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ")
    )]
    LabelCount {
        /// The number of its labels.
        expected: usize,
        /// The values that were given.
        found: Vec<String>,
    },
    /// Counters only grow. The text is RoadRunner's, except for the number.
    #[error("counter cannot decrease in value, found {0}")]
    Negative(f64),
    /// The value of a label is too long.
    #[error("a label value may have {most} bytes, found {found}")]
    LongValue {
        /// Its length in bytes.
        found: usize,
        /// The longest allowed.
        most: usize,
    },
    /// There are too many series.
    #[error("limit of {MAX_SERIES} combinations of label values reached")]
    TooManySeries,
    /// The series take too much memory.
    #[error("limit of {} MB for collectors and their label values reached", MAX_BYTES >> 20)]
    TooManyBytes,
    /// The number cannot be added.
    #[error("expected a finite number, found {0}")]
    NotFinite(f64),
}
