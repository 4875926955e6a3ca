//! TLS to a collector.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use super::endpoint::Certificates;

/// Reads the files. `alpn` is the protocol that is spoken over TLS.
///
/// # Errors
/// If a file cannot be used; the text names it.
pub(super) fn connector(certificates: &Certificates, alpn: &[u8]) -> io::Result<TlsConnector> {
    let roots = if let Some(file) = &certificates.authorities {
        roots_of(file)?
    } else {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        roots
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots);
    let mut config = match &certificates.client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = chain_of(certificate)?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|error| unusable(key, &error))?;
            builder.with_client_auth_cert(chain, key).map_err(|error| unusable(certificate, &error))?
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_of(file: &Path) -> io::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in chain_of(file)? {
        roots.add(certificate).map_err(|error| unusable(file, &error))?;
    }
    Ok(roots)
}

fn chain_of(file: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let chain = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| unusable(file, &error))?;
    if chain.is_empty() { Err(unusable(file, &pem::Error::NoItemsFound)) } else { Ok(chain) }
}

fn unusable(file: &Path, error: &dyn std::error::Error) -> io::Error {
    io::Error::other(format!("cannot use {}: {error}", file.display()))
}
