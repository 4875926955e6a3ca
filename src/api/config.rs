//! What the `centrifuge` section says about Centrifugo's own gRPC API.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

/// How Centrifugo's API is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `centrifuge.grpc_api_address`: `host:port`, 127.0.0.1:10000 unless set.
    pub address: String,
    /// `centrifuge.use_compressor`: gzip requests.
    pub use_compressor: bool,
    /// `centrifuge.api_key`, which Centrifugo's `grpc_api.key` asks for (Causeway's own key).
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
