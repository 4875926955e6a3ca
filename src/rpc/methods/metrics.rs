//! `metrics`: the application's collectors, served at `metrics.address`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use tokio::task::JoinError;

use crate::compat::Compat;
use crate::offload;
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;
use crate::rpc::services::Services;
use crate::telemetry::metrics::{Collector, CollectorKind, DeclareError, Write, WriteError};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
    collector: Declared,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Declared {
    namespace: String,
    subsystem: String,
    #[serde(rename = "type")]
    kind: String,
    help: String,
    labels: Vec<String>,
    buckets: Vec<f64>,
    /// Quantiles as text, and their allowed errors.
    objectives: BTreeMap<String, f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metric {
    name: String,
    value: f64,
    /// Label values in the order of their declaration.
    labels: Vec<String>,
}

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        ("metrics.Declare", Method::new(named_shape(), Shape::Bool, declare)),
        ("metrics.Unregister", Method::new(Shape::Text, Shape::Bool, unregister)),
        ("metrics.Add", writing(Write::Add)),
        ("metrics.Sub", writing(Write::Sub)),
        ("metrics.Set", writing(Write::Set)),
        ("metrics.Observe", writing(Write::Observe)),
    ]
}

/// As RoadRunner declares `NamedCollector` and `Collector`.
fn named_shape() -> Shape {
    let collector = Shape::structure(
        "Collector",
        [
            ("namespace", "Namespace", Shape::Text),
            ("subsystem", "Subsystem", Shape::Text),
            ("type", "Type", Shape::Text),
            ("help", "Help", Shape::Text),
            ("labels", "Labels", Shape::list(Shape::Text)),
            ("buckets", "Buckets", Shape::list(Shape::Float)),
            ("objectives", "Objectives", Shape::Map(Box::new(Shape::Float))),
        ],
    );
    Shape::structure("NamedCollector", [("name", "Name", Shape::Text), ("collector", "Collector", collector)])
}

fn metric_shape() -> Shape {
    Shape::structure(
        "Metric",
        [
            ("name", "Name", Shape::Text),
            ("value", "Value", Shape::Float),
            ("labels", "Labels", Shape::list(Shape::Text)),
        ],
    )
}

/// Why a call failed. Its texts under RoadRunner 2025 are those of its `Display`.
#[derive(Debug, thiserror::Error)]
enum MetricsError {
    #[error("metrics_plugin_declare: unknown collector type {0}")]
    UnknownType(String),
    #[error("metrics_plugin_declare: expected a quantile such as 0.95, found {0:?}")]
    NoQuantile(String),
    #[error("metrics_plugin_declare: {0}")]
    Declare(#[from] DeclareError),
    #[error("metrics_plugin_unregister: undefined collector {0}")]
    Undefined(String),
    #[error(transparent)]
    Panicked(#[from] JoinError),
    #[error("metrics_plugin_{}: {}", method(*.write), explain(*.write, .name, .error))]
    Write { write: Write, name: String, error: WriteError },
    /// The text of RoadRunner 3.
    #[error("{0}")]
    Under3(String),
}

impl MetricsError {
    /// The error with the text that this RoadRunner has for it.
    fn under(self, compat: Compat) -> Self {
        if compat.is_v3() { self.text_under_3().map_or(self, Self::Under3) } else { self }
    }

    fn text_under_3(&self) -> Option<String> {
        Some(match self {
            Self::UnknownType(kind) => format!("metrics_rpc_declare: unknown collector type: {kind}"),
            Self::NoQuantile(_) | Self::Declare(_) => {
                self.to_string().replace("metrics_plugin_declare", "metrics_rpc_declare")
            }
            Self::Undefined(name) | Self::Write { name, error: WriteError::Undefined, .. } => {
                format!("undefined collector: {name}")
            }
            Self::Write { name, write, error: WriteError::Unsupported } => format!(
                "collector does not support the requested operation: {name} does not support {write:?}"
            ),
            Self::Write { name, error: WriteError::LabelsRequired(_), .. } => {
                format!("required labels for collector: {name}")
            }
            Self::Write { name, error: WriteError::Negative(_), .. } => {
                format!("counter cannot decrease in value: {name}")
            }
            Self::Write { error, .. } => error.to_string(),
            Self::Panicked(_) | Self::Under3(_) => return None,
        })
    }
}

async fn declare(services: Arc<Services>, named: Named) -> Result<bool, MetricsError> {
    let declared = collector(named.collector)
        .and_then(|collector| Ok(services.metrics.declare(&named.name, &collector)?));
    declared.map(|()| true).map_err(|error| error.under(services.compat))
}

fn collector(declared: Declared) -> Result<Collector, MetricsError> {
    let kind = match declared.kind.as_str() {
        "counter" => CollectorKind::Counter,
        "gauge" => CollectorKind::Gauge,
        "histogram" => CollectorKind::Histogram,
        "summary" => CollectorKind::Summary,
        _ => return Err(MetricsError::UnknownType(declared.kind)),
    };
    let objective = |(quantile, error): (String, f64)| match quantile.parse() {
        Ok(quantile) => Ok((quantile, error)),
        Err(_) => Err(MetricsError::NoQuantile(quantile)),
    };
    let Declared { namespace, subsystem, help, labels, buckets, objectives, .. } = declared;
    let objectives = objectives.into_iter().map(objective).collect::<Result<_, _>>()?;
    Ok(Collector { kind, namespace, subsystem, help, labels, buckets, objectives })
}

async fn unregister(services: Arc<Services>, name: String) -> Result<bool, MetricsError> {
    // It may have a quarter of a million series.
    let compat = services.compat;
    let removed =
        offload::background(move || if services.metrics.unregister(&name) { Ok(true) } else { Err(name) });
    removed.await?.map_err(|name| MetricsError::Undefined(name).under(compat))
}

fn writing(write: Write) -> Method {
    Method::new(metric_shape(), Shape::Bool, move |services: Arc<Services>, metric: Metric| async move {
        let Metric { name, value, labels } = metric;
        let written = services.metrics.write(write, &name, labels, value);
        let explain = |error| MetricsError::Write { write, name, error }.under(services.compat);
        written.map(|()| true).map_err(explain)
    })
}

fn method(write: Write) -> &'static str {
    match write {
        Write::Add => "add",
        Write::Sub => "sub",
        Write::Set => "set",
        Write::Observe => "observe",
    }
}

/// RoadRunner's texts, quotes included.
fn explain(write: Write, name: &str, error: &WriteError) -> String {
    match (error, write) {
        (WriteError::Undefined, Write::Add) => {
            format!("undefined collector {name}, try first Declare the desired collector")
        }
        (WriteError::Undefined, _) => format!("undefined collector {name}"),
        (WriteError::Unsupported, Write::Add) => format!("collector {name} does not support method `Add`"),
        (WriteError::Unsupported, Write::Sub) => format!("collector `{name}` does not support method `Sub`"),
        (WriteError::Unsupported, Write::Set) => format!("collector `{name}` does not support method Set"),
        (WriteError::Unsupported, Write::Observe) => {
            format!("collector `{name}` does not support method `Observe`")
        }
        (WriteError::LabelsRequired(CollectorKind::Gauge), _) => {
            format!("required labels for collector {name}")
        }
        (WriteError::LabelsRequired(_), _) => format!("required labels for collector `{name}`"),
        (other, _) => other.to_string(),
    }
}
