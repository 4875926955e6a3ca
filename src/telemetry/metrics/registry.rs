//! The application's collectors by the names under which it declared them.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

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
    families: RwLock<BTreeMap<String, Arc<Family>>>,
}

impl Registry {
    /// Declares a collector. If there is one of this name already, it stays as it is.
    ///
    /// # Errors
    /// See [`DeclareError`]; then nothing has changed.
    pub fn declare(&self, name: &str, collector: &Collector) -> Result<(), DeclareError> {
        let mut families = self.families.write().unwrap_or_else(PoisonError::into_inner);
        if families.contains_key(name) {
            return Ok(());
        }
        let family = Family::new(name, collector)?;
        let written = legacy(&family.name);
        let is_taken = families.values().any(|other| legacy(&other.name) == written);
        if is_taken || OWN.iter().any(|own| written.starts_with(own)) {
            return Err(DeclareError::Duplicate);
        }
        families.insert(name.to_owned(), Arc::new(family));
        Ok(())
    }

    /// Writes to a collector. `labels` are the values of its labels in the order in which they were declared.
    ///
    /// # Errors
    /// See [`WriteError`]; then nothing has changed.
    pub fn write(&self, write: Write, name: &str, labels: Vec<String>, value: f64) -> Result<(), WriteError> {
        let family = {
            let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
            families.get(name).cloned()
        };
        family.ok_or(WriteError::Undefined)?.write(write, labels, value)
    }

    /// Removes a collector with its values. False when there is none.
    pub fn unregister(&self, name: &str) -> bool {
        self.families.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    /// Puts all of them on a page.
    pub(super) fn write_to(&self, page: &mut Page) {
        let families: Vec<Arc<Family>> = {
            let families = self.families.read().unwrap_or_else(PoisonError::into_inner);
            families.values().cloned().collect()
        };
        for family in families {
            page.add(family.text());
        }
    }
}
