//! TLS of commands: by the configuration that names the address, or by arguments.

use std::path::{Path, PathBuf};

use tokio_rustls::TlsConnector;

use crate::config::ServerAddress;
use crate::tls::{self, ClientFiles};

/// How a server is reached over TLS. Without any of these, the configuration says so, if it also names the address.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Secure {
    /// Connect over TLS, with the system's authorities
    #[arg(long)]
    tls: bool,
    /// Connect over TLS, with the authorities in this PEM file
    #[arg(long, value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// Connect over TLS, with this client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The key of the client certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl Secure {
    /// Reads the files. `alpn` is the protocol that is spoken over TLS.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub(super) fn connector(
        &self,
        address: &ServerAddress,
        alpn: Option<&[u8]>,
    ) -> Result<Option<TlsConnector>, tls::Error> {
        let Self { tls, tls_ca, tls_cert, tls_key } = self;
        if *tls || tls_ca.is_some() || tls_cert.is_some() {
            let files = ClientFiles { root_ca: tls_ca.clone(), cert: tls_cert.clone(), key: tls_key.clone() };
            return files.connector(Path::new(""), alpn).map(Some);
        }
        address.tls.as_ref().map(|files| tls::pinned(files, alpn)).transpose()
    }
}
