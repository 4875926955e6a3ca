//! A real Centrifugo in front, and WebSocket clients in front of it.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::real_centrifugo::{HOST, RealCentrifugo, binary, free_port};
use crate::support::{Setup, python, repository, worker};

async fn clients_are_answered(command: &str) {
    let Some(binary) = binary() else { return };
    let api = free_port();
    let server = Setup::new(command)
        .pool("num_workers: 2")
        .centrifuge(&format!("grpc_api_address: {HOST}:{api}"))
        .rpc()
        .start();
    let centrifugo = RealCentrifugo::start(&binary, &server, "3s", api, true).await;
    let seen = centrifugo.play(&["chat"]).await;
    let expected = json!({
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
    });
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_real_centrifugo_are_answered_by_php() {
    clients_are_answered(&format!("php {}", repository().join("workers/php/examples/app.php").display()))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_real_centrifugo_are_answered_by_python() {
    let app = repository().join("workers/python/examples/app.py");
    clients_are_answered(&format!("{} {}", python(), app.display())).await;
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
