//! TLS to Redis. The files are read for each connection, so that new certificates are used without a restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::findings::Findings;
use crate::offload;

/// `lock.config.tls`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Tls {
    /// The authority that signed Redis' certificate, PEM; the system's unless set.
    pub root_ca: Option<PathBuf>,
    /// The client certificate, PEM.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
}

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
enum TlsError {
    #[error("cannot read {0}: {1}")]
    Unreadable(String, pem::Error),
    /// RoadRunner's text.
    #[error("no certificate found in \"{0}\"")]
    NoCertificate(String),
    #[error("no private key found in \"{0}\"")]
    NoKey(String),
    #[error("no root certificates on this system; set root_ca")]
    NoRoots,
    /// RoadRunner's text.
    #[error("tls cert and key must be set together")]
    HalfPair,
    #[error("cannot use the certificates: {0}")]
    Unusable(#[from] tokio_rustls::rustls::Error),
}

/// Reads the files.
///
/// # Errors
/// Why they cannot be used.
pub(super) async fn connector(tls: Tls) -> Result<TlsConnector, String> {
    let config = offload::background(move || client_config(&tls));
    match config.await {
        Ok(Ok(config)) => Ok(TlsConnector::from(Arc::new(config))),
        Ok(Err(error)) => Err(error.to_string()),
        Err(panicked) => Err(panicked.to_string()),
    }
}

fn client_config(tls: &Tls) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match &tls.root_ca {
        Some(file) => {
            for certificate in certificates(file)? {
                roots.add(certificate)?;
            }
        }
        None => {
            // A few that rustls cannot read do not spoil the others.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    match (&tls.cert, &tls.key) {
        (Some(cert), Some(key)) => Ok(builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?),
        (None, None) => Ok(builder.with_no_client_auth()),
        _ => Err(TlsError::HalfPair),
    }
}

/// Reports what would keep TLS from working.
pub(crate) fn validate(tls: &Tls, work_dir: &Path, findings: &mut Findings) {
    let within = |file: &Option<PathBuf>| file.as_ref().map(|file| work_dir.join(file));
    let (root_ca, cert, key) = (within(&tls.root_ca), within(&tls.cert), within(&tls.key));
    let is_readable = [
        ("root_ca", root_ca.as_deref().map(|file| certificates(file).err())),
        ("cert", cert.as_deref().map(|file| certificates(file).err())),
        ("key", key.as_deref().map(|file| private_key(file).err())),
    ];
    let mut is_complete = true;
    for (key, error) in is_readable.into_iter().filter_map(|(key, error)| Some((key, error??))) {
        findings.mistake(format!("lock.config.tls.{key}"), error.to_string());
        is_complete = false;
    }
    if is_complete && let Err(error) = client_config(&Tls { root_ca, cert, key }) {
        findings.mistake("lock.config.tls", error.to_string());
    }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(file.display().to_string(), error);
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() { Err(TlsError::NoCertificate(file.display().to_string())) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(file).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::NoKey(file.display().to_string()),
        error => TlsError::Unreadable(file.display().to_string(), error),
    })
}
