//! Streams of both packages, with a real Centrifugo and a real client: those that a handler sends, and those that the server owns.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::real_centrifugo::{RealCentrifugo, binary};
use crate::support::{Server, Setup, eventually, json, python, repository};

const COUNTED: &str = "stream:count";
const TALK: &str = "talk:room";

fn bridge(command: &str, address: &str) -> Setup {
    // A worker that streams and has one request at a time does nothing else.
    Setup::new(command).pool("num_workers: 3").proxy_address(&format!("tcp://{address}")).rpc()
}

fn notes(server: &Server) -> Vec<Value> {
    std::fs::read_to_string(server.path("notes")).unwrap_or_default().lines().map(json).collect()
}

/// What the application was told of this channel, in short.
fn of(notes: &[Value], channel: &str) -> Vec<Value> {
    let of_channel = notes.iter().filter(|note| note["channel"] == channel);
    of_channel.map(|note| json!([note["type"], note.get("data").or(note.get("reason"))])).collect()
}

/// The application sees every event, and its clients see every message and subscribe again after a restart of the bridge.
async fn streams_work(command: &str) {
    let Some(binary) = binary() else { return };
    let mut server = bridge(command, "127.0.0.1:0").start();
    let address = server.address().to_owned();
    let centrifugo = RealCentrifugo::start_with_streams(&binary, &server).await;
    let play = centrifugo.play(&["kit", COUNTED, TALK]);
    let restart = async {
        let is_wanted = |note: &Value| note["data"] == "restart";
        eventually("the client wants a restart", || notes(&server).iter().any(is_wanted)).await;
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit().await.code(), Some(0));
        bridge(command, &address).beside(&server).start()
    };
    let (seen, server) = tokio::join!(play, restart);
    let counted = [
        json!({"subscribing": 0}),
        json!("subscribed"),
        json!({"data": {"n": 0}}),
        json!({"data": {"n": 1}}),
        json!({"subscribing": 2500}),
        json!("subscribed"),
        json!({"data": {"n": 0}}),
        json!({"data": {"n": 1}}),
        json!({"unsubscribed": 0}),
    ];
    assert_eq!(seen["counted"], json!(counted), "{seen}");
    let talk = [
        json!({"subscribing": 0}),
        json!("subscribed"),
        json!({"data": {"echo": {"from": "the client"}}}),
        json!({"subscribing": 2500}),
        json!("subscribed"),
        json!({"data": {"echo": ["again"]}}),
        json!({"unsubscribed": 2000}),
    ];
    assert_eq!(seen["talk"], json!(talk), "{seen}");
    let ends = || notes(&server).iter().filter(|note| note["type"] == "streamend").count();
    eventually("all ends are noted", || ends() == 4).await;
    let notes = notes(&server);
    let counted = json!([
        ["subscribeunidirectional", null],
        ["streamend", "shutdown"],
        ["subscribeunidirectional", null],
        ["streamend", "client"],
    ]);
    assert_eq!(json!(of(&notes, COUNTED)), counted);
    let talk = json!([
        ["subscribebidirectional", null],
        ["streampublish", {"from": "the client"}],
        ["streampublish", "restart"],
        ["streamend", "shutdown"],
        ["subscribebidirectional", null],
        ["streampublish", ["again"]],
        ["streampublish", "bye"],
        ["streamend", "closed"],
    ]);
    assert_eq!(json!(of(&notes, TALK)), talk);
}

fn script(name: &str) -> String {
    repository().join("tests/workers").join(name).display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_python_application_work_with_a_real_centrifugo() {
    streams_work(&format!("{} {}", python(), script("kit_streams.py"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_python_application_with_many_requests_at_a_time_work_with_a_real_centrifugo() {
    streams_work(&format!("{} {} many", python(), script("kit_streams.py"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_php_application_work_with_a_real_centrifugo() {
    streams_work(&format!("php {}", script("kit_streams.php"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_php_application_with_many_requests_at_a_time_work_with_a_real_centrifugo() {
    streams_work(&format!("php {} many", script("kit_streams.php"))).await;
}
