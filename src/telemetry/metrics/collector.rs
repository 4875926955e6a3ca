//! What a collector is, and what can be done to it.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

/// A collector as it is declared: one of `metrics.collect`, or the argument of `metrics.Declare`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Collector {
    /// counter, gauge, histogram or summary.
    #[serde(rename = "type")]
    pub kind: CollectorKind,
    /// The first part of its name.
    #[serde(default)]
    pub namespace: String,
    /// The second part of its name.
    #[serde(default)]
    pub subsystem: String,
    /// What it counts.
    #[serde(default)]
    pub help: String,
    /// The names of its labels.
    #[serde(default)]
    pub labels: Vec<String>,
    /// A histogram's upper bounds, ascending.
    #[serde(default)]
    pub buckets: Vec<f64>,
    /// A summary's quantiles and their errors.
    #[serde(default, deserialize_with = "objectives")]
    pub objectives: Vec<(f64, f64)>,
}

/// The type of a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectorKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values in buckets.
    Histogram,
    /// Estimates quantiles.
    Summary,
}

/// An operation on a collector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Increases a counter or gauge.
    Add,
    /// Decreases a gauge.
    Sub,
    /// Sets a gauge.
    Set,
    /// Adds a value to a histogram or summary.
    Observe,
}

impl CollectorKind {
    /// Its name in the text format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
        }
    }
}

/// `{0.5: 0.05}`, with or without quotes around the keys, or `[{0.5: 0.05}]`.
fn objectives<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(f64, f64)>, D::Error> {
    struct Objectives;

    impl<'de> Visitor<'de> for Objectives {
        type Value = Vec<(f64, f64)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("objectives as `quantile: error` lines")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut objectives = Vec::new();
            while let Some((quantile, error)) = map.next_entry::<String, f64>()? {
                let quantile: f64 = quantile.parse().map_err(|_| {
                    de::Error::custom(format!("expected a quantile such as 0.95, found \"{quantile}\""))
                })?;
                objectives.push((quantile, error));
            }
            Ok(objectives)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut objectives = Vec::new();
            while let Some(Part(more)) = items.next_element()? {
                objectives.extend(more);
            }
            Ok(objectives)
        }
    }

    /// A map within a list.
    struct Part(Vec<(f64, f64)>);

    impl<'de> Deserialize<'de> for Part {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_map(Objectives).map(Self)
        }
    }

    deserializer.deserialize_any(Objectives)
}
