//! Handshakes with certificates of an authority of their own.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::*;
use crate::findings::{Findings, Weight};

/// A folder of certificates: `ca`, and signed by it `server`, `renewed` and `client`; `stranger` has signed itself.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        folder.write("ca.pem", &authority.pem());
        for name in ["server", "renewed", "client"] {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["bridge.test".to_owned()]).unwrap();
            let signed = params.signed_by(&key, &authority).unwrap();
            folder.write(&format!("{name}.pem"), &signed.pem());
            folder.write(&format!("{name}.key"), &key.serialize_pem());
        }
        let stranger = rcgen::generate_simple_self_signed(["bridge.test".to_owned()]).unwrap();
        folder.write("stranger.pem", &stranger.cert.pem());
        folder.write("stranger.key", &stranger.signing_key.serialize_pem());
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file as deployments do: whole, in place of the one before.
    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path("new"), text).unwrap();
        std::fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    fn copy(&self, from: &str, to: &str) {
        self.write(to, &std::fs::read_to_string(self.path(from)).unwrap());
    }

    fn server(&self, client_auth_type: ClientAuth) -> ServerFiles {
        let file = |name| Some(self.path(name));
        ServerFiles {
            cert: file("server.pem"),
            key: file("server.key"),
            root_ca: file("ca.pem"),
            client_auth_type,
        }
    }

    fn client(&self, own: Option<&str>) -> TlsConnector {
        let own = |extension: &str| own.map(|own| self.path(&format!("{own}.{extension}")));
        let files = ClientFiles { root_ca: Some(self.path("ca.pem")), cert: own("pem"), key: own("key") };
        files.connector(self.0.path(), Some(b"h2")).unwrap()
    }
}

fn acceptor(files: &ServerFiles) -> Arc<Acceptor> {
    Acceptor::new("test.tls", files, &[b"h2"]).unwrap()
}

/// The certificate that the client has seen, once both sides have read something.
async fn shake(acceptor: &Arc<Acceptor>, client: &TlsConnector) -> io::Result<Vec<u8>> {
    let (near, far): (DuplexStream, DuplexStream) = tokio::io::duplex(64 << 10);
    let server = async {
        let mut stream = acceptor.accept(near).await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        stream.read_u8().await
    };
    let client = async {
        let mut stream = client.connect(ServerName::try_from("bridge.test").unwrap(), far).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let seen = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        stream.write_all(b"x").await?;
        stream.flush().await?;
        stream.read_u8().await?;
        Ok(seen)
    };
    let (ended, seen) = tokio::join!(server, client);
    ended.and(seen)
}

#[tokio::test]
async fn each_client_auth_type_accepts_the_clients_that_it_names() {
    let folder = Folder::new();
    let clients = [None, Some("stranger"), Some("client"), Some("server")];
    for (auth, accepted) in [
        (ClientAuth::None, [true, true, true, true]),
        (ClientAuth::Request, [true, true, true, true]),
        (ClientAuth::RequireAny, [false, true, true, true]),
        (ClientAuth::VerifyIfGiven, [true, false, true, true]),
        (ClientAuth::RequireAndVerify, [false, false, true, true]),
    ] {
        let acceptor = acceptor(&folder.server(auth));
        for (client, accepted) in clients.iter().zip(accepted) {
            let shaken = shake(&acceptor, &folder.client(*client)).await;
            assert_eq!(shaken.is_ok(), accepted, "{auth:?} {client:?}: {shaken:?}");
        }
    }
}

#[tokio::test]
async fn the_own_certificate_alone_is_accepted_that_no_authority_of_clients_has_signed() {
    let folder = Folder::new();
    folder.copy("stranger.pem", "server.pem");
    folder.copy("stranger.key", "server.key");
    let files = folder.server(ClientAuth::RequireAndVerify);
    let pinned = pinned(&files, Some(b"h2")).unwrap();
    shake(&acceptor(&files), &pinned).await.unwrap();
    // The key is still proved: a copy of the certificate is not enough.
    let mut forged = files.clone();
    folder.copy("client.key", "forged.key");
    forged.key = Some(folder.path("forged.key"));
    assert!(matches!(super::pinned(&forged, None), Err(Error::OtherKey(_))));
}

