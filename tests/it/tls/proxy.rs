//! `centrifuge.proxy_tls` and `centrifuge.proxy_credentials`.

use serde_json::json;
use tonic::{Code, Request};

use super::{HOST, fails, free_port, s_client, succeeds};
use crate::support::pki::Pki;
use crate::support::real_centrifugo::{self, RealCentrifugo, binary};
use crate::support::{Server, Setup, python, repository, worker};

/// A server with TLS whose files are `server.pem` and `server.key`.
fn secured(setup: Setup, more: &str) -> (Server, Pki) {
    let pki = Pki::new(setup.folder.path(), &["server", "client"]);
    let tls = "cert: server.pem, key: server.key, root_ca: ca.pem";
    let address = format!("tcp://{HOST}:{}", free_port());
    let server = setup.proxy_address(&address).centrifuge(&format!("proxy_tls: {{{tls}{more}}}")).start();
    (server, pki)
}

const MUTUAL: &str = ", client_auth_type: require_and_verify_client_cert";

#[tokio::test(flavor = "multi_thread")]
async fn a_real_centrifugo_calls_over_tls_with_its_certificate_and_credentials() {
    let Some(binary) = binary() else { return };
    let api = real_centrifugo::free_port();
    let app = format!("{} {}", python(), repository().join("workers/python/examples/app.py").display());
    let credentials = "proxy_credentials: {key: X-Bridge, value: [before, 'a,b']}";
    let setup = Setup::new(&app).rpc();
    let folder = setup.folder.path().to_owned();
    let pki = Pki::new(&folder, &["server", "client"]);
    let server = setup
        .centrifuge(&format!(
            "grpc_api_address: {}:{api}\n  {credentials}\n  proxy_tls: {{cert: server.pem, key: server.key, root_ca: ca.pem{MUTUAL}}}",
            real_centrifugo::HOST,
        ))
        .start();
    let grpc = |value: &str| {
        json!({
            "tls": {
                "enabled": true,
                "server_ca_pem": pki.path("ca.pem"),
                "cert_pem": pki.path("client.pem"),
                "key_pem": pki.path("client.key"),
            },
            "credentials_key": "X-Bridge",
            "credentials_value": value,
        })
    };
    let centrifugo = RealCentrifugo::start_secured(&binary, &server, api, &grpc("a,b")).await;
    let seen = centrifugo.play(&["chat"]).await;
    assert_eq!(seen["sum"], json!({"sum": 3}), "{seen}");
    assert_eq!(seen["connect"], json!({"hello": "ann"}), "{seen}");
    drop(centrifugo);
    assert_eq!(server.count_output("call refused"), 0);

    let deadlines = ["deadlines", "1", "1"];
    let wrong = real_centrifugo::free_port();
    let stranger = RealCentrifugo::start_secured(&binary, &server, wrong, &grpc("a")).await;
    let clients = stranger.begin(&deadlines);
    server.wait_for_output("call refused: missing or wrong credentials");
    drop((clients, stranger));

    let plain = RealCentrifugo::start_secured(&binary, &server, wrong, &json!({})).await;
    let _clients = plain.begin(&deadlines);
    server.wait_for_output("TLS handshake failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn openssl_agrees_on_tls_1_2_and_1_3_with_h2_and_on_nothing_older() {
    let (server, _pki) = secured(worker(), "");
    let folder = server.folder.path();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let Some(said) = s_client(folder, server.address(), &[version, "-alpn", "h2"]) else { return };
        assert!(said.contains(name) && said.contains("ALPN protocol: h2"), "{said}");
        assert!(said.contains("Verify return code: 0 (ok)"), "{said}");
    }
    let weak = ["-cipher", "DEFAULT@SECLEVEL=0"];
    for version in ["-tls1_1", "-tls1"] {
        let said = s_client(folder, server.address(), &[version, weak[0], weak[1]]).unwrap();
        assert!(said.contains("Cipher is (NONE)") && said.contains("alert"), "{said}");
    }
    let said = s_client(folder, server.address(), &["-alpn", "http/1.1"]).unwrap();
    assert!(said.contains("no application protocol"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_certificate_is_used_and_a_broken_one_is_reported_in_one_line() {
    let (server, pki) = secured(worker(), "");
    let folder = server.folder.path();
    let seen = || s_client(folder, server.address(), &[]);
    let old = std::fs::read_to_string(pki.path("server.pem")).unwrap();
    // OpenSSL prints lines of the same length.
    let shows = |said: &str, pem: &str| said.contains(pem.replace("\r\n", "\n").trim());
    let Some(said) = seen() else { return };
    assert!(shows(&said, &old), "{said}\n{old}");
    pki.write("server.pem", "hunter2\n");
    for _ in 0..3 {
        assert!(shows(&seen().unwrap(), &old));
    }
    server.wait_for_output("cannot use the new certificates, keeping the previous ones");
    let line = server.wait_for_output("no certificate found in");
    assert!(line.contains("server.pem") && !line.contains("hunter2"), "{line}");
    assert_eq!(server.count_output("cannot use the new certificates"), 1, "{}", server.output());
    let new = pki.issue("server");
    assert!(shows(&seen().unwrap(), &new));
    server.wait_for_output("certificates read again");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_calls_over_tls_with_the_configuration_or_with_arguments() {
    let (server, _pki) = secured(worker(), MUTUAL);
    let folder = server.folder.path();
    let call = ["call", "rpc", "--method", "echo", "--data", "1", "--timeout", "30s"];
    let with = |more: &[&'static str]| -> Vec<&str> { call.iter().chain(more).copied().collect() };
    succeeds(folder, &call);
    let address = server.address().to_owned();
    let at = |more: &[&'static str]| {
        let mut words = with(more).into_iter().map(str::to_owned).collect::<Vec<_>>();
        words.extend(["--address".to_owned(), address.clone()]);
        words
    };
    let words = at(&["--tls-ca", "ca.pem", "--tls-cert", "client.pem", "--tls-key", "client.key"]);
    succeeds(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    for wrong in [&["--tls-ca", "ca.pem"][..], &["--tls"], &[]] {
        let words = at(wrong);
        fails(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_without_credentials_are_unauthenticated_and_health_needs_none() {
    let address = format!("tcp://{HOST}:{}", free_port());
    let credentials = "proxy_credentials: {key: authorization, value: [new, old]}";
    let server = worker().proxy_address(&address).centrifuge(credentials).start();
    let client = server.client().await;
    let call = async |value: Option<&'static str>| {
        let mut request =
            Request::new(causeway::proto::proxy::RpcRequest { method: "echo".into(), ..Default::default() });
        if let Some(value) = value {
            request.metadata_mut().insert("authorization", value.parse().unwrap());
        }
        client.call("RPC", request).await.map(drop).map_err(|status| status.code())
    };
    assert_eq!(call(Some("new")).await, Ok(()));
    assert_eq!(call(Some("old")).await, Ok(()));
    for value in [None, Some(""), Some("ne"), Some("newer")] {
        assert_eq!(call(value).await, Err(Code::Unauthenticated), "{value:?}");
    }
    server.wait_for_output("call refused: missing or wrong credentials");
    // The command line has the configuration.
    succeeds(server.folder.path(), &["call", "rpc", "--method", "echo", "--timeout", "30s"]);
    assert!(!server.output().contains("newer"));
}
