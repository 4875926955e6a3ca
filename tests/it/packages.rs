//! Both packages as callers of `rpc.listen`, in a worker and beside it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use bytes::Bytes;
use causeway::proto::api;
use prost::Message as _;
use serde_json::{Value, json};
use tonic::Status;

use crate::support::centrifugo::{FakeApi, Seen};
use crate::support::{BINARY, Server, Setup, python, repository, worker};

fn callers() -> [Vec<String>; 2] {
    let script = |name: &str| repository().join("tests/workers").join(name).display().to_string();
    [vec!["php".into(), script("rpc_caller.php")], vec![python(), script("rpc_caller.py")]]
}

/// What a scene of a caller comes to, played beside the server's workers.
fn play(server: &Server, caller: &[String], scene: &str) -> Value {
    let output = Command::new(&caller[0])
        .args(&caller[1..])
        .arg(scene)
        .current_dir(server.folder.path())
        .env("RR_RPC", server.rpc_address())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{caller:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Centrifugo, which knows no namespace and loses one method.
async fn centrifugo() -> FakeApi {
    let answer = |seen: &Seen| match seen.method.as_str() {
        "Publish" => {
            let request = api::PublishRequest::decode(seen.message.clone()).unwrap();
            let mut response = api::PublishResponse::default();
            if request.channel.contains(':') {
                response.error = Some(api::Error { code: 102, message: "unknown channel".into() });
            } else {
                response.result = Some(api::PublishResult { offset: 5, epoch: "e".into() });
            }
            Ok(response.encode_to_vec().into())
        }
        "History" => Err(Status::unavailable("away")),
        _ => Ok(Bytes::from_static(b"\x12\x00")),
    };
    FakeApi::builder().answer(answer).start().await
}

fn bridge(setup: Setup, centrifugo: &FakeApi) -> Server {
    setup.centrifuge(&format!("grpc_api_address: {}", centrifugo.address)).start()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_publish_from_a_handler() {
    let example = |path: &str| repository().join("workers").join(path).display().to_string();
    let commands = [
        format!("php {}", example("php/examples/app.php")),
        format!("{} {}", python(), example("python/examples/app.py")),
    ];
    for command in &commands {
        for listen in ["tcp://127.0.0.1:0", "unix://rpc.sock"] {
            let centrifugo = centrifugo().await;
            let setup = Setup::new(command).more(&format!("rpc: {{listen: '{listen}'}}\n"));
            let server = bridge(setup, &centrifugo);
            for _ in 0..2 {
                let output = Command::new(BINARY)
                    .args(["call", "rpc", "--method", "announce", "--user", "ann", "--data", "[1]"])
                    .args(["--json", "--address", server.address()])
                    .output()
                    .unwrap();
                let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(answer, json!({"result": {"data": {"offset": 5}}}), "{command}, {listen}");
            }
            let seen = centrifugo.seen();
            assert_eq!(seen.len(), 2);
            let published = api::PublishRequest::decode(seen[0].message.clone()).unwrap();
            assert_eq!(published.channel, "news");
            assert_eq!(published.data, r#"{"from":"ann","text":[1]}"#);
        }
    }
}

#[test]
fn workers_are_listed_added_removed_and_reset() {
    for caller in callers() {
        let server = worker().rpc().start();
        let seen = play(&server, &caller, "bridge");
        let expected = json!({
            "version": "2025.1.15",
            "workers_in_config": 1,
            "lists": [["centrifuge"], ["centrifuge"], []],
            "first": ["ready", 0, true, true, true],
            "replaced": true,
            "errors": [
                ["Server", 0, "plugin nope does not support workers management"],
                ["Server", 0, "rpc: can't find service nope.Do"]
            ],
            "status": [200, 200],
        });
        assert_eq!(seen, expected, "{caller:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn centrifugo_is_called_and_its_errors_are_distinguished() {
    for caller in callers() {
        let centrifugo = centrifugo().await;
        let server = bridge(worker().rpc(), &centrifugo);
        let seen = play(&server, &caller, "centrifugo");
        let expected = json!({
            "published": [5, "e"],
            "new": "MapStatsResult",
            "errors": [["Api", 102, "unknown channel"], ["Grpc", 14, "away"]],
        });
        assert_eq!(seen, expected, "{caller:?}");
        let calls = centrifugo.seen();
        let published = api::PublishRequest::decode(calls[0].message.clone()).unwrap();
        assert_eq!(
            (published.data, &published.tags["k"], published.idempotency_key.as_str()),
            (Bytes::from("{\"text\":\"grüß\"}"), &"v".to_owned(), "i1")
        );
        let disconnect = api::DisconnectRequest::decode(calls[1].message.clone()).unwrap();
        let reason = api::Disconnect { code: 4501, reason: "bye".into() };
        assert_eq!(
            (disconnect.user.as_str(), disconnect.disconnect, disconnect.whitelist),
            ("42", Some(reason), vec!["a".to_owned()])
        );
        let subscribe = api::SubscribeRequest::decode(calls[2].message.clone()).unwrap();
        assert_eq!(
            (subscribe.data, subscribe.info, subscribe.expire_at),
            (Bytes::from("[1]"), Bytes::from("{}"), 7)
        );
        centrifugo.stop().await;
        let away = play(&server, &caller, "away");
        assert_eq!((&away[0], &away[1]), (&json!("Grpc"), &json!(14)), "{away}");
    }
}

#[test]
fn locks_are_shared_and_expire() {
    for caller in callers() {
        let server = worker().rpc().start();
        let seen = play(&server, &caller, "lock");
        let expected = json!([
            32,
            "a",
            null,
            null,
            [true, true, false],
            [true, false],
            [false, true, false],
            ["c", "d", null],
            [true, false, false],
            "a",
            "b",
            ["Server", 0, "empty ID is not allowed"]
        ]);
        assert_eq!(seen, expected, "{caller:?}");
    }
}

#[test]
fn log_entries_of_an_application_keep_their_context() {
    for caller in callers() {
        let server = worker().rpc().more("logs: {level: debug}\n").start();
        assert_eq!(play(&server, &caller, "log_lines"), Value::Null);
        let error = server.wait_for_output("from error");
        assert!(error.contains("ERROR\tapp") && error.contains(r#""user": "42""#), "{error}");
        let info = server.wait_for_output("from info");
        assert!(info.contains("INFO\tapp") && info.contains(r#"{"a": "b"}"#), "{info}");
        assert!(server.wait_for_output("from warning").contains("WARN\tapp"));
        assert!(server.wait_for_output("from debug").contains("DEBUG\tapp"));
        assert_eq!(server.wait_for_output("from log"), "from log");
    }
}

#[test]
fn an_application_s_metrics_are_on_the_page() {
    for caller in callers() {
        let server = worker().rpc().more("metrics: {address: '127.0.0.1:0'}\n").start();
        let expected =
            "metrics_plugin_add: undefined collector nope, try first Declare the desired collector";
        assert_eq!(play(&server, &caller, "metrics"), json!(["Server", 0, expected]), "{caller:?}");
        let address = server.listening("metrics");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let lines = [
            "# HELP app_sub_calls Calls",
            "app_sub_calls{kind=\"a\"} 2.5",
            "level 3",
            "seconds_bucket{le=\"0.1\"} 0",
            "seconds_bucket{le=\"1\"} 1",
            "sizes_sum 3",
        ];
        for line in lines {
            assert!(page.lines().any(|found| found == line), "{caller:?}: no {line} in\n{page}");
        }
        assert!(page.contains("sizes{quantile=\"0.5\"} ") && !page.contains("gone"), "{page}");
    }
}
