//! The application's collectors by the names under which it declared them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};

use super::budget::{self, Budget, MAX_BYTES, MAX_COLLECTORS, MAX_SERIES};
use super::family::Family;
use super::text::{Page, legacy};
use crate::telemetry::{Collector, CollectorKind};

/// Names that begin so are the bridge's own.
const OWN: [&str; 3] = ["rr_centrifugo_", "causeway_", "process_"];

/// A collector cannot be declared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeclareError {
    /// It has no name. The text is RoadRunner's.
    #[error(
        "descriptor Desc{{fqName: \"\", help: {help:?}, constLabels: {{}}, variableLabels: {{{labels}}}}} is invalid: \"\" is not a valid metric name"
    )]
    NoName {
        /// What it was to count.
        help: String,
        /// The names of its labels.
        labels: String,
    },
    /// Another collector, perhaps one of the bridge, has that name on the page. The text is RoadRunner's.
    #[error("duplicate metrics collector registration attempted")]
    Duplicate,
    /// The name of a label is no name, or a label stands twice.
    #[error("{reason} for metric \"{metric}\"")]
    Label {
        /// The collector's full name.
        metric: String,
        /// What is wrong.
        reason: String,
    },
    /// The buckets of a histogram do not ascend.
    #[error("histogram buckets must be in increasing order: {0} >= {1}")]
    Buckets(f64, f64),
    /// A quantile of a summary is none.
    #[error("expected a quantile from 0 to 1, found {0}")]
    Quantile(f64),
    /// It has more of something than a collector may have.
    #[error("a collector may have {most} {what}, found {found}")]
    TooMuch {
        /// What it has too much of.
        what: &'static str,
        /// So many it has.
        found: usize,
        /// So many it may have.
        most: usize,
    },
    /// There are too many.
    #[error("there are {MAX_COLLECTORS} collectors, which is as many as there can be")]
    TooMany,
    /// All collectors together take as much as they may.
    #[error(transparent)]
    Full(WriteError),
}

/// A collector cannot be written to so.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// Nobody has declared it.
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
        /// So many.
        expected: usize,
        /// The values that were given.
        found: Vec<String>,
    },
    /// Counters only grow. The text is RoadRunner's, which ends with it.
    #[error("counter cannot decrease in value, found {0}")]
    Negative(f64),
    /// A value of a label is too long.
    #[error("a value of a label may have {most} bytes, found {found}")]
    LongValue {
        /// So many it has.
        found: usize,
        /// So many it may have.
        most: usize,
    },
    /// The labels have too many values.
    #[error("there are {MAX_SERIES} combinations of labels' values, which is as many as there can be")]
    TooManySeries,
    /// The values of labels are too long, or too many.
    #[error("collectors and their labels' values take {} MB, which is as much as they may", MAX_BYTES >> 20)]
    TooManyBytes,
    /// The number is none that can be added.
    #[error("expected a finite number, found {0}")]
    NotFinite(f64),
}

/// What is done to a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// A counter or gauge grows.
    Add,
    /// A gauge shrinks.
    Sub,
    /// A gauge has a new value.
    Set,
    /// A histogram or summary takes a value.
    Observe,
}

/// All collectors of the application.
#[derive(Debug, Default)]
pub struct Registry {
    families: RwLock<Families>,
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Families {
    by_name: BTreeMap<String, Arc<Family>>,
    /// Their names as they stand on the page.
    written: BTreeSet<String>,
}

impl Registry {
    /// Declares a collector. If there is one of this name already, it stays as it is.
    ///
    /// # Errors
    /// See [`DeclareError`]; then nothing has changed.
    pub fn declare(&self, name: &str, collector: &Collector) -> Result<(), DeclareError> {
        if self.find(name).is_some() {
            return Ok(());
        }
        budget::check(name, collector)?;
        let family = Family::new(name, collector, &self.budget)?;
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        if families.by_name.contains_key(name) {
            return Ok(());
        }
        let written = legacy(&family.name);
        if families.written.contains(&written) || OWN.iter().any(|own| written.starts_with(own)) {
            return Err(DeclareError::Duplicate);
        }
        if families.by_name.len() >= MAX_COLLECTORS {
            return Err(DeclareError::TooMany);
        }
        families.written.insert(written);
        families.by_name.insert(name.to_owned(), Arc::new(family));
        Ok(())
    }

    /// Writes to a collector. `labels` are the values of its labels in the order in which they were declared.
    ///
    /// # Errors
    /// See [`WriteError`]; then nothing has changed.
    pub fn write(&self, write: Write, name: &str, labels: Vec<String>, value: f64) -> Result<(), WriteError> {
        self.find(name).ok_or(WriteError::Undefined)?.write(write, labels, value)
    }

    /// Removes a collector with its values. False when there is none.
    pub fn unregister(&self, name: &str) -> bool {
        let removed = {
            let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
            let removed = families.by_name.remove(name);
            if let Some(family) = &removed {
                families.written.remove(&legacy(&family.name));
            }
            removed
        };
        removed.is_some()
    }

    /// Puts all of them on a page.
    pub(super) fn write_to(&self, page: &mut Page) {
        let families: Vec<Arc<Family>> = {
            let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
            families.by_name.values().cloned().collect()
        };
        for family in families {
            page.add(family.text());
        }
    }

    /// About how many bytes their page has.
    pub(super) fn size(&self) -> usize {
        self.budget.bytes()
    }

    fn find(&self, name: &str) -> Option<Arc<Family>> {
        self.families.read().unwrap_or_else(PoisonError::into_inner).by_name.get(name).cloned()
    }
}
