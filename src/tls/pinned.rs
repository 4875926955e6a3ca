//! The command line's side of a listener: the same files say which certificate the server has. So its names, dates and authorities do not
//! matter, and none of them has to be configured a second time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::{ClientAuth, Error as FileError, ServerFiles, pem, provider};

/// A connector for the listener with these files. It presents the listener's own certificate where the listener asks for one.
///
/// # Errors
/// If a file cannot be used.
pub fn pinned(files: &ServerFiles, alpn: Option<&[u8]>) -> Result<TlsConnector, FileError> {
    let ((cert, key), folder) = (files.pair()?, Path::new(""));
    let certificate = pem::certificates(folder, cert)?.swap_remove(0);
    let algorithms = provider().signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pin { file: cert.to_owned(), certificate, algorithms }));
    let mut config = if files.client_auth_type == ClientAuth::None {
        builder.with_no_client_auth()
    } else {
        builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(pem::pair(folder, cert, key)?)))
    };
    config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Accepts one certificate.
#[derive(Debug)]
struct Pin {
    file: PathBuf,
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if *end_entity == self.certificate {
            return Ok(ServerCertVerified::assertion());
        }
        Err(Error::General(format!(
            "the server presents another certificate than {}: it may not have been able to use a new one, which its log says; --tls-ca trusts \
             another one, and signals need none",
            self.file.display()
        )))
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
