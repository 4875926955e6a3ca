//! One collector: its name and labels, and a series of values for each combination of the labels' values.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::registry::{DeclareError, Write, WriteError};
use super::summary::Recent;
use super::text::{FamilyText, legacy, number};
use crate::telemetry::{Collector, CollectorKind};

/// A histogram's bounds unless it has its own: those of Prometheus' client for Go.
const DEFAULT_BUCKETS: [f64; 11] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A declared collector with its values.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: String,
    kind: CollectorKind,
    help: String,
    /// As the page has them.
    labels: Vec<String>,
    /// The places of the labels in the order of their names, in which they are written and sorted.
    order: Vec<usize>,
    buckets: Vec<f64>,
    quantiles: Vec<f64>,
    series: Mutex<BTreeMap<Vec<String>, Series>>,
}

/// The values of one combination.
#[derive(Debug)]
enum Series {
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

impl Family {
    pub(super) fn new(name: &str, collector: &Collector) -> Result<Self, DeclareError> {
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
        let family = Self {
            name: full_name,
            kind: collector.kind,
            help: collector.help.clone(),
            labels: collector.labels.iter().map(|label| legacy(label)).collect(),
            order,
            buckets: buckets(collector)?,
            quantiles: quantiles(collector)?,
            series: Mutex::default(),
        };
        if family.labels.is_empty() {
            // There is one series only, which is there from the beginning.
            family.series().insert(Vec::new(), family.empty());
        }
        Ok(family)
    }

    /// Changes the series of these values of the labels.
    pub(super) fn write(&self, write: Write, labels: Vec<String>, value: f64) -> Result<(), WriteError> {
        use CollectorKind::{Counter, Gauge, Histogram, Summary};
        match (write, self.kind) {
            (Write::Add, Counter | Gauge)
            | (Write::Sub | Write::Set, Gauge)
            | (Write::Observe, Histogram | Summary) => {}
            _ => return Err(WriteError::Unsupported),
        }
        let key = self.key(labels)?;
        // A sum would never recover from these; what a gauge is set to is its own business.
        if !value.is_finite() && write != Write::Set {
            return Err(WriteError::NotFinite(value));
        }
        if self.kind == Counter && value < 0.0 {
            return Err(WriteError::Negative(value));
        }
        match (self.series().entry(key).or_insert_with(|| self.empty()), write) {
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
                    recent.observe(value, Instant::now());
                }
            }
        }
        Ok(())
    }

    /// The values of the labels in the order of their names. A collector without labels ignores those which are given, as in RoadRunner.
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
        match self.kind {
            CollectorKind::Counter | CollectorKind::Gauge => Series::Value(0.0),
            CollectorKind::Histogram => {
                Series::Histogram { counts: vec![0; self.buckets.len() + 1].into(), sum: 0.0 }
            }
            CollectorKind::Summary => Series::Summary { recent: Recent::default(), count: 0, sum: 0.0 },
        }
    }

    /// The family as it stands on the page.
    pub(super) fn text(&self) -> FamilyText {
        let mut text = FamilyText::new(&self.name, kind_name(self.kind), &self.help);
        for (values, series) in &mut *self.series() {
            let names = self.order.iter().map(|place| self.labels[*place].as_str());
            let labels: Vec<(&str, &str)> = names.zip(values.iter().map(String::as_str)).collect();
            match series {
                Series::Value(value) => text.sample("", labels, *value),
                Series::Histogram { counts, sum } => self.histogram(&mut text, &labels, counts, *sum),
                Series::Summary { recent, count, sum } => {
                    let found = recent.quantiles(self.quantiles.iter().copied(), Instant::now());
                    for (quantile, value) in self.quantiles.iter().zip(found) {
                        let quantile = number(*quantile);
                        text.sample("", with(&labels, "quantile", &quantile), value);
                    }
                    text.sample("_sum", labels.iter().copied(), *sum);
                    text.sample("_count", labels, approximate(*count));
                }
            }
        }
        text
    }

    fn histogram(&self, text: &mut FamilyText, labels: &[(&str, &str)], counts: &[u64], sum: f64) {
        let mut total = 0;
        for (bound, count) in self.buckets.iter().chain([&f64::INFINITY]).zip(counts) {
            total += count;
            let bound = number(*bound);
            text.sample("_bucket", with(labels, "le", &bound), approximate(total));
        }
        text.sample("_sum", labels.iter().copied(), sum);
        text.sample("_count", labels.iter().copied(), approximate(total));
    }

    fn series(&self) -> MutexGuard<'_, BTreeMap<Vec<String>, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The labels and one more behind them.
fn with<'a>(labels: &[(&'a str, &'a str)], name: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    labels.iter().copied().chain([(name, value)]).collect()
}

/// The format's numbers are floats.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 may lose their last digits")]
pub(super) fn approximate(count: u64) -> f64 {
    count as f64
}

fn kind_name(kind: CollectorKind) -> &'static str {
    match kind {
        CollectorKind::Counter => "counter",
        CollectorKind::Gauge => "gauge",
        CollectorKind::Histogram => "histogram",
        CollectorKind::Summary => "summary",
    }
}

/// Source of the rules: Prometheus' client for Go; those that panic there are errors here.
fn check_labels(metric: &str, collector: &Collector) -> Result<(), DeclareError> {
    let mut seen: Vec<String> = Vec::new();
    for label in &collector.labels {
        let bad = |reason: &str| DeclareError::Label { metric: metric.into(), reason: reason.into() };
        if label.is_empty() || label.starts_with("__") {
            return Err(bad(&format!("{label:?} is not a valid label name")));
        }
        let reserved = match collector.kind {
            CollectorKind::Histogram => label == "le",
            CollectorKind::Summary => label == "quantile",
            _ => false,
        };
        if reserved {
            return Err(bad(&format!("{label:?} is the collector's own")));
        }
        let written = legacy(label);
        if seen.contains(&written) {
            return Err(bad(&format!("duplicate label name {label:?}")));
        }
        seen.push(written);
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
    // The last bucket has no bound, whether that is said or not.
    buckets.pop_if(|bound| *bound == f64::INFINITY);
    Ok(buckets)
}

fn quantiles(collector: &Collector) -> Result<Vec<f64>, DeclareError> {
    if collector.kind != CollectorKind::Summary {
        return Ok(Vec::new());
    }
    let mut quantiles: Vec<f64> = collector.objectives.iter().map(|(quantile, _)| *quantile).collect();
    if let Some(wrong) = quantiles.iter().find(|quantile| !(0.0..=1.0).contains(*quantile)) {
        return Err(DeclareError::Quantile(*wrong));
    }
    quantiles.sort_by(f64::total_cmp);
    quantiles.dedup();
    Ok(quantiles)
}
