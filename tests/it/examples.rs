//! The example applications of both packages, called by `causeway call`.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{BINARY, Server, Setup, python, repository};

fn call(server: &Server, args: &[&str]) -> Value {
    let output = Command::new(BINARY)
        .arg("call")
        .args(args)
        .args(["--json", "--address", server.address()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn every_event_is_answered(command: &str) {
    for relay in ["pipes", "tcp", "unix"] {
        let server = Setup::new(command).relay(relay).pool("num_workers: 2").start();
        let denied = json!({"code": 403, "message": "permission denied"});
        let cases = [
            (
                &["connect", "--data", r#"{"user":"ann"}"#][..],
                json!({"result": {"user": "ann", "data": {"hello": "ann"}, "channels": ["news"]}}),
            ),
            (
                &["connect", "--data", r#"{"deny":true}"#],
                json!({"disconnect": {"code": 4001, "reason": "denied"}}),
            ),
            (&["subscribe", "--channel", "room"], json!({"result": {}})),
            (&["subscribe", "--channel", "private:1"], json!({"error": denied})),
            (&["publish", "--channel", "room", "--data", "[1]"], json!({"result": {"data": [1]}})),
            (&["publish", "--channel", "readonly", "--data", "[1]"], json!({"error": denied})),
            (
                &["rpc", "--method", "sum", "--data", r#"{"a":1,"b":2}"#],
                json!({"result": {"data": {"sum": 3}}}),
            ),
            (&["rpc", "--method", "whoami", "--user", "42"], json!({"result": {"data": {"user": "42"}}})),
            (&["rpc", "--method", "fail"], json!({"error": {"code": 1000, "message": "as you wished"}})),
            (&["rpc", "--method", "kick"], json!({"disconnect": {"code": 4000, "reason": "bye"}})),
            (&["rpc", "--method", "nope"], json!({"error": {"code": 404, "message": "no such method"}})),
            (&["notify_channel_state"], json!({"error": {"code": 108, "message": "not available"}})),
            (&["notify_cache_empty", "--channel", "room"], json!({"result": {}})),
        ];
        for (args, expected) in cases {
            assert_eq!(call(&server, args), expected, "{relay}: {args:?}");
        }
        for kind in ["refresh", "sub_refresh"] {
            assert!(call(&server, &[kind])["result"]["expire_at"].as_u64().unwrap() > 1_700_000_000);
        }
    }
}

#[test]
fn the_php_example_answers_every_event_over_every_relay() {
    every_event_is_answered(&format!("php {}", repository().join("workers/php/examples/app.php").display()));
}

#[test]
fn the_python_example_answers_every_event_over_every_relay() {
    every_event_is_answered(&format!(
        "{} {}",
        python(),
        repository().join("workers/python/examples/app.py").display()
    ));
}

#[test]
fn the_concurrent_python_example_answers_every_event_over_every_relay() {
    every_event_is_answered(&format!(
        "{} {}",
        python(),
        repository().join("workers/python/examples/async_app.py").display()
    ));
}
