//! A real Centrifugo in front, and WebSocket clients in front of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::real_centrifugo::{HOST, RealCentrifugo, binary, free_port};
use crate::support::{Server, Setup, python, repository, worker};

/// A server whose workers call Centrifugo's API on this port.
fn bridge(command: &str, api: u16, pools: &str) -> Server {
    let setup = Setup::new(command).pool("num_workers: 2").rpc();
    setup.centrifuge(&format!("grpc_api_address: {HOST}:{api}\n  pools: {{{pools}}}")).start()
}

fn php() -> String {
    format!("php {}", repository().join("workers/php/examples/app.php").display())
}

fn python_app() -> String {
    format!("{} {}", python(), repository().join("workers/python/examples/app.py").display())
}

async fn clients_are_answered(command: &str) {
    let Some(binary) = binary() else { return };
    let api = free_port();
    let server = bridge(command, api, "");
    let centrifugo = RealCentrifugo::start(&binary, &server, "3s", api, true).await;
    assert_eq!(centrifugo.play(&["chat"]).await, chat());
}

/// What the clients of the scenario `chat` see, whoever answers them.
fn chat() -> Value {
    json!({
        "denied": {"code": 4001, "reason": "denied"},
        "connect": {"hello": "ann"},
        "sum": {"sum": 3},
        "whoami": {"user": "ann"},
        "fail": {"code": 1000, "message": "as you wished"},
        "echo": ["ä", 1.5],
        "room": "subscribed",
        "publication": {"text": "hello"},
        "private:1": 403,
        "readonly": {"code": 403, "message": "permission denied"},
        "announced": {"channel": "news", "data": {"from": "ann", "text": "to all"}},
        "kicked": {"code": 4000, "reason": "bye"},
    })
}

/// How many requests each worker of this pool has had.
async fn executions(server: &Server, pool: &str) -> u64 {
    let workers = server.caller().await.json("informer.Workers", &json!(pool)).await.unwrap();
    workers["workers"].as_array().unwrap().iter().map(|worker| worker["numExecs"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_real_centrifugo_are_answered_by_php() {
    clients_are_answered(&php()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_real_centrifugo_are_answered_by_python() {
    clients_are_answered(&python_app()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_centrifugo_s_connects_and_rpcs_are_answered_by_two_pools_of_one_bridge() {
    let Some(binary) = binary() else { return };
    let api = free_port();
    let pools = format!(
        "python: {{match: {{types: [rpc]}}, command: \"{}\", relay: unix://python.sock, num_workers: 2}}, \
         rooms: {{match: {{channels: ['room*', 'private:*']}}, num_workers: 1}}",
        python_app()
    );
    let server = bridge(&php(), api, &pools);
    let centrifugo = RealCentrifugo::start(&binary, &server, "3s", api, true).await;
    assert_eq!(centrifugo.play(&["chat"]).await, chat());
    // Two connects and one publish to another channel; six RPCs; two subscribes and one publish.
    let counts = [
        executions(&server, "centrifuge").await,
        executions(&server, "centrifuge.python").await,
        executions(&server, "centrifuge.rooms").await,
    ];
    assert_eq!(counts, [3, 6, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_centrifugo_with_two_endpoints_is_answered_by_two_bridges() {
    let Some(binary) = binary() else { return };
    let api = free_port();
    let [php, python] = [php(), python_app()].map(|command| bridge(&command, api, ""));
    let centrifugo = RealCentrifugo::start_with_rpcs(&binary, [&php, &python], "3s", api, true).await;
    assert_eq!(centrifugo.play(&["chat"]).await, chat());
    let counts = [executions(&php, "centrifuge").await, executions(&python, "centrifuge").await];
    assert_eq!(counts, [6, 6]);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_deadlines_do_not_close_a_real_centrifugo_s_connection() {
    let Some(binary) = binary() else { return };
    let server = worker().pool("num_workers: 4, abandon_ttl: 1s, destroy_timeout: 1s").start();
    let centrifugo = RealCentrifugo::start(&binary, &server, "500ms", free_port(), false).await;
    let begin = Instant::now();
    let seen = centrifugo.play(&["deadlines", "40", "200"]).await;
    println!("{seen} within {:?}", begin.elapsed());
    assert_eq!(seen["after"], json!("here"), "{seen}");
    // Centrifugo answers its client with "internal server error" when its proxy fails.
    assert_eq!(seen["ends"], json!({"100": 8000}), "{seen}");
    assert!(begin.elapsed() < Duration::from_mins(1), "{:?}", begin.elapsed());
}
