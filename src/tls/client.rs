//! The side that connects: whom it trusts, and its own certificate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Error, pem, provider};
use crate::access;
use crate::findings::Findings;

/// The files of a client, in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ClientFiles {
    /// The authorities that sign the server's certificate; the system's unless set.
    pub root_ca: Option<PathBuf>,
    /// The client's own certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl ClientFiles {
    /// Reads the files. Relative ones start in `folder`; `alpn` is the protocol that is spoken over TLS.
    ///
    /// # Errors
    /// If a file cannot be used.
    pub(crate) fn connector(&self, folder: &Path, alpn: Option<&[u8]>) -> Result<TlsConnector, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.authorities(folder)?);
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let pair = pem::pair(folder, cert, key)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pair)))
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(Error::HalfPair),
        };
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn authorities(&self, folder: &Path) -> Result<RootCertStore, Error> {
        match &self.root_ca {
            Some(file) => pem::authorities(folder, file),
            None => pem::authorities_of_the_system(),
        }
    }

    /// Reports everything that would keep TLS from working, where [`Self::connector`] stops at the first mistake.
    pub(crate) fn validate(&self, section: &str, folder: &Path, findings: &mut Findings) {
        match (&self.root_ca, self.authorities(folder)) {
            (Some(_), Err(error)) => findings.mistake(format!("{section}.root_ca"), error.to_string()),
            (None, Err(error)) => findings.mistake(section, error.to_string()),
            _ => {}
        }
        validate_pair(section, folder, self.cert.as_deref(), self.key.as_deref(), findings);
        if self.cert.is_some() != self.key.is_some() {
            findings.mistake(section, Error::HalfPair.to_string());
        }
    }
}

/// Reports what is wrong with a certificate and its key, as far as they are set, and whether others can read the key.
pub(super) fn validate_pair(
    section: &str,
    folder: &Path,
    cert: Option<&Path>,
    key: Option<&Path>,
    findings: &mut Findings,
) {
    let cert_error = cert.and_then(|cert| pem::certificates(folder, cert).err());
    let key_error = key.and_then(|key| pem::private_key(folder, key).err());
    let is_readable = cert_error.is_none() && key_error.is_none();
    for (name, error) in [("cert", cert_error), ("key", key_error)] {
        if let Some(error) = error {
            findings.mistake(format!("{section}.{name}"), error.to_string());
        }
    }
    if is_readable
        && let (Some(cert), Some(key)) = (cert, key)
        && let Err(error) = pem::pair(folder, cert, key)
    {
        let name = if matches!(error, Error::Certificate { .. }) { "cert" } else { "key" };
        findings.mistake(format!("{section}.{name}"), error.to_string());
    }
    if let Some(key) = key
        && let Some(mode) = access::open_to_others(&folder.join(key), access::READ)
    {
        let text = format!("every user of this machine can read {} (mode {mode:04o})", key.display());
        findings.odd(format!("{section}.key"), text);
    }
}
