//! The `otel` section of `.rr.yaml`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// The `otel` section.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Otel {
    /// `otel.exporter`.
    pub exporter: Exporter,
    /// `otel.client`: the protocol of exporter `otlp`.
    pub client: Option<OtlpClient>,
    /// `otel.endpoint`: `host:port`, or a URL.
    pub endpoint: Option<String>,
    /// `otel.custom_url`: the path of the endpoint.
    pub custom_url: Option<String>,
    /// `otel.insecure`: no TLS.
    pub insecure: Option<bool>,
    /// `otel.compress`: gzip.
    pub compress: Option<bool>,
    /// `otel.headers`: sent with each export.
    pub headers: BTreeMap<String, String>,
    /// `otel.service_name`: older than `otel.resource.service_name`.
    pub service_name: Option<String>,
    /// `otel.service_version`: older than `otel.resource.service_version`.
    pub service_version: Option<String>,
    /// `otel.resource`: attributes of what is traced.
    pub resource: Resource,
    /// `otel.sampler`: which traces are recorded, by the names of `OTEL_TRACES_SAMPLER` (Causeway's own key).
    pub sampler: Option<String>,
    /// `otel.sampler_arg`: the share of traces that samplers with `traceidratio` record (Causeway's own key).
    pub sampler_arg: Option<f64>,
}

/// `otel.resource`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Resource {
    /// `service.name`: `RoadRunner` unless set.
    pub service_name: Option<String>,
    /// `service.version`: `1.0.0` unless set.
    pub service_version: Option<String>,
    /// `service.namespace`.
    pub service_namespace: Option<String>,
    /// `service.instance.id`: random unless set.
    pub service_instance_id: Option<String>,
}

impl fmt::Debug for Otel {
    /// Without the values of headers, which may hold API keys.
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
            client: None,
            endpoint: None,
            custom_url: None,
            insecure: None,
            compress: None,
            headers: BTreeMap::new(),
            service_name: None,
            service_version: None,
            resource: Resource::default(),
            sampler: None,
            sampler_arg: None,
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
