//! A real Centrifugo in front, when there is one: `CENTRIFUGO=/path/to/centrifugo cargo test`.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Setup, python, repository};

/// A port that was free a moment ago; Centrifugo cannot be asked for the one that it found.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Posts to Centrifugo's HTTP emulation endpoint with curl's help, so that no WebSocket library is needed here.
fn post(port: u16, path: &str, body: &str) -> Option<String> {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    let length = body.len();
    write!(stream, "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").ok()?;
    let mut text = Vec::new();
    let mut chunk = [0; 4096];
    // The stream stays open: what has come within the read timeout, or holds a whole reply, is enough.
    while !text.windows(2).any(|pair| pair == b"}\n") {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => break,
            Ok(read) => text.extend_from_slice(&chunk[..read]),
        }
    }
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_real_centrifugo_are_answered_by_php_and_python() {
    let Some(centrifugo) = std::env::var_os("CENTRIFUGO").filter(|path| !path.is_empty()) else {
        eprintln!("skipped: $CENTRIFUGO names no binary");
        return;
    };
    for (program, path) in
        [("php".to_owned(), "workers/php/examples/app.php"), (python(), "workers/python/examples/app.py")]
    {
        let server = Setup::new(&format!("{program} {}", repository().join(path).display())).start();
        let (port, proxy) =
            (free_port(), json!({"endpoint": format!("grpc://{}", server.address()), "timeout": "3s"}));
        let mut connect = proxy.clone();
        connect["enabled"] = true.into();
        let config = json!({
            "http_server": {"address": "127.0.0.1", "port": port.to_string()},
            "client": {"allowed_origins": ["*"], "proxy": {"connect": connect}},
            "rpc": {"proxy": proxy, "without_namespace": {"proxy_enabled": true}},
            "channel": {"proxy": {"subscribe": proxy, "publish": proxy}, "without_namespace": {"subscribe_proxy_enabled": true, "publish_proxy_enabled": true}},
            "http_stream": {"enabled": true},
            "emulation": {"enabled": true},
        });
        let file = server.folder.path().join("centrifugo.json");
        std::fs::write(&file, config.to_string()).unwrap();
        let _centrifugo = Killed(
            Command::new(&centrifugo)
                .arg("-c")
                .arg(&file)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let connected = |data: Value| {
            let deadline = Instant::now() + Duration::from_secs(20);
            loop {
                let body = json!({"id": 1, "connect": {"data": data}}).to_string() + "\n";
                match post(port, "/connection/http_stream", &body) {
                    Some(text) if text.contains("{\"id\":1") || text.contains("disconnect") => return text,
                    _ => assert!(Instant::now() < deadline, "Centrifugo does not answer"),
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        };
        let text = tokio::task::block_in_place(|| connected(json!({"user": "ann"})));
        assert!(text.contains(r#""data":{"hello":"ann"}"#), "{text}");
        let text = tokio::task::block_in_place(|| connected(json!({"deny": true})));
        assert!(text.contains("4001") && text.contains("denied"), "{text}");
    }
}
