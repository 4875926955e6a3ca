//! TLS towards Centrifugo, by rustls: whom to trust, and who we are.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::{SetupError, Tls};

/// What a TLS handshake needs.
pub(super) struct Identity {
    pub(super) connector: TlsConnector,
    pub(super) server_name: ServerName<'static>,
}

impl Identity {
    /// Reads the files. `host` is the name in Centrifugo's certificate unless the settings have another.
    pub(super) fn new(tls: &Tls, host: &str) -> Result<Self, SetupError> {
        let name = tls.server_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(host);
        let server_name =
            ServerName::try_from(name.to_owned()).map_err(|_| SetupError::ServerName(name.to_owned()))?;
        let roots = match &tls.root_ca {
            Some(file) => roots_of(file)?,
            None => roots_of_the_system()?,
        };
        let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match (&tls.cert, &tls.key) {
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(SetupError::HalfPair),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn roots_of(file: &Path) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file)? {
        roots.add(certificate)?;
    }
    Ok(roots)
}

fn roots_of_the_system() -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    // Some systems have a few that rustls cannot read; the others are good all the same.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(SetupError::NoRoots) } else { Ok(roots) }
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let unreadable = |source| SetupError::Pem { file: file.to_owned(), source };
    let found: Vec<_> = CertificateDer::pem_file_iter(file)
        .map_err(unreadable)?
        .collect::<Result<_, _>>()
        .map_err(unreadable)?;
    if found.is_empty() { Err(SetupError::NoCertificate(file.to_owned())) } else { Ok(found) }
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, SetupError> {
    PrivateKeyDer::from_pem_file(file).map_err(|source| SetupError::Pem { file: file.to_owned(), source })
}
