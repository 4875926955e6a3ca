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

const FAILING: [(&str, &str); 2] = [
    (
        "app.php",
        "<?php require getenv('AUTOLOAD');
(new Causeway\\App())
    ->onRpc('fails', fn () => intdiv(1, 0))
    ->onRpc('returns', fn () => 'text')
    ->onRpc('pid', fn () => new Causeway\\Result\\RpcResult(['pid' => getmypid()]))
    ->run();
",
    ),
    (
        "app.py",
        "import os, causeway
app = causeway.App()
app.on_rpc('fails')(lambda request: 1 / 0)
app.on_rpc('returns')(lambda request: 'text')
app.on_rpc('pid')(lambda request: causeway.RpcResult(data={'pid': os.getpid()}))
app.run(concurrency=int(os.environ['CONCURRENCY']) or None)
",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_fails_is_logged_at_error_with_its_place_and_its_worker_goes_on() {
    let php = ("app.php", "0", "DivisionByZeroError", "or null\t");
    let python_one = ("app.py", "0", "ZeroDivisionError", "or None\t");
    let python_many = ("app.py", "8", "ZeroDivisionError", "or None\t");
    for (name, concurrency, exception, end) in [php, python_one, python_many] {
        let program = if name == "app.php" { "php".to_owned() } else { python() };
        let setup = Setup::new(&format!("{program} {name}"))
            .env("AUTOLOAD", repository().join("workers/php/autoload.php").to_str().unwrap())
            .env("PYTHONPATH", repository().join("workers/python/src").to_str().unwrap())
            .env("CONCURRENCY", concurrency);
        for (file, code) in FAILING {
            std::fs::write(setup.path(file), code).unwrap();
        }
        let server = setup.start();
        let client = server.client().await;
        let pid = client.worker_pid().await;
        for method in ["fails", "returns"] {
            assert_eq!(client.rpc(method, "").await.unwrap_err().code(), tonic::Code::Internal);
        }
        assert_eq!(client.rpc("nothing", "").await.unwrap(), "", "an error in the response");
        assert_eq!(client.worker_pid().await, pid);

        let failed = server.wait_for_output("rpc method \"fails\" failed: ");
        assert!(failed.contains("\tERROR\tserver"), "{failed}");
        let fields: Value = serde_json::from_str(failed.rsplit_once('\t').unwrap().1).unwrap();
        assert_eq!((&fields["type"], &fields["pid"]), (&json!("rpc"), &json!(pid)));
        assert_eq!(fields["exception"], exception);
        assert!(fields["place"].as_str().unwrap().ends_with(&format!("{name}:3")), "{failed}");
        assert!(fields["traceback"].as_str().unwrap().contains('\n'), "{failed}");
        let returned = server.wait_for_output(end);
        let text = format!("{name}:4: the handler of rpc returned str");
        assert!(returned.contains("\tERROR\tserver") && returned.contains(&text), "{returned}");
        let missing = server.wait_for_output("no handler for rpc method \"nothing\" (logged once)");
        assert!(missing.contains("\tWARN\tserver"), "{missing}");
    }
}
