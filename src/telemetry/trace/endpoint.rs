//! Where a collector is, and how it is spoken to.

use std::fmt;
use std::path::PathBuf;

use http::HeaderMap;

use super::config::OtlpClient;

/// A collector, and how it is called.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) client: OtlpClient,
    /// Whether it is called over TLS.
    pub(super) is_tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) path: String,
    /// Sent with every call.
    pub(super) headers: HeaderMap,
    /// Whether messages are compressed with gzip.
    pub(super) is_compressed: bool,
    pub(super) certificates: Certificates,
}

/// Files of certificates for TLS, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Certificates {
    /// The authorities that sign the collector's; the system's unless set.
    pub(super) authorities: Option<PathBuf>,
    /// Our own, and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
}

impl Endpoint {
    /// The host and port, as in a URL.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority())?;
        match self.client {
            OtlpClient::Http => f.write_str(&self.path),
            OtlpClient::Grpc => Ok(()),
        }
    }
}

impl fmt::Debug for Endpoint {
    /// Without the values of headers, which may be API keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        let mut shown = f.debug_struct("Endpoint");
        shown.field("client", &self.client).field("url", &self.to_string()).field("headers", &headers);
        shown.field("is_compressed", &self.is_compressed).finish_non_exhaustive()
    }
}
