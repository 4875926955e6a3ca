//! Certificates of an authority of the test's own.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

/// An authority. What it signs is in its folder: `ca.pem`, and `NAME.pem` and `NAME.key` for each name.
pub struct Pki {
    folder: PathBuf,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    /// An authority, and its certificates for `names`.
    pub fn new(folder: &Path, names: &[&str]) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // By its default name, OpenSSL would take all for signed by themselves.
        params.distinguished_name.push(DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let pki = Self { folder: folder.to_owned(), authority };
        pki.write("ca.pem", &pki.authority.pem());
        for name in names {
            pki.issue(name);
        }
        pki
    }

    /// Signs another certificate for the loopback addresses of tests, in place of the one of this name. Returns it.
    pub fn issue(&self, name: &str) -> String {
        let key = KeyPair::generate().unwrap();
        let names = ["127.0.0.1", "127.0.1.4", "localhost", "bridge.test"].map(str::to_owned);
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let signed = params.signed_by(&key, &self.authority).unwrap();
        self.write(&format!("{name}.key"), &key.serialize_pem());
        self.write(&format!("{name}.pem"), &signed.pem());
        signed.pem()
    }

    /// Writes a file as deployments do: whole, in place of the one before, and not for others.
    pub fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt as _;

        let new = self.folder.join("new");
        std::fs::write(&new, text).unwrap();
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new, self.folder.join(name)).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}
