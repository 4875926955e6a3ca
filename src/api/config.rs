//! The settings of calls to Centrifugo, in the `centrifuge` section.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::{call, tls};
use crate::findings::{Findings, Machine};
use crate::net::host_and_port;
use crate::tls::ClientFiles;

/// How Centrifugo's API is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `centrifuge.grpc_api_address`: `host:port`, 127.0.0.1:10000 unless set.
    pub address: String,
    /// `centrifuge.use_compressor`: gzip requests.
    pub use_compressor: bool,
    /// `centrifuge.api_key`, the value of Centrifugo's `grpc_api.key` (Causeway's own key).
    pub api_key: Option<ApiKey>,
    /// `centrifuge.api_timeout`, 5s (Causeway's own key).
    pub api_timeout: Duration,
    /// `centrifuge.tls`; TLS is on when it is set.
    pub tls: Option<Tls>,
    /// `centrifuge.name`.
    pub name: String,
    /// `centrifuge.version`.
    pub version: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:10000".into(),
            use_compressor: false,
            api_key: None,
            api_timeout: Duration::from_secs(5),
            tls: None,
            name: "roadrunner".into(),
            version: "1.0.0".into(),
        }
    }
}

/// Prefixes of `host:port` that grpc-go accepts or RoadRunner removes.
const PREFIXES: [&str; 5] = ["tcp://", "dns:///", "passthrough:///", "dns:", "passthrough:"];

/// Returns the `host:port` of `centrifuge.grpc_api_address`: alone, as RoadRunner's `tcp://host:port`, or as a gRPC target that means the
/// same here, `dns:///host:port` or `passthrough:///host:port`.
///
/// # Errors
/// Says what is expected.
pub(crate) fn target(text: &str) -> Result<String, &'static str> {
    let rest = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    match host_and_port(rest) {
        Some((host, _)) if !host.is_empty() => Ok(rest.to_owned()),
        // As in Go.
        Some(_) => Ok(format!("localhost{rest}")),
        None if rest.starts_with("unix:") => Err("expected host:port: Centrifugo's API has no unix socket"),
        None if rest.starts_with("dns://") => {
            Err("expected host:port or dns:///host:port: a name server of its own is not supported")
        }
        None if rest.contains("://") => Err(
            "expected host:port: a gRPC address has no scheme such as http://, and TLS is set by centrifuge.tls",
        ),
        None => Err("expected host:port"),
    }
}

impl Config {
    /// Reports what would keep Centrifugo's API from being called.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        if call::headers(self).is_err() {
            findings.mistake("centrifuge.api_key", "it has characters that are not allowed in a header");
        }
        if let Some(tls) = &self.tls {
            let (host, _) = host_and_port(&self.address).unwrap_or_default();
            tls::validate(tls, host, machine.work_dir, findings);
        }
    }
}

/// A secret: its text is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct ApiKey(String);

impl ApiKey {
    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// `centrifuge.tls`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// The client certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// The authority that signed Centrifugo's certificate, PEM; the system's unless set (Causeway's own key).
    pub root_ca: Option<PathBuf>,
    /// The name in Centrifugo's certificate; the host of the address unless set (Causeway's own key).
    pub server_name: Option<String>,
}

impl Tls {
    pub(super) fn files(&self) -> ClientFiles {
        let Self { cert, key, root_ca, .. } = self.clone();
        ClientFiles { root_ca, cert, key }
    }

    pub(super) fn own_name(&self) -> Option<&str> {
        self.server_name.as_deref().filter(|name| !name.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_grpc_and_roadrunner_are_accepted() {
        for text in [
            "centrifugo:10000",
            "tcp://centrifugo:10000",
            "dns:///centrifugo:10000",
            "dns:centrifugo:10000",
            "passthrough:///centrifugo:10000",
        ] {
            assert_eq!(target(text), Ok("centrifugo:10000".into()), "{text}");
        }
        assert_eq!(target("dns:///[::1]:10000"), Ok("[::1]:10000".into()));
        assert_eq!(target(":10000"), Ok("localhost:10000".into()));
        assert_eq!(target("dns:///127.0.0.1"), Err("expected host:port"));
    }

    #[test]
    fn other_schemes_and_malformed_addresses_are_refused() {
        for text in [
            "http://centrifugo:10000",
            "https://centrifugo:10000",
            "grpc://centrifugo:10000",
            "unix:///run/centrifugo.sock",
            "unix:centrifugo.sock",
            "dns://8.8.8.8/centrifugo:10000",
            "dns://centrifugo:10000",
            "xds:///centrifugo",
            "centrifugo",
            "centrifugo:",
            "centrifugo:http",
            "centrifugo:10000/",
            "dns:///centrifugo",
            "user:pass@centrifugo:10000",
            "a b:1",
        ] {
            assert!(target(text).unwrap_err().starts_with("expected host:port"), "{text}");
        }
    }
}
