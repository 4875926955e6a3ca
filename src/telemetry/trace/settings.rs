//! What the section `otel` and OpenTelemetry's variables ask for, together.
//!
//! A key of the section wins over a variable, as in RoadRunner, and a variable for traces over the one for all signals.

use std::ffi::OsString;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::config::{Exporter, Otel, OtlpClient};
use super::endpoint::Endpoint;
use super::environment::{Environment, SECTION, ignored};
use super::ids;
use super::sampler::{NAMES, Sampler};
use crate::findings::{Findings, Machine};
use crate::tls::ClientFiles;

/// What spans an exporter sends, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) destination: Destination,
    /// The attributes of what is traced, by key.
    pub(super) resource: Vec<(String, String)>,
    pub(super) sampler: Sampler,
    pub(super) pace: Pace,
}

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Destination {
    Stdout,
    Stderr,
    Collector(Box<Endpoint>),
}

/// How spans are exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// How long spans wait for others.
    pub(super) delay: Duration,
    /// How many may wait.
    pub(super) capacity: usize,
    /// How many are sent at a time.
    pub(super) batch: usize,
    /// How long one attempt may take.
    pub(super) timeout: Duration,
    /// How long a batch may wait for the collector.
    pub(super) patience: Duration,
    /// How long the exporter waits after a failure; twice as long after each further one.
    pub(super) pause: Duration,
}

impl Default for Pace {
    /// OpenTelemetry's defaults.
    fn default() -> Self {
        Self {
            delay: Duration::from_secs(5),
            capacity: 2048,
            batch: 512,
            timeout: Duration::from_secs(10),
            patience: Duration::from_secs(30),
            pause: Duration::from_secs(1),
        }
    }
}

/// Spans that may wait, at most, whatever is asked for: about 30 MB.
const MAX_CAPACITY: usize = 1 << 16;

impl Otel {
    /// Reports what is wrong with the section or a variable.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        if let Some(settings) = Settings::of(self, machine.env, findings)
            && let Destination::Collector(endpoint) = settings.destination
            && endpoint.is_tls
        {
            findings.check(SECTION, endpoint.certificates.connector(machine.work_dir, None).map(drop));
        }
    }
}

impl Settings {
    /// `None` if nothing is to be traced.
    pub(super) fn of(
        otel: &Otel,
        variables: &[(OsString, OsString)],
        findings: &mut Findings,
    ) -> Option<Self> {
        let env = Environment::new(variables);
        let destination = match otel.exporter {
            Exporter::Stdout => Destination::Stdout,
            Exporter::Stderr => Destination::Stderr,
            Exporter::Otlp => Destination::Collector(Box::new(endpoint(otel, &env, findings)?)),
            Exporter::Zipkin => {
                let text = "zipkin is not supported, and no spans are exported: use otlp, which collectors and Jaeger read";
                findings.odd("otel.exporter", text);
                return None;
            }
        };
        let sampler = sampler(otel, &env, findings);
        let (resource, pace) = (resource(otel, &env, findings), pace(&env, findings));
        if env.is_true(["OTEL_SDK_DISABLED"]) {
            findings.odd(SECTION, "has no effect: the variable OTEL_SDK_DISABLED is true");
            return None;
        }
        Some(Self { destination, resource, sampler, pace })
    }
}

fn pace(env: &Environment<'_>, findings: &mut Findings) -> Pace {
    let default = Pace::default();
    let mut time = |name: &str, default: Duration| env.milliseconds(name, findings).unwrap_or(default);
    let delay = time("OTEL_BSP_SCHEDULE_DELAY", default.delay).max(Duration::from_millis(1));
    let patience = time("OTEL_BSP_EXPORT_TIMEOUT", default.patience);
    let timeout = match env.first(["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"]) {
        Some((name, _)) => time(name, default.timeout),
        None => default.timeout,
    };
    let mut number = |name: &str, default: usize| env.number(name, findings).unwrap_or(default);
    let capacity = number("OTEL_BSP_MAX_QUEUE_SIZE", default.capacity).clamp(1, MAX_CAPACITY);
    let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", default.batch).clamp(1, capacity);
    Pace { delay, capacity, batch, timeout, patience, pause: default.pause }
}

