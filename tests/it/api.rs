//! What Centrifugo's API sees of a call, and what a caller sees of Centrifugo.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::api::{Client, Config, SetupError, Tls};
use causeway::tls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Code, Status};

use crate::support::centrifugo::{FakeApi, silent_listener};
use crate::support::{PATIENCE, repository};

fn config(address: SocketAddr) -> Config {
    Config { address: address.to_string(), api_timeout: PATIENCE, ..Config::default() }
}

fn client(address: SocketAddr) -> Client {
    Client::new(&config(address)).unwrap()
}

#[tokio::test]
async fn every_method_of_the_api_is_passed_on_including_unknown_ones() {
    let centrifugo = FakeApi::start().await;
    let client = client(centrifugo.address);
    let table =
        std::fs::read_to_string(repository().join("tests/vectors/centrifugo-api-methods.tsv")).unwrap();
    let methods = table.lines().skip(1).map(|line| line.split('\t').nth(2).unwrap());
    let methods: Vec<&str> = methods.chain(["NotYetInvented"]).collect();
    assert_eq!(methods.len(), 41);
    for method in &methods {
        let message = Bytes::from(format!("\u{0}{method}"));
        assert_eq!(client.call(method, message.clone()).await.unwrap(), message);
    }
    let seen: Vec<String> = centrifugo.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(seen, methods);
    for name in ["", "a/b", "Ä", "a b", "a?b"] {
        assert_eq!(client.call(name, Bytes::new()).await.unwrap_err().code(), Code::Unimplemented);
    }
}

#[tokio::test]
async fn key_deadline_and_compression_are_sent() {
    let centrifugo = FakeApi::builder().compress().start().await;
    let api_key = serde_json::from_str("\"secret\"").unwrap();
    let client = Client::new(&Config {
        use_compressor: true,
        api_key: Some(api_key),
        api_timeout: Duration::from_secs(31),
        ..config(centrifugo.address)
    });
    let message = Bytes::from(vec![b'x'; 100_000]);
    assert_eq!(client.unwrap().call("Publish", message.clone()).await.unwrap(), message);
    let seen = centrifugo.seen().pop().unwrap();
    assert_eq!(seen.headers["authorization"], "apikey secret");
    assert_eq!(seen.headers["grpc-timeout"], "31000m");
    assert_eq!(seen.headers["grpc-encoding"], "gzip");
    assert_eq!(seen.message, message);
}

#[tokio::test]
async fn by_default_no_key_is_sent_and_nothing_is_compressed() {
    let centrifugo = FakeApi::start().await;
    client(centrifugo.address).call("Info", Bytes::new()).await.unwrap();
    let seen = centrifugo.seen().pop().unwrap();
    assert!(!seen.headers.contains_key("authorization"));
    assert!(!seen.headers.contains_key("grpc-encoding"));
}

#[tokio::test]
async fn large_messages_pass_in_both_directions_while_small_ones_overtake_them() {
    let centrifugo = FakeApi::start().await;
    let client = client(centrifugo.address);
    let large = Bytes::from(vec![7; 20 << 20]);
    let small = Bytes::from_static(b"small");
    let calls = (0..4).map(|n| {
        let (client, message) = (client.clone(), if n == 0 { large.clone() } else { small.clone() });
        tokio::spawn(async move { client.call("Publish", message.clone()).await.unwrap() == message })
    });
    for call in calls.collect::<Vec<_>>() {
        assert!(call.await.unwrap());
    }
}

#[tokio::test]
async fn a_status_is_passed_on_with_its_message() {
    let refuse = |_: &_| Err(Status::invalid_argument("bad request: \u{fc} 100%"));
    let centrifugo = FakeApi::builder().answer(refuse).start().await;
    let error = client(centrifugo.address).call("Publish", Bytes::new()).await.unwrap_err();
    assert_eq!(error.to_string(), "rpc error: code = InvalidArgument desc = bad request: \u{fc} 100%");
}

