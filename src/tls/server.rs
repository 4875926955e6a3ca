//! The side that listens: its certificate, and what it asks of its clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::sign::SingleCertAndKey;

use super::client::validate_pair;
use super::client_auth::Verifier;
use super::{ClientAuth, Error, pem, provider};
use crate::findings::Findings;

/// The files of a listener, in PEM, and what it asks of its clients: the keys of RoadRunner's `http.ssl`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct ServerFiles {
    /// The listener's certificate, and those between it and its authority.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
    /// The authorities that sign the certificates of clients.
    pub root_ca: Option<PathBuf>,
    /// Whether clients present certificates; not, unless set.
    pub client_auth_type: ClientAuth,
}

impl ServerFiles {
    /// The certificate and the key.
    pub(super) fn pair(&self) -> Result<(&Path, &Path), Error> {
        self.cert.as_deref().zip(self.key.as_deref()).ok_or(Error::NoPair)
    }

    /// Whether each client has to present a certificate of `root_ca`.
    pub(crate) fn verifies_clients(&self) -> bool {
        self.client_auth_type == ClientAuth::RequireAndVerify
    }

    /// The same files, if they are relative to this folder.
    pub(crate) fn within(self, folder: &Path) -> Self {
        let Self { cert, key, root_ca, client_auth_type } = self;
        let [cert, key, root_ca] = [cert, key, root_ca].map(|file| file.map(|file| folder.join(file)));
        Self { cert, key, root_ca, client_auth_type }
    }

    /// All files that are set.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key, &self.root_ca].into_iter().flatten().map(PathBuf::as_path)
    }

    /// Reads the files. Relative ones start in `folder`; `alpn` are the protocols that are spoken over TLS.
    pub(super) fn config(&self, folder: &Path, alpn: &[&[u8]]) -> Result<ServerConfig, Error> {
        let (cert, key) = self.pair()?;
        let pair = pem::pair(folder, cert, key)?;
        let own = pair.end_entity_cert()?.clone().into_owned();
        let builder =
            ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let builder = match self.client_verifier(folder, own)? {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(pair)));
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
        Ok(config)
    }

    fn client_verifier(
        &self,
        folder: &Path,
        own: CertificateDer<'static>,
    ) -> Result<Option<Arc<dyn ClientCertVerifier>>, Error> {
        let auth = self.client_auth_type;
        if auth == ClientAuth::None {
            return Ok(None);
        }
        let authorities = if auth.verifies() {
            let file = self.root_ca.as_deref().ok_or(Error::NoClientAuthority)?;
            let roots = Arc::new(pem::authorities(folder, file)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider()).build();
            let unusable = |reason: String| Error::ClientAuthority { file: file.to_owned(), reason };
            Some(verifier.map_err(|error| unusable(error.to_string()))?)
        } else {
            None
        };
        Ok(Some(Arc::new(Verifier::new(auth, authorities, own))))
    }

    /// Reports everything that would keep the listener from speaking TLS, and what makes it unsafe.
    pub(crate) fn validate(&self, section: &str, folder: &Path, findings: &mut Findings) {
        validate_pair(section, folder, self.cert.as_deref(), self.key.as_deref(), findings);
        if self.pair().is_err() {
            findings.mistake(section, Error::NoPair.to_string());
        }
        let root_ca = || format!("{section}.root_ca");
        match &self.root_ca {
            Some(file) => {
                if let Err(error) = pem::authorities(folder, file) {
                    findings.mistake(root_ca(), error.to_string());
                } else if !self.client_auth_type.verifies() {
                    let text = "has no effect: client_auth_type does not verify certificates, so every client is accepted";
                    findings.odd(root_ca(), text);
                }
            }
            None if self.client_auth_type.verifies() => {
                findings.mistake(section, Error::NoClientAuthority.to_string());
            }
            None => {}
        }
    }
}