fn sampler(otel: &Otel, env: &Environment<'_>, findings: &mut Findings) -> Sampler {
    let (of_name, of_ratio) = ("OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG");
    let is_share = |ratio: &f64| (0.0..=1.0).contains(ratio);
    if otel.sampler_arg.is_some_and(|ratio| !is_share(&ratio)) {
        findings.mistake("otel.sampler_arg", "expected a number from 0 to 1");
    }
    let name = otel.sampler.as_deref().or_else(|| env.get(of_name));
    let Some(name) = name else {
        if otel.sampler_arg.is_some() {
            findings.odd("otel.sampler_arg", "has no effect without `sampler`");
        }
        return Sampler::default();
    };
    let mut ratio = otel.sampler_arg.unwrap_or(1.0);
    // The argument of another sampler may be anything.
    if otel.sampler_arg.is_none() && name.ends_with("traceidratio") && env.get(of_ratio).is_some() {
        match env.number(of_ratio, findings) {
            Some(found) if is_share(&found) => ratio = found,
            Some(_) => ignored(of_ratio, "expected a number from 0 to 1", findings),
            None => {}
        }
    }
    let sampler = Sampler::named(name, ratio);
    if sampler.is_none() {
        let expected = format!("expected one of {}", NAMES.join(", "));
        match &otel.sampler {
            Some(_) => findings.mistake("otel.sampler", expected),
            None => ignored(of_name, &expected, findings),
        }
    }
    sampler.unwrap_or_default()
}