#[tokio::test]
async fn while_centrifugo_is_down_calls_fail_at_once_and_the_first_one_after_succeeds() {
    // At an address that no other program uses, since the port is free for a while.
    let centrifugo = FakeApi::builder().start_at("127.0.1.1:0".parse().unwrap()).await;
    let address = centrifugo.address;
    let client = client(address);
    client.call("Info", Bytes::new()).await.unwrap();
    centrifugo.stop().await;
    for _ in 0..3 {
        let error = client.call("Info", Bytes::new()).await.unwrap_err().to_string();
        let expected = format!(
            "rpc error: code = Unavailable desc = connection error: desc = \"transport: Error while dialing: dial tcp {address}: connect: connection refused\""
        );
        assert_eq!(error, expected);
    }
    let _again = FakeApi::builder().start_at(address).await;
    client.call("Info", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn a_slow_answer_is_dropped_at_the_deadline_and_the_connection_stays_open() {
    let centrifugo = FakeApi::builder().delay(PATIENCE).start().await;
    let patience = Duration::from_millis(300);
    let client = Client::new(&Config { api_timeout: patience, ..config(centrifugo.address) }).unwrap();
    let calls: Vec<_> = (0..300)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.call("Slow", Bytes::new()).await.unwrap_err() })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap();
        assert_eq!(error.code(), Code::DeadlineExceeded);
        assert!(error.message().contains("within 300ms"), "{error}");
    }
    // More than once, since the machine may be busy.
    let mut last = client.call("Info", Bytes::new()).await;
    for _ in 0..20 {
        if last.is_err() {
            last = client.call("Info", Bytes::new()).await;
        }
    }
    last.unwrap();
}

#[tokio::test]
async fn a_silent_server_costs_a_caller_no_more_than_its_deadline() {
    let (address, task) = silent_listener().await;
    let client = Client::new(&Config { api_timeout: Duration::from_millis(200), ..config(address) }).unwrap();
    let started = Instant::now();
    let error = client.call("Info", Bytes::new()).await.unwrap_err();
    assert_eq!(error.code(), Code::DeadlineExceeded);
    assert!(started.elapsed() < PATIENCE);
    task.abort();
}

/// An authority, and what it signed for a server and a client.
struct Certificates {
    folder: TempDir,
    server: Identity,
    authority: Certificate,
    client: Vec<u8>,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new([name.to_owned()]).unwrap();
            (params.signed_by(&key, &authority).unwrap(), key)
        };
        let (server, server_key) = signed("centrifugo.test");
        let (client, client_key) = signed("bridge.test");
        let write = |name: &str, text: &str| {
            let mut file = std::fs::File::create(folder.path().join(name)).unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        write("ca.pem", &authority.pem());
        write("client.pem", &client.pem());
        write("client.key", &client_key.serialize_pem());
        Self {
            server: Identity::from_pem(server.pem(), server_key.serialize_pem()),
            authority: Certificate::from_pem(authority.pem()),
            client: client.der().to_vec(),
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn tls(&self) -> Tls {
        Tls {
            cert: Some(self.path("client.pem")),
            key: Some(self.path("client.key")),
            root_ca: Some(self.path("ca.pem")),
            server_name: Some("centrifugo.test".into()),
        }
    }
}

#[tokio::test]
async fn centrifugo_sees_the_certificate_of_the_client() {
    let certificates = Certificates::new();
    let tls = ServerTlsConfig::new()
        .identity(certificates.server.clone())
        .client_ca_root(certificates.authority.clone());
    let centrifugo = FakeApi::builder().tls(tls).start().await;
    let config = Config { tls: Some(certificates.tls()), ..config(centrifugo.address) };
    Client::new(&config).unwrap().call("Info", Bytes::new()).await.unwrap();
    assert_eq!(centrifugo.seen()[0].certificates, std::slice::from_ref(&certificates.client));
    // The certificate is for another name than that of the address.
    let tls = Tls { server_name: None, ..certificates.tls() };
    let stranger = Client::new(&Config { tls: Some(tls), ..config }).unwrap();
    let error = stranger.call("Info", Bytes::new()).await.unwrap_err().to_string();
    assert!(error.contains("code = Unavailable") && error.contains("handshake failed"), "{error}");
}

#[test]
fn settings_that_cannot_work_are_reported_at_startup() {
    let certificates = Certificates::new();
    let error = |tls: Tls| {
        let config = Config { tls: Some(tls), ..Config::default() };
        Client::new(&config).unwrap_err()
    };
    assert!(matches!(error(Tls { key: None, ..certificates.tls() }), SetupError::Tls(tls::Error::HalfPair)));
    let missing = error(Tls { root_ca: Some(certificates.path("none.pem")), ..certificates.tls() });
    assert!(missing.to_string().contains("none.pem"), "{missing}");
    let empty = error(Tls { root_ca: Some(certificates.path("client.key")), ..certificates.tls() });
    assert!(matches!(empty, SetupError::Tls(tls::Error::NoCertificate(_))), "{empty:?}");
    let address = Config { address: "localhost".into(), ..Config::default() };
    assert!(matches!(Client::new(&address).unwrap_err(), SetupError::Address(_)));
}
