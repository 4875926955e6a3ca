//! Reads PEM files. Relative ones start in `folder`, and errors name them without it.

use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error as TlsError, RootCertStore};

use super::{Error, provider};

/// Returns the certificates of a file, at least one.
pub(super) fn certificates(folder: &Path, file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let of_pem = |error| Error::of_pem(file, error, Error::NoCertificate);
    must_be_regular(folder, file)?;
    let found = CertificateDer::pem_file_iter(folder.join(file)).map_err(of_pem)?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(of_pem)?;
    if found.is_empty() { Err(Error::NoCertificate(file.to_owned())) } else { Ok(found) }
}

/// Returns the first private key of a file.
pub(super) fn private_key(folder: &Path, file: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    must_be_regular(folder, file)?;
    PrivateKeyDer::from_pem_file(folder.join(file)).map_err(|error| Error::of_pem(file, error, Error::NoKey))
}

/// Opening a pipe or a device may take for ever.
fn must_be_regular(folder: &Path, file: &Path) -> Result<(), Error> {
    match std::fs::metadata(folder.join(file)) {
        Ok(found) if !found.is_file() => Err(Error::NotRegular(file.to_owned())),
        // Opening it says what is wrong.
        _ => Ok(()),
    }
}

/// Returns a certificate chain with its key, which belongs to the first certificate.
pub(super) fn pair(folder: &Path, cert: &Path, key: &Path) -> Result<CertifiedKey, Error> {
    let (chain, private) = (certificates(folder, cert)?, private_key(folder, key)?);
    CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
        TlsError::InconsistentKeys(_) => Error::OtherKey(key.to_owned()),
        TlsError::InvalidCertificate(_) => Error::Certificate { file: cert.to_owned(), source: error },
        source => Error::Key { file: key.to_owned(), source },
    })
}

/// Returns the authorities of a file.
pub(super) fn authorities(folder: &Path, file: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(folder, file)? {
        let added = roots.add(certificate);
        added.map_err(|source| Error::Certificate { file: file.to_owned(), source })?;
    }
    Ok(roots)
}

/// Returns the authorities that the system trusts.
pub(super) fn authorities_of_the_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    // A few that rustls cannot read do not spoil the others.
    let (added, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 { Err(Error::NoRoots) } else { Ok(roots) }
}
