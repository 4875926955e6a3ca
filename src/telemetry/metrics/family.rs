//! One collector: its name and labels, and a series of values for each combination of label values.

use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::budget::{Budget, check_values};
use super::collector::{Collector, CollectorKind, Write};
use super::error::{DeclareError, LabelError, WriteError};
use super::exposition::{FamilyText, approximate, legacy, number};
use super::series::{Key, Series, Shown, size};

/// The number of series that are copied for the page under one lock: these take some ten microseconds. The quantiles of one summary take
/// as long as many copies.
const COPIED: usize = 256;
const SUMMARIES: usize = 8;

/// The bounds of a histogram that declares none: those of Prometheus' client for Go.
const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A declared collector with its values.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    kind: CollectorKind,
    help: String,
    /// As on the page.
    labels: Vec<String>,
    /// Indices into `labels`, sorted by name: the order in which labels are written.
    order: Vec<usize>,
    buckets: Vec<f64>,
    quantiles: Vec<f64>,
    series: Mutex<BTreeMap<Key, Series>>,
    budget: Arc<Budget>,
    /// The bytes of the collector itself.
    size: usize,
}

impl Family {
    /// A collector that has passed [`super::budget::check`].
    pub(super) fn new(name: &str, collector: &Collector, budget: &Arc<Budget>) -> Result<Self, DeclareError> {
        let parts = [collector.namespace.as_str(), collector.subsystem.as_str(), name];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let full_name = if name.is_empty() { String::new() } else { parts.join("_") };
        if full_name.is_empty() {
            let (help, labels) = (collector.help.clone(), collector.labels.join(","));
            return Err(DeclareError::NoName { help, labels });
        }
        check_labels(&full_name, collector)?;
        let mut order: Vec<usize> = (0..collector.labels.len()).collect();
        order.sort_by_key(|place| &collector.labels[*place]);
        let names: usize = collector.labels.iter().map(|label| 2 * label.len() + 64).sum();
        let size = 2 * full_name.len() + collector.help.len() * 2 + names + 512 + collector.buckets.len() * 8;
        let (buckets, quantiles) = (buckets(collector)?, quantiles(collector));
        budget.take(0, size).map_err(DeclareError::Full)?;
        let family = Self {
            name: full_name,
            kind: collector.kind,
            help: collector.help.clone(),
            labels: collector.labels.iter().map(|label| legacy(label)).collect(),
            order,
            buckets,
            quantiles,
            series: Mutex::default(),
            budget: Arc::clone(budget),
            size,
        };
        if family.labels.is_empty() {
            // Its only series exists from the beginning.
            let key: Key = Arc::from([]);
            family.budget.take(1, family.size_of(&key)).map_err(DeclareError::Full)?;
            family.series().insert(key, family.empty());
        }
        Ok(family)
    }

    /// Changes the series of these label values.
    pub(super) fn write(&self, write: Write, labels: Vec<String>, value: f64) -> Result<(), WriteError> {
        use CollectorKind::{Counter, Gauge, Histogram, Summary};
        match (write, self.kind) {
            (Write::Add, Counter | Gauge)
            | (Write::Sub | Write::Set, Gauge)
            | (Write::Observe, Histogram | Summary) => {}
            _ => return Err(WriteError::Unsupported),
        }
        let key = self.key(labels)?;
        // A sum would never recover from these; a gauge may be set to anything.
        if !value.is_finite() && write != Write::Set {
            return Err(WriteError::NotFinite(value));
        }
        if self.kind == Counter && value < 0.0 {
            return Err(WriteError::Negative(value));
        }
        let mut all = self.series();
        let series = if let Some(series) = all.get_mut(&*key) {
            series
        } else {
            check_values(&key)?;
            self.budget.take(1, self.size_of(&key))?;
            all.entry(key.into()).or_insert_with(|| self.empty())
        };
        match (series, write) {
            (Series::Value(current), Write::Add) => *current += value,
            (Series::Value(current), Write::Sub) => *current -= value,
            (Series::Value(current), _) => *current = value,
            (Series::Histogram { counts, sum }, _) => {
                counts[self.buckets.partition_point(|bound| *bound < value)] += 1;
                *sum += value;
            }
            (Series::Summary { recent, count, sum }, _) => {
                *count += 1;
                *sum += value;
                if !self.quantiles.is_empty() {
                    Series::summarize(recent, value, &self.budget);
                }
            }
        }
        Ok(())
    }

    /// Sorts label values by label name. A collector without labels ignores all values, as in RoadRunner.
    fn key(&self, mut labels: Vec<String>) -> Result<Vec<String>, WriteError> {
        if self.labels.is_empty() {
            return Ok(Vec::new());
        }
        if labels.is_empty() {
            return Err(WriteError::LabelsRequired(self.kind));
        }
        if labels.len() != self.labels.len() {
            return Err(WriteError::LabelCount { expected: self.labels.len(), found: labels });
        }
        Ok(self.order.iter().map(|place| std::mem::take(&mut labels[*place])).collect())
    }