/// The same attributes as RoadRunner's, with the same precedence; that of the telemetry library is ours.
fn resource(otel: &Otel, env: &Environment<'_>, findings: &mut Findings) -> Vec<(String, String)> {
    let mut attributes = env.pairs("OTEL_RESOURCE_ATTRIBUTES", findings);
    if let Some(name) = env.get("OTEL_SERVICE_NAME") {
        set(&mut attributes, "service.name", name.to_owned());
    }
    let own = &otel.resource;
    let set_or = |attributes: &mut Vec<(String, String)>,
                  key: &str,
                  values: [&Option<String>; 2],
                  default: &dyn Fn() -> String| {
        let given = values.into_iter().flatten().find(|value| !value.is_empty());
        match given {
            Some(value) => set(attributes, key, value.clone()),
            None if attributes.iter().any(|(found, _)| found == key) => {}
            None => set(attributes, key, default()),
        }
    };
    set_or(&mut attributes, "service.name", [&own.service_name, &otel.service_name], &|| "RoadRunner".into());
    set_or(&mut attributes, "service.version", [&own.service_version, &otel.service_version], &|| {
        "1.0.0".into()
    });
    set_or(&mut attributes, "service.instance.id", [&own.service_instance_id, &None], &ids::uuid);
    if let Some(namespace) = own.service_namespace.as_ref().filter(|namespace| !namespace.is_empty()) {
        set(&mut attributes, "service.namespace", namespace.clone());
    }
    let facts = [
        ("telemetry.sdk.name", "causeway"),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", super::VERSION),
        ("os.type", "linux"),
        ("host.arch", if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" }),
    ];
    for (key, value) in facts {
        set(&mut attributes, key, value.to_owned());
    }
    set(&mut attributes, "process.pid", std::process::id().to_string());
    attributes
}

fn set(attributes: &mut Vec<(String, String)>, key: &str, value: String) {
    attributes.retain(|(found, _)| found != key);
    attributes.push((key.to_owned(), value));
}

/// `None` after a mistake.
fn endpoint(otel: &Otel, env: &Environment<'_>, findings: &mut Findings) -> Option<Endpoint> {
    let client = otel.client.unwrap_or_else(|| protocol(env, findings));
    let mut place = place(otel, client, env, findings)?;
    if let Some(path) = otel.custom_url.as_deref().filter(|path| !path.is_empty()) {
        place.path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    }
    let Place { is_tls, host, port, path } = place;
    if path.parse::<http::uri::PathAndQuery>().is_err() {
        findings.mistake("otel.custom_url", "expected a path such as /v1/traces");
        return None;
    }
    let compression = env.first(["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"]);
    let is_compressed = otel.compress.unwrap_or_else(|| match compression {
        Some((_, "gzip")) => true,
        None | Some((_, "none")) => false,
        Some((name, _)) => {
            ignored(name, "expected gzip or none", findings);
            false
        }
    });
    let headers = headers(otel, env, findings);
    let certificates = if is_tls { certificates(env, findings) } else { ClientFiles::default() };
    Some(Endpoint { client, is_tls, host, port, path, headers, is_compressed, certificates })
}

fn protocol(env: &Environment<'_>, findings: &mut Findings) -> OtlpClient {
    match env.first(["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"]) {
        Some((_, "grpc")) => OtlpClient::Grpc,
        None | Some((_, "http/protobuf")) => OtlpClient::Http,
        Some((name, _)) => {
            ignored(name, "expected grpc or http/protobuf", findings);
            OtlpClient::Http
        }
    }
}

/// The parts of a URL.
struct Place {
    is_tls: bool,
    host: String,
    port: u16,
    path: String,
}

/// The path of the service over HTTP.
const PATH: &str = "/v1/traces";

/// `None` after a mistake.
fn place(otel: &Otel, client: OtlpClient, env: &Environment<'_>, findings: &mut Findings) -> Option<Place> {
    let default_port = match client {
        OtlpClient::Http => 4318,
        OtlpClient::Grpc => 4317,
    };
    let is_insecure = otel.insecure.unwrap_or_else(|| {
        env.is_true(["OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"])
    });
    let default =
        Place { is_tls: !is_insecure, host: "localhost".into(), port: default_port, path: PATH.into() };
    if let Some(text) = otel.endpoint.as_deref().filter(|text| !text.is_empty()) {
        let place = Place::parse(text, default.is_tls, default_port);
        if place.is_none() {
            findings.mistake("otel.endpoint", "expected host:port, or a URL such as http://host:port");
        }
        return place.map(|place| place.or_path(PATH));
    }
    let names = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let Some((name, text)) = env.first(names) else { return Some(default) };
    let Some(mut place) = Place::parse(text, default.is_tls, default_port) else {
        ignored(name, "expected a URL such as http://host:4318", findings);
        return Some(default);
    };
    // The section wins over the scheme of a variable.
    place.is_tls = otel.insecure.map_or(place.is_tls, |is_insecure| !is_insecure);
    if name == names[1] {
        // The general endpoint is where the paths of all signals begin.
        place.path = format!("{}{PATH}", place.path.trim_end_matches('/'));
    }
    Some(place.or_path("/"))
}

impl Place {
    /// Parses `host:port`, `host`, or a URL. The path is empty without one.
    fn parse(text: &str, is_tls: bool, default_port: u16) -> Option<Self> {
        let (is_tls, rest) = match text.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return None,
            None => (is_tls, text),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let authority: http::uri::Authority = authority.parse().ok()?;
        // A port that is no number would be left out.
        let has_port = authority.as_str().rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let port = match authority.port_u16() {
            Some(port) => port,
            None if has_port => return None,
            None => default_port,
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_usable = !host.is_empty() && !authority.as_str().contains('@');
        is_usable.then(|| Self { is_tls, host, port, path: path.to_owned() })
    }

    fn or_path(mut self, path: &str) -> Self {
        if self.path.is_empty() {
            path.clone_into(&mut self.path);
        }
        self
    }
}

/// The section's headers, or the variables'.
fn headers(otel: &Otel, env: &Environment<'_>, findings: &mut Findings) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |key: &str, value: &str| {
        let name = HeaderName::try_from(key).ok();
        let value = HeaderValue::try_from(value).ok();
        let Some((name, mut value)) = name.zip(value) else { return false };
        value.set_sensitive(true);
        headers.append(name, value);
        true
    };
    if !otel.headers.is_empty() {
        for (key, value) in &otel.headers {
            if !add(key, value) {
                findings.mistake(format!("otel.headers.{key}"), "not allowed in a header");
            }
        }
        return headers;
    }
    let names = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
    let Some((name, _)) = env.first(names) else { return headers };
    for (key, value) in env.pairs(name, findings) {
        if !add(&key, &value) {
            ignored(name, "a part of it is not allowed in a header", findings);
        }
    }
    headers
}

fn certificates(env: &Environment<'_>, findings: &mut Findings) -> ClientFiles {
    let authorities = env.first(["OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "OTEL_EXPORTER_OTLP_CERTIFICATE"]);
    let own = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"];
    let key = ["OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "OTEL_EXPORTER_OTLP_CLIENT_KEY"];
    let (cert, key) = match (env.first(own), env.first(key)) {
        (Some((_, own)), Some((_, key))) => (Some(own.into()), Some(key.into())),
        (Some((name, _)), None) => {
            ignored(name, &format!("expected together with {}", key[1]), findings);
            (None, None)
        }
        (None, Some((name, _))) => {
            ignored(name, &format!("expected together with {}", own[1]), findings);
            (None, None)
        }
        (None, None) => (None, None),
    };
    ClientFiles { root_ca: authorities.map(|(_, file)| file.into()), cert, key }
}
