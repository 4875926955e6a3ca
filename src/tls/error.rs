//! Why certificates cannot be used.

use std::io;
use std::path::{Path, PathBuf};

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem;

/// Certificates or keys that cannot be used. The text names files, and shows nothing of what is in them.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such file.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// The file cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a regular file", .0.display())]
    NotRegular(PathBuf),
    /// The file is not PEM.
    #[error("{} is not PEM", .0.display())]
    NotPem(PathBuf),
    /// The file holds no certificate. RoadRunner's text.
    #[error("no certificate found in \"{}\"", .0.display())]
    NoCertificate(PathBuf),
    /// The file holds no private key.
    #[error("no private key found in \"{}\"", .0.display())]
    NoKey(PathBuf),
    /// The certificate of an authority cannot be used.
    #[error("cannot use the certificate in {}: {source}", file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The key cannot be used.
    #[error("cannot use the private key in {}: {source}", file.display())]
    Key {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// The key is that of another certificate.
    #[error("the key in {} does not belong to the certificate", .0.display())]
    OtherKey(PathBuf),
    /// A certificate has no key, or a key no certificate. RoadRunner's text.
    #[error("tls cert and key must be set together")]
    HalfPair,
    /// A listener has no certificate, or no key.
    #[error("expected cert and key")]
    NoPair,
    /// Client certificates are to be verified, and no authority may sign them.
    #[error("client_auth_type needs root_ca, the authority that signs the certificates of clients")]
    NoClientAuthority,
    /// The system has no trusted authorities.
    #[error("no root certificates on this system; set root_ca")]
    NoRoots,
    /// The certificates cannot be used.
    #[error("cannot use the certificates: {0}")]
    Unusable(#[from] rustls::Error),
    /// The authorities cannot verify certificates of clients.
    #[error("cannot use the certificate in {}: {reason}", file.display())]
    ClientAuthority {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl Error {
    /// The error of a file in which `none` was searched for.
    pub(super) fn of_pem(file: &Path, error: pem::Error, none: fn(PathBuf) -> Self) -> Self {
        let file = file.to_owned();
        match error {
            pem::Error::Io(error) if error.kind() == io::ErrorKind::NotFound => Self::NoFile(file),
            pem::Error::Io(source) => Self::Unreadable { file, source },
            pem::Error::NoItemsFound => none(file),
            _ => Self::NotPem(file),
        }
    }
}
