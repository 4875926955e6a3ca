//! TLS to Centrifugo, with rustls: trusted authorities and our own certificate.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, crypto};

use super::{SetupError, Tls};
use crate::findings::Findings;

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

/// Reports everything that would keep TLS from working, where [`Identity::new`] stops at the first mistake.
pub(super) fn validate(tls: &Tls, host: &str, work_dir: &Path, findings: &mut Findings) {
    let mut check = |key: &str, file: &Path, what: &str, error: SetupError| {
        findings.mistake(format!("centrifuge.tls.{key}"), explain(file, what, &error));
    };
    if let Some(file) = &tls.root_ca
        && let Err(error) = roots_of(&work_dir.join(file))
    {
        check("root_ca", file, "certificate", error);
    }
    let certificates = tls.cert.as_ref().and_then(|file| {
        let found = certificates(&work_dir.join(file));
        found.map_err(|error| check("cert", file, "certificate", error)).ok()
    });
    let key = tls.key.as_ref().and_then(|file| {
        let found = private_key(&work_dir.join(file));
        found.map_err(|error| check("key", file, "private key", error)).ok()
    });
    if let (Some(certificates), Some(key)) = (certificates, key) {
        check_pair(certificates, key, findings);
    }
    if tls.cert.is_some() != tls.key.is_some() {
        findings.mistake("centrifuge.tls", "cert and key belong together; set both or neither");
    }
    if tls.root_ca.is_none() && roots_of_the_system().is_err() {
        let text = "no root certificates on this system; set root_ca";
        findings.mistake("centrifuge.tls", text);
    }
    let own = tls.server_name.as_deref().filter(|name| !name.is_empty());
    if ServerName::try_from(own.unwrap_or(host)).is_err() {
        let key = if own.is_some() { "centrifuge.tls.server_name" } else { "centrifuge.grpc_api_address" };
        findings.mistake(key, "not a valid server name");
    }
}

/// Checks that the key can be used and belongs to the first certificate.
fn check_pair(
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    findings: &mut Findings,
) {
    let provider = crypto::ring::default_provider();
    match CertifiedKey::from_der(certificates, key, &provider) {
        Err(Error::InconsistentKeys(_)) => {
            findings.mistake("centrifuge.tls.key", "it does not belong to the certificate");
        }
        Err(error) => findings.mistake("centrifuge.tls.key", format!("cannot use it: {error}")),
        Ok(_) => {}
    }
}

/// Explains why a file cannot be used, without showing its contents.
fn explain(file: &Path, what: &str, error: &SetupError) -> String {
    let file = file.display();
    match error {
        SetupError::Pem { source: pem::Error::Io(error), .. } if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no file {file}")
        }
        SetupError::Pem { source: pem::Error::Io(error), .. } => format!("cannot read {file}: {error}"),
        SetupError::Pem { source: pem::Error::NoItemsFound, .. } | SetupError::NoCertificate(_) => {
            format!("there is no {what} in {file}")
        }
        SetupError::Pem { .. } => format!("{file} is not PEM"),
        error => format!("cannot use the {what} in {file}: {error}"),
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
    // A few that rustls cannot read do not spoil the others.
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
