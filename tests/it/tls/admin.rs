//! `tls` and `basic_auth` of `metrics` and `status`.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::s_client;
use crate::support::pki::Pki;
use crate::support::{PATIENCE, worker};

/// The status of an answer, and whether it asks for a password.
fn get(address: &str, path: &str, user: Option<&str>) -> (u16, bool) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let authorization = user.map(|user| format!("Authorization: Basic {}\r\n", STANDARD.encode(user)));
    let authorization = authorization.unwrap_or_default();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n{authorization}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let code = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (code, answer.to_lowercase().contains("www-authenticate: basic realm=\"causeway\""))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_its_data_need_a_password_and_probes_do_not() {
    let status = "status: {address: '127.0.0.1:0', basic_auth: {username: ann, password: 'a:b'}}\n";
    let server = worker().more(status).start();
    let address = server.listening("status");
    for path in ["/", "/api/snapshot", "/api/history", "/api/about"] {
        assert_eq!(get(&address, path, None), (401, true), "{path}");
        assert_eq!(get(&address, path, Some("ann:a")), (401, true), "{path}");
        assert_eq!(get(&address, path, Some("ann:a:b")), (200, false), "{path}");
    }
    for path in ["/health", "/ready", "/livez", "/readyz"] {
        assert_eq!(get(&address, path, None), (200, false), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_that_share_an_address_share_its_tls() {
    let setup = worker();
    let pki = Pki::new(setup.folder.path(), &["server"]);
    let address = format!("{}:{}", super::HOST, super::free_port());
    let section = |name: &str| {
        format!("{name}: {{address: '{address}', tls: {{cert: server.pem, key: server.key}}}}\n")
    };
    let server = setup.more(&section("metrics")).more(&section("status")).start();
    let Some(said) = s_client(server.folder.path(), &address, &["-alpn", "h2,http/1.1"]) else { return };
    assert!(said.contains("ALPN protocol: http/1.1"), "{said}");
    drop((server, pki));
    let setup = worker();
    let _pki = Pki::new(setup.folder.path(), &["server"]);
    let plain = format!("metrics: {{address: '{address}'}}\n");
    let mut server = setup.more(&plain).more(&section("status")).spawn();
    server.wait_for_output("metrics.tls: expected the same as status.tls");
    assert_eq!(server.exit().await.code(), Some(2));
}
