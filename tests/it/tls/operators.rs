//! `rpc.tls`, `rpc.methods` and `rpc.operators`.

use nix::sys::signal::Signal;
use serde_json::json;

use super::{HOST, fails, free_port, succeeds};
use crate::support::pki::Pki;
use crate::support::rpc::Caller;
use crate::support::{Server, worker};

/// A server whose workers may publish and log, while operators need a certificate.
fn server() -> (Server, String) {
    let setup = worker();
    let _pki = Pki::new(setup.folder.path(), &["server", "client"]);
    let address = format!("{HOST}:{}", free_port());
    let rpc = format!(
        "rpc:
  listen: unix://rpc.sock
  methods: [centrifuge.*, app.*, 'lock.*']
  operators:
    listen: tcp://{address}
    tls: {{cert: server.pem, key: server.key, root_ca: ca.pem, client_auth_type: require_and_verify_client_cert}}
"
    );
    (setup.more(&rpc).start(), address)
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_use_tls_with_the_configuration_or_with_arguments() {
    let (mut server, address) = server();
    let folder = server.folder.path().to_owned();
    let address = address.as_str();
    let said = succeeds(&folder, &["workers", "--json"]);
    assert!(said.contains("\"pid\""), "{said}");
    let at = ["workers", "--json", "--address", address];
    let with = |more: &[&'static str]| -> Vec<&str> { at.iter().chain(more).copied().collect() };
    succeeds(&folder, &with(&["--tls-ca", "ca.pem", "--tls-cert", "client.pem", "--tls-key", "client.key"]));
    for wrong in [&["--tls-ca", "ca.pem"][..], &["--tls"], &[]] {
        fails(&folder, &with(wrong));
    }
    let said = fails(&folder, &with(&["--tls-ca", "none.pem"]));
    assert!(said.contains("there is no file none.pem"), "{said}");
    succeeds(&folder, &["reset"]);
    succeeds(&folder, &["stop"]);
    assert!(server.exit().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_takes_other_certificates_and_names_broken_ones() {
    let setup = worker();
    let pki = Pki::new(setup.folder.path(), &["server", "other"]);
    let address = format!("{HOST}:{}", free_port());
    let rpc = format!("rpc: {{listen: 'tcp://{address}', tls: {{cert: server.pem, key: server.key}}}}\n");
    let server = setup.more(&rpc).start();
    succeeds(server.folder.path(), &["workers", "--json"]);
    let file = server.path(".rr.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("server.pem", "other.pem").replace("server.key", "other.key"))
        .unwrap();
    server.signal(Signal::SIGHUP);
    server.wait_for_output("configuration reloaded");
    let line = server.wait_for_output("rpc.tls.cert");
    assert!(line.contains("in force"), "{line}");
    // The command expects the certificate that the file names now.
    succeeds(server.folder.path(), &["workers", "--json"]);
    pki.write("other.pem", "hunter2\n");
    server.signal(Signal::SIGHUP);
    server.wait_for_output("configuration not reloaded");
    let line = server.wait_for_output("no certificate found in");
    assert!(line.contains("other.pem") && !server.output().contains("hunter2"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_call_the_methods_of_the_list_and_no_others() {
    let (server, _) = server();
    let mut caller = Caller::connect("unix://rpc.sock", &server).await;
    let lock = json!({"resource": "a", "id": "1", "ttl": 1_000_000});
    assert_eq!(caller.json("app.Info", &json!("hello")).await, Ok(json!(true)));
    caller.json("lock.Exists", &lock).await.unwrap();
    for method in ["causeway.Stop", "resetter.Reset", "informer.Workers", "rpc.Config", "no.Such"] {
        let refused = format!("rpc: method {method} is not served at this address (rpc.methods)");
        assert_eq!(caller.json(method, &json!("")).await, Err(refused));
    }
    // Centrifugo is not running, which is another error.
    let error = caller.json("centrifuge.Publish", &json!({"channel": "x"})).await.unwrap_err();
    assert!(error.contains("Unavailable"), "{error}");
    let said = fails(server.folder.path(), &["stop", "--address", "unix://rpc.sock"]);
    assert!(said.contains("method causeway.Stop is not served at this address"), "{said}");
}
