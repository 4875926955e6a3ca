//! The `metrics`, `status` and `otel` sections of `.rr.yaml`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::metrics::Registry;
use crate::findings::{Findings, Machine};
use crate::net::{Address, can_listen, host_and_port};

/// The `metrics` section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// `metrics.address`: `host:port`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// `metrics.collect`: collectors that the application writes to.
    pub collect: BTreeMap<String, Collector>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { address: "127.0.0.1:2112".into(), collect: BTreeMap::new() }
    }
}

impl Metrics {
    /// What would keep metrics from being shown.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let address = Address::Tcp(self.address.clone());
        findings.check("metrics.address", can_listen(&address, machine.work_dir));
        let registry = Registry::default();
        for (name, collector) in &self.collect {
            let key = format!("metrics.collect.{name}");
            findings.check(&key, registry.declare(name, collector).map_err(|reason| reason.to_string()));
            if !collector.buckets.is_empty() && collector.kind != CollectorKind::Histogram {
                findings.odd(format!("{key}.buckets"), "has no effect: only a histogram has buckets");
            }
            if !collector.objectives.is_empty() && collector.kind != CollectorKind::Summary {
                findings.odd(format!("{key}.objectives"), "has no effect: only a summary has objectives");
            }
        }
    }
}

/// One of `metrics.collect`.
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
    #[serde(default, deserialize_with = "ascending")]
    pub buckets: Vec<f64>,
    /// A summary's quantiles and their errors.
    #[serde(default, deserialize_with = "objectives")]
    pub objectives: Vec<(f64, f64)>,
}

/// What a collector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CollectorKind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// It sorts values into buckets.
    Histogram,
    /// It estimates quantiles.
    Summary,
}

fn ascending<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let buckets = Vec::<f64>::deserialize(deserializer)?;
    if buckets.windows(2).all(|pair| pair[0] < pair[1]) && buckets.iter().all(|bucket| bucket.is_finite()) {
        Ok(buckets)
    } else {
        Err(de::Error::custom("expected buckets in ascending order"))
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
                if !(0.0..=1.0).contains(&quantile) {
                    return Err(de::Error::custom(format!(
                        "expected a quantile from 0 to 1, found {quantile}"
                    )));
                }
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

/// The `status` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `status.address`: `host:port`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// `status.unavailable_status_code`, 503.
    #[serde(deserialize_with = "status_code")]
    pub unavailable_status_code: u16,
    /// `status.check_timeout` in seconds or as a duration, 60.
    #[serde(deserialize_with = "crate::duration::seconds")]
    pub check_timeout: Duration,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:34333".into(),
            unavailable_status_code: 503,
            check_timeout: Duration::from_mins(1),
        }
    }
}

impl Status {
    /// What would keep health from being told.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let address = Address::Tcp(self.address.clone());
        findings.check("status.address", can_listen(&address, machine.work_dir));
    }
}

/// `host:port`, with `tcp://` in front or without.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let address = text.strip_prefix("tcp://").unwrap_or(&text);
    match host_and_port(address) {
        Some(_) => Ok(address.to_owned()),
        None => Err(de::Error::custom(format!("expected host:port, found \"{text}\""))),
    }
}

/// The status of an answer; 0 is RoadRunner's word for its default.
fn status_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        0 => Ok(Status::default().unavailable_status_code),
        code @ 200..=599 => Ok(code),
        code => Err(de::Error::custom(format!("expected an HTTP status from 200 to 599, found \"{code}\""))),
    }
}

/// The `otel` section.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Otel {
    /// `otel.exporter`.
    pub exporter: Exporter,
    /// `otel.client`: the protocol of exporter `otlp`.
    pub client: OtlpClient,
    /// `otel.endpoint`: `host:port`.
    pub endpoint: Option<String>,
    /// `otel.custom_url`: the path of the endpoint.
    pub custom_url: Option<String>,
    /// `otel.insecure`: no TLS.
    pub insecure: bool,
    /// `otel.compress`: gzip.
    pub compress: bool,
    /// `otel.headers`: sent with each export.
    pub headers: BTreeMap<String, String>,
    /// `otel.service_name`: older than `otel.resource.service_name`.
    pub service_name: Option<String>,
    /// `otel.service_version`: older than `otel.resource.service_version`.
    pub service_version: Option<String>,
    /// `otel.resource`: what the traces are of.
    pub resource: BTreeMap<String, String>,
    #[serde(rename = "propagators")]
    _propagators: IgnoredAny,
}

impl fmt::Debug for Otel {
    /// Without the values of headers, which are where its keys are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<&String> = self.headers.keys().collect();
        let mut shown = f.debug_struct("Otel");
        shown.field("exporter", &self.exporter).field("client", &self.client);
        shown.field("headers", &headers).finish_non_exhaustive()
    }
}

impl Default for Otel {
    fn default() -> Self {
        Self {
            exporter: Exporter::Otlp,
            client: OtlpClient::Http,
            endpoint: None,
            custom_url: None,
            insecure: false,
            compress: false,
            headers: BTreeMap::new(),
            service_name: None,
            service_version: None,
            resource: BTreeMap::new(),
            _propagators: IgnoredAny,
        }
    }
}

/// Where traces go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exporter {
    /// An OpenTelemetry collector.
    Otlp,
    /// Zipkin's older protocol.
    Zipkin,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How an OpenTelemetry collector is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpClient {
    /// OTLP over HTTP.
    Http,
    /// OTLP over gRPC.
    Grpc,
}