#[tokio::test]
async fn the_command_line_trusts_the_certificate_of_the_configuration_and_no_other() {
    let folder = Folder::new();
    let files = folder.server(ClientAuth::RequireAndVerify);
    let pinned = pinned(&files, Some(b"h2")).unwrap();
    shake(&acceptor(&files), &pinned).await.unwrap();
    folder.copy("renewed.pem", "server.pem");
    folder.copy("renewed.key", "server.key");
    let error = shake(&acceptor(&files), &pinned).await.unwrap_err();
    assert!(error.to_string().contains("alert") || error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change_and_kept_while_new_ones_are_broken() {
    let folder = Folder::new();
    let files = folder.server(ClientAuth::RequireAndVerify);
    let acceptor = acceptor(&files);
    let client = folder.client(Some("client"));
    let first = shake(&acceptor, &client).await.unwrap();
    // A certificate without its key, and what is no certificate.
    folder.copy("renewed.pem", "server.pem");
    assert_eq!(shake(&acceptor, &client).await.unwrap(), first);
    assert!(acceptor.prepare(files.clone()).is_err());
    folder.write("server.pem", "hunter2");
    assert_eq!(shake(&acceptor, &client).await.unwrap(), first);
    std::fs::remove_file(folder.path("server.key")).unwrap();
    assert_eq!(shake(&acceptor, &client).await.unwrap(), first);
    folder.copy("renewed.pem", "server.pem");
    folder.copy("renewed.key", "server.key");
    let renewed = shake(&acceptor, &client).await.unwrap();
    assert_ne!(renewed, first);
    // Other authorities apply to the next connection: no session is resumed.
    folder.copy("stranger.pem", "ca.pem");
    shake(&acceptor, &client).await.unwrap_err();
    acceptor.prepare(files).unwrap().commit();
}

#[tokio::test]
async fn other_files_take_effect_if_they_can_be_used() {
    let folder = Folder::new();
    let files = folder.server(ClientAuth::None);
    let acceptor = acceptor(&files);
    let client = folder.client(None);
    let first = shake(&acceptor, &client).await.unwrap();
    let missing = ServerFiles { cert: Some(folder.path("missing.pem")), ..files.clone() };
    let error = acceptor.prepare(missing).err().unwrap();
    assert!(error.to_string().starts_with("there is no file "), "{error}");
    assert_eq!(shake(&acceptor, &client).await.unwrap(), first);
    let file = |name| Some(folder.path(name));
    let renewed = ServerFiles { cert: file("renewed.pem"), key: file("renewed.key"), ..files };
    let prepared = acceptor.prepare(renewed).unwrap();
    assert_eq!(shake(&acceptor, &client).await.unwrap(), first);
    prepared.commit();
    assert_ne!(shake(&acceptor, &client).await.unwrap(), first);
}

/// What is said of a listener's files: the last part of the key, and whether it is a mistake.
fn said(folder: &Folder, files: &ServerFiles) -> Vec<(String, bool)> {
    let mut findings = Findings::default();
    files.validate("test.tls", folder.0.path(), &mut findings);
    let part = |key: String| key.rsplit('.').next().unwrap().to_owned();
    findings.into_list().into_iter().map(|found| (part(found.key), found.weight == Weight::Mistake)).collect()
}

#[test]
fn files_that_would_not_work_are_mistakes_and_unsafe_ones_are_reported() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = Folder::new();
    let key = folder.path("server.key");
    let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o640);
    let files = folder.server(ClientAuth::RequireAndVerify);
    assert_eq!(said(&folder, &files), []);
    mode(0o644);
    assert_eq!(said(&folder, &files), [("key".into(), false)]);
    mode(0o600);
    let none = ServerFiles { root_ca: None, ..files.clone() };
    assert_eq!(said(&folder, &none), [("tls".into(), true)]);
    let idle = ServerFiles { client_auth_type: ClientAuth::RequireAny, ..files.clone() };
    assert_eq!(said(&folder, &idle), [("root_ca".into(), false)]);
    let half = ServerFiles { key: None, ..files.clone() };
    assert_eq!(said(&folder, &half), [("tls".into(), true)]);
    let other = ServerFiles { cert: Some("client.pem".into()), ..files };
    assert_eq!(said(&folder, &other), [("key".into(), true)]);
}
