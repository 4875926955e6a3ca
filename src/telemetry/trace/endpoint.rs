//! Where a collector is, and how it is spoken to.

use std::fmt;

use http::HeaderMap;

use super::config::OtlpClient;
use crate::tls::ClientFiles;

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
    pub(super) certificates: ClientFiles,
}

impl Endpoint {
    /// The host and port, as in a URL.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The URL without its path, which may hold an API key.
    pub(super) fn origin(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }
}

impl fmt::Debug for Endpoint {
    /// Without the path and the values of headers, which may be API keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().collect();
        let mut shown = f.debug_struct("Endpoint");
        shown.field("client", &self.client).field("origin", &self.origin()).field("headers", &headers);
        shown.field("is_compressed", &self.is_compressed).finish_non_exhaustive()
    }
}
