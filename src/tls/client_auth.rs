//! Whether clients of a listener present certificates, by RoadRunner's names and Go's rules.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};
use tokio_rustls::rustls::client::danger::HandshakeSignatureValid;
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, UnixTime};
use tokio_rustls::rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use tokio_rustls::rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::provider;

/// `client_auth_type`: what a listener asks of its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// No certificate is asked for.
    #[default]
    None,
    /// One is asked for, and any one accepted, even none.
    Request,
    /// One is required, and any one accepted, whatever authority has signed it.
    RequireAny,
    /// Without one a client is accepted, with one only if an authority of `root_ca` has signed it.
    VerifyIfGiven,
    /// It has to be signed by an authority of `root_ca`.
    RequireAndVerify,
}

/// RoadRunner's names. Its documentation has the first in both numbers.
const NAMES: [(&str, ClientAuth); 6] = [
    ("no_client_cert", ClientAuth::None),
    ("no_client_certs", ClientAuth::None),
    ("request_client_cert", ClientAuth::Request),
    ("require_any_client_cert", ClientAuth::RequireAny),
    ("verify_client_cert_if_given", ClientAuth::VerifyIfGiven),
    ("require_and_verify_client_cert", ClientAuth::RequireAndVerify),
];

/// The names, for messages.
const FORM: &str = "no_client_cert, request_client_cert, require_any_client_cert, verify_client_cert_if_given or require_and_verify_client_cert";

impl ClientAuth {
    /// Whether certificates are compared with the authorities of `root_ca`.
    pub(super) fn verifies(self) -> bool {
        matches!(self, Self::VerifyIfGiven | Self::RequireAndVerify)
    }

    fn is_mandatory(self) -> bool {
        matches!(self, Self::RequireAny | Self::RequireAndVerify)
    }
}

impl<'de> Deserialize<'de> for ClientAuth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let found = NAMES.iter().find(|(name, _)| *name == text).map(|(_, auth)| *auth);
        found.ok_or_else(|| de::Error::invalid_value(Unexpected::Str(&text), &FORM))
    }
}

/// Checks the certificates of clients.
///
/// The listener's own certificate is accepted as well: a holder of its key could pose as the listener anyway. So the command line needs no
/// certificate but that of the configuration.
#[derive(Debug)]
pub(super) struct Verifier {
    auth: ClientAuth,
    /// Compares them with the authorities; without it, any certificate is accepted.
    authorities: Option<Arc<dyn ClientCertVerifier>>,
    own: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(
        auth: ClientAuth,
        authorities: Option<Arc<dyn ClientCertVerifier>>,
        own: CertificateDer<'static>,
    ) -> Self {
        Self { auth, authorities, own, algorithms: provider().signature_verification_algorithms }
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.auth.is_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.as_ref().map_or(&[], |authorities| authorities.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.authorities {
            Some(authorities) if *end_entity != self.own => {
                authorities.verify_client_cert(end_entity, intermediates, now)
            }
            _ => Ok(ClientCertVerified::assertion()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
