//! The same events through a real Centrifugo to an application behind its HTTP proxy, and to a worker without protobuf behind Causeway.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::json::{json_worker, requests};
use crate::support::http_app::HttpApp;
use crate::support::real_centrifugo::{HOST, RealCentrifugo, binary, free_port};

/// The answers to all events, as files, for clients with JSON or with binary data.
fn answers(is_binary: bool) -> Vec<(&'static str, String)> {
    // Centrifugo reads `b64data` instead of `data`.
    let mut connect = json!({"result": {
        "user": "42", "expire_at": 4_102_444_800_u64, "info": {"name": "Jäger"}, "meta": {"tenant": [1]}, "data": {"hello": "<ä>"}
    }});
    let mut subscribe = json!({"result": {
        "info": {"role": "x"}, "data": [1, {"a": null}], "expire_at": 4_102_444_800_u64, "override": {"presence": {"value": true}}
    }});
    let mut publish =
        json!({"result": {"data": {"replaced": true}, "tags": {"a": "1", "ä": ""}, "skip_history": true}});
    let mut result = json!({"result": {"data": {"sum": 9_007_199_254_740_993_u64}}});
    if is_binary {
        for (answer, base64) in [
            (&mut connect, "AP8="),
            (&mut subscribe, "/+8="),
            (&mut publish, "gAA="),
            (&mut result, "AAECAw=="),
        ] {
            answer["result"]["b64data"] = base64.into();
            answer["result"].as_object_mut().unwrap().remove("data");
        }
    }
    let error = json!({"error": {"code": 1234, "message": "as you wished", "temporary": true}});
    let wrong = [
        ("answer.rpc.broken", r#"{"result":{"data":}}"#),
        ("answer.rpc.wrong", r#"{"result":{"data":1,"b64data":2}}"#),
        ("answer.rpc.absent", "{}"),
        ("answer.rpc.null", r#"{"result":{"data":null}}"#),
        ("answer.rpc.empty", r#"{"result":null,"error":null}"#),
        ("answer.rpc.odd", r#" {"more":[{}],"Result":{"DATA": "\ud83d\ude00" ,"other":1e999}} "#),
    ];
    let written = [
        ("answer.connect", connect),
        ("answer.connect.expiring", json!({"result": {"user": "43", "expire_at": "SOON"}})),
        ("answer.subscribe.expiring", json!({"result": {"expire_at": "SOON"}})),
        ("answer.refresh", json!({"result": {"expired": true}})),
        ("answer.subscribe.room", subscribe),
        ("answer.subscribe.denied", json!({"error": {"code": 403, "message": "denied"}})),
        ("answer.publish.room", publish),
        ("answer.publish.readonly", error.clone()),
        ("answer.subrefresh", json!({"result": {"expired": true}})),
        ("answer.rpc.result", result),
        ("answer.rpc.error", error),
        ("answer.rpc.kick", json!({"disconnect": {"code": 4500, "reason": "bye"}})),
    ];
    let written = written.into_iter().map(|(name, answer)| (name, answer.to_string()));
    written.chain(wrong.map(|(name, answer)| (name, answer.to_owned()))).collect()
}

/// Centrifugo with all of its events going to this endpoint, followed by their type if it is one of HTTP.
async fn centrifugo(binary: &PathBuf, endpoint: &str, is_binary: bool) -> RealCentrifugo {
    let port = free_port();
    let proxy = |kind: &str| {
        let endpoint =
            if endpoint.starts_with("http") { format!("{endpoint}/{kind}") } else { endpoint.to_owned() };
        json!({
            "endpoint": endpoint, "timeout": "10s", "binary_encoding": is_binary,
            "include_connection_meta": kind != "connect",
        })
    };
    let enabled = |kind: &str| {
        let mut proxy = proxy(kind);
        proxy["enabled"] = true.into();
        proxy
    };
    let config = json!({
        "http_server": {"address": HOST, "port": port.to_string()},
        "client": {
            "allowed_origins": ["*"],
            "proxy": {"connect": enabled("connect"), "refresh": enabled("refresh")},
            "presence_update_interval": "1s",
            "expired_sub_close_delay": "1s",
        },
        "rpc": {"proxy": proxy("rpc"), "without_namespace": {"proxy_enabled": true}},
        "channel": {
            "proxy": {
                "subscribe": proxy("subscribe"), "publish": proxy("publish"), "sub_refresh": proxy("subrefresh")
            },
            "without_namespace": {
                "subscribe_proxy_enabled": true, "publish_proxy_enabled": true, "sub_refresh_proxy_enabled": true
            },
        },
    });
    RealCentrifugo::start_as(binary, port, config).await
}

/// The requests, apart from what differs from client to client, without those that are repeated.
fn distinct(requests: Vec<(String, Value)>) -> BTreeSet<String> {
    let same = |(kind, mut body): (String, Value)| {
        let client = body["client"].take();
        assert_eq!(client.as_str().map(str::len), Some(36), "{body}");
        format!("{kind} {body}")
    };
    requests.into_iter().map(same).collect()
}

async fn both_ways(kind: &str) {
    let Some(binary) = binary() else { return };
    let is_binary = kind == "binary";
    let server = json_worker().pool("num_workers: 2").start();
    for (name, answer) in answers(is_binary) {
        std::fs::write(server.path(name), answer).unwrap();
    }
    let app = HttpApp::start(server.folder.path()).await;
    let http = centrifugo(&binary, &format!("http://{}", app.address), is_binary).await;
    let grpc = centrifugo(&binary, &format!("grpc://{}", server.address()), is_binary).await;
    let scenario = ["both_ways", kind];
    let (of_http, of_grpc) = tokio::join!(http.play(&scenario), grpc.play(&scenario));
    assert_eq!(of_grpc, of_http, "what clients see");

    let (of_http, of_grpc) = (distinct(app.requests()), distinct(requests(&server)));
    assert_eq!(of_grpc, of_http, "what applications see");
    for kind in ["connect", "refresh", "subscribe", "publish", "rpc", "subrefresh"] {
        assert!(
            of_http.iter().any(|request| request.starts_with(&format!("{kind} "))),
            "{kind}: {of_http:#?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_with_json_reach_a_json_worker_and_its_answers_the_client_as_with_the_http_proxy() {
    both_ways("json").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_with_binary_data_reach_a_json_worker_and_its_answers_the_client_as_with_the_http_proxy() {
    both_ways("binary").await;
}
