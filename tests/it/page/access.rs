//! Whom the page and its buttons obey, and what a script reads there.

use std::time::Duration;

use serde_json::json;

use super::{STATUS, document, get, request, setup, token};
use crate::support::{PATIENCE, json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn scripts_read_the_same_that_the_page_shows() {
    let server = setup().pool("num_workers: 2").start();
    let client = server.client().await;
    client.rpc("echo", "1").await.unwrap();
    client.rpc("no such behaviour", "").await.unwrap_err();
    // Counters are read once a second.
    let measured = async {
        loop {
            let snapshot = document(&server, "/api/snapshot").await;
            if !snapshot["pools"][0]["worker"].is_null() {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let snapshot = tokio::time::timeout(PATIENCE, measured).await.expect("in time");
    let pool = &snapshot["pools"][0];
    assert_eq!(snapshot["state"], "serving");
    for (field, value) in [
        ("name", json!("centrifuge")),
        ("ready", json!(true)),
        ("required", json!(true)),
        ("target", json!(2)),
        ("serving", json!(2)),
        ("requests", json!(2)),
        ("failures", json!(1)),
        ("capacity", json!(2)),
    ] {
        assert_eq!(pool[field], value, "{field}: {snapshot}");
    }
    assert!(pool["worker"]["p99"].as_f64().unwrap() > 0.0 && pool["wait"]["p50"].is_f64(), "{pool}");
    let worker = &pool["workers"][0];
    assert!(worker["memory"].as_u64().unwrap() > 1 << 20 && worker["pid"].is_u64(), "{worker}");
    let history = document(&server, "/api/history").await;
    assert_eq!((&history["interval"], &history["points"]), (&json!(5), &json!(180)));
    assert!(history["pools"]["centrifuge"]["requests"].is_array(), "{history}");
    let mut caller = server.caller().await;
    let by_rpc = caller.json("causeway.Snapshot", &json!(true)).await.unwrap();
    assert_eq!(json(by_rpc.as_str().unwrap())["instance"], snapshot["instance"]);
    let by_rpc = caller.json("causeway.History", &json!(true)).await.unwrap();
    assert_eq!(json(by_rpc.as_str().unwrap())["interval"], 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_is_shown_with_its_warnings_and_without_secrets() {
    let server = setup()
        .centrifuge("api_key: hunter2")
        .env("HIDDEN_FROM_ALL", "hunter2")
        .server("  env: [{DB: hunter2}]\n")
        .more("otel: {exporter: stdout}\nlogs: {channels: {http: {}}}\n")
        .start();
    let about = get(&server, "/api/about").await.body;
    let all =
        [about.clone(), get(&server, "/").await.body, get(&server, "/api/snapshot").await.body].concat();
    assert!(!all.contains("hunter2"), "{all}");
    let about = json(&about);
    assert_eq!(about["configuration"]["centrifuge"]["pool"]["num_workers"], 1);
    assert!(about["warnings"].to_string().contains("logs.channels.http"), "{about}");
    assert_eq!(about["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_not_stored_not_embedded_and_run_no_foreign_scripts() {
    let server = setup().start();
    let pages = [get(&server, "/").await, get(&server, "/").await];
    for header in [
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-store",
        "x-frame-options: deny",
        "cross-origin-resource-policy: same-origin",
    ] {
        for path in ["/", "/api/snapshot", "/api/history", "/api/about"] {
            let head = get(&server, path).await.head;
            assert!(head.contains(header) && !head.contains("access-control"), "{path}: {head}");
        }
    }
    let policies = pages.map(|page| {
        let (_, policy) = page.head.split_once("content-security-policy: ").unwrap();
        policy.split("\r\n").next().unwrap().to_owned()
    });
    for rule in ["default-src 'none';", "connect-src 'self';", "base-uri 'none';", "frame-ancestors 'none';"]
    {
        assert!(policies[0].contains(rule), "{policies:?}");
    }
    assert!(!policies[0].contains("unsafe"), "{policies:?}");
    assert_ne!(policies[0], policies[1], "a nonce is used once");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_page_itself_can_change_something() {
    let server = setup().start();
    let (address, token) = (server.listening(STATUS), token(&server).await);
    let own = format!("Origin: http://{address}");
    let headers = |host: &str, origin: &str, kind: &str, token: &str| {
        format!("Host: {host}\n{origin}\nContent-Type: {kind}\nX-Causeway-Token: {token}")
    };
    let add = r#"{"action": "add", "pool": "centrifuge"}"#;
    let post = async |headers: &str, body: &str| request(&server, "POST /api/control", headers, body).await;
    let (json_type, wrong) = ("application/json", "0".repeat(32));
    let none = "X-None: 1";
    for (headers, reason) in [
        (headers(&address, none, json_type, &token), "Origin"),
        (headers(&address, "Origin: http://evil.example", json_type, &token), "Origin"),
        (headers(&address, "Origin: null", json_type, &token), "Origin"),
        (headers("evil.example", "Origin: http://evil.example", json_type, &token), "Host"),
        (headers(&address, &own, "text/plain", &token), "Content-Type"),
        (headers(&address, &own, json_type, &wrong), "token"),
        (headers(&address, &own, json_type, ""), "token"),
        (headers(&address, &format!("{own}\nSec-Fetch-Site: cross-site"), json_type, &token), "another site"),
    ] {
        let answer = post(&headers, add).await;
        assert_eq!(answer.code, 403, "{headers}");
        assert!(answer.body.contains(reason), "{headers}: {}", answer.body);
    }
    let right = headers(&address, &own, json_type, &token);
    for (body, code) in [
        ("", 400),
        ("{}", 400),
        (r#"{"action": "stop", "pool": "centrifuge"}"#, 400),
        (r#"{"action": "add", "pool": "nope"}"#, 404),
        (r#"{"action": "remove", "pool": "centrifuge"}"#, 409),
        (&format!(r#"{{"action": "add", "pool": "{}"}}"#, "x".repeat(2000)), 413),
    ] {
        assert_eq!(post(&right, body).await.code, code, "{body}");
    }
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        let answer = request(&server, &format!("{method} /api/control"), &right, "").await;
        assert_eq!(answer.code, 405, "{method}");
        assert!(answer.head.contains("allow: post"), "{}", answer.head);
    }
    assert_eq!(document(&server, "/api/snapshot").await["pools"][0]["target"], 1, "nothing has changed");
    assert_eq!(post(&right, add).await.code, 200);
    let snapshot = document(&server, "/api/snapshot").await;
    assert_eq!(snapshot["pools"][0]["target"], 2, "{snapshot}");
    let last = snapshot["operations"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["state"]), (&json!("add"), &json!("done")), "{last}");
    server.wait_for_output("requested on the page");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_changes_unless_it_is_configured() {
    let server = worker().more("status: {address: '127.0.0.1:0', hosts: [bridge.example]}\n").start();
    let address = server.listening(STATUS);
    assert_eq!(token(&server).await, "", "the page has no token, and so no buttons");
    let headers = format!(
        "Host: {address}\nOrigin: http://{address}\nContent-Type: application/json\nX-Causeway-Token: "
    );
    let body = r#"{"action": "reset", "pool": "centrifuge"}"#;
    let answer = request(&server, "POST /api/control", &headers, body).await;
    assert_eq!(answer.code, 403);
    assert!(answer.body.contains("status.control"), "{}", answer.body);
    // By DNS rebinding, another site would be of the page's origin.
    for path in ["/", "/api/snapshot", "/api/history", "/api/about", "/api/events"] {
        let answer = request(&server, &format!("GET {path}"), "Host: evil.example", "").await;
        assert_eq!(answer.code, 403, "{path}");
        assert!(answer.body.contains("status.hosts"), "{}", answer.body);
    }
    assert_eq!(request(&server, "GET /", "Host: bridge.example:8443", "").await.code, 200);
    // Probes have any name.
    assert_eq!(request(&server, "GET /ready", "Host: evil.example", "").await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_without_workers_is_a_problem_and_says_why() {
    let reports =
        "pools: {reports: {num_workers: 2, required: false, command: sh -c 'echo no database >&2; exit 3'}}";
    let server = setup().centrifuge(reports).start();
    let known = async {
        loop {
            let snapshot = document(&server, "/api/snapshot").await;
            let problems = snapshot["problems"].as_array().unwrap();
            let is_known = problems.iter().any(|problem| problem["kind"] == "not_ready");
            if is_known && !snapshot["pools"][1]["failed_boot"].is_null() {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let snapshot = tokio::time::timeout(PATIENCE, known).await.expect("in time");
    let worst = &snapshot["problems"][0];
    assert_eq!(worst["severity"], "critical", "{snapshot}");
    assert_eq!(worst["text"], "no ready worker in centrifuge.reports", "{snapshot}");
    let reason = snapshot["pools"][1]["failed_boot"]["reason"].as_str().unwrap();
    assert!(reason.contains("exit status 3") && reason.contains("no database"), "{reason}");
    assert_eq!(snapshot["pools"][0]["failed_boot"], json!(null));
}