    fn empty(&self) -> Series {
        Series::empty(self.kind, self.buckets.len())
    }

    /// The bytes of a series.
    fn size_of(&self, key: &[String]) -> usize {
        let names =
            self.name.len() + self.labels.iter().map(|label| label.len() + "=\"\",".len()).sum::<usize>();
        size(self.kind, names, self.buckets.len() + self.quantiles.len(), key)
    }

    /// The family as it is on the page.
    pub(super) fn text(&self) -> FamilyText {
        let mut text = FamilyText::new(&self.name, self.kind, &self.help);
        let mut after = None;
        loop {
            let copied = self.copy(after.as_ref());
            for (values, shown) in &copied {
                self.write_series(&mut text, values, shown);
            }
            match copied.into_iter().last() {
                Some((key, _)) => after = Some(key),
                None => return text,
            }
        }
    }

    /// Copies the next series after `after`.
    fn copy(&self, after: Option<&Key>) -> Vec<(Key, Shown)> {
        let most = if self.quantiles.is_empty() { COPIED } else { SUMMARIES };
        let begin = after.map_or(Bound::Unbounded, |key| Bound::Excluded(&**key));
        let mut all = self.series();
        let behind = all.range_mut::<[String], _>((begin, Bound::Unbounded));
        behind
            .take(most)
            .map(|(key, series)| (Arc::clone(key), series.show(&self.quantiles, &self.budget)))
            .collect()
    }

    fn write_series(&self, text: &mut FamilyText, values: &[String], shown: &Shown) {
        let names = self.order.iter().map(|place| self.labels[*place].as_str());
        let labels: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
        match shown {
            Shown::Value(value) => text.sample("", labels, *value),
            Shown::Histogram { counts, sum } => text.histogram(&labels, &self.buckets, counts, *sum),
            Shown::Summary { quantiles, count, sum } => {
                for (quantile, value) in self.quantiles.iter().zip(quantiles) {
                    let quantile = number(*quantile);
                    text.sample("", with(&labels, "quantile", &quantile), *value);
                }
                text.sample("_sum", labels.iter().copied(), *sum);
                text.sample("_count", labels, approximate(*count));
            }
        }
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<Key, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        let (series, bytes) = {
            let all = self.series();
            let sizes = all.iter().map(|(key, series)| self.size_of(key) + series.sketches());
            (all.len(), sizes.sum::<usize>())
        };
        self.budget.give_back(series, bytes + self.size);
    }
}

/// The labels and one more.
fn with<'a>(labels: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain([(name, value)]).collect()
}

/// Source of the rules: Prometheus' client for Go; those that panic there are errors here.
fn check_labels(metric: &str, collector: &Collector) -> Result<(), DeclareError> {
    let mut seen = HashSet::new();
    for label in &collector.labels {
        let bad = |reason: LabelError| DeclareError::Label { metric: metric.into(), reason };
        if label.is_empty() || label.starts_with("__") {
            return Err(bad(LabelError::Invalid(label.clone())));
        }
        let reserved = match collector.kind {
            CollectorKind::Histogram => label == "le",
            CollectorKind::Summary => label == "quantile",
            _ => false,
        };
        if reserved {
            return Err(bad(LabelError::Reserved(label.clone())));
        }
        if !seen.insert(legacy(label)) {
            return Err(bad(LabelError::Duplicate(label.clone())));
        }
    }
    Ok(())
}

fn buckets(collector: &Collector) -> Result<Vec<f64>, DeclareError> {
    if collector.kind != CollectorKind::Histogram {
        return Ok(Vec::new());
    }
    let mut buckets = collector.buckets.clone();
    if buckets.is_empty() {
        return Ok(DEFAULT_BUCKETS.into());
    }
    if let Some(pair) = buckets.windows(2).find(|pair| pair[0] >= pair[1]) {
        return Err(DeclareError::Buckets(pair[0], pair[1]));
    }
    if let Some(bound) = buckets.iter().find(|bound| bound.is_nan()) {
        return Err(DeclareError::Buckets(*bound, *bound));
    }
    // The last bucket never has a bound; +Inf may be declared all the same.
    buckets.pop_if(|bound| *bound == f64::INFINITY);
    Ok(buckets)
}

fn quantiles(collector: &Collector) -> Vec<f64> {
    if collector.kind != CollectorKind::Summary {
        return Vec::new();
    }
    let quantiles = collector.objectives.iter().map(|(quantile, _)| *quantile);
    let mut quantiles: Vec<f64> = quantiles.filter(|quantile| is_quantile(*quantile)).collect();
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    quantiles
}

/// Whether there is such a quantile. RoadRunner takes any number; others are left out here.
pub(crate) fn is_quantile(number: f64) -> bool {
    (0.0..=1.0).contains(&number)
}
