//! Streams that a worker feeds, of both protocols.

use std::time::Duration;

use serde_json::json;

use crate::support::streams::{End, Events, Streams};
use crate::support::{Setup, eventually, worker};

fn many() -> Setup {
    worker().env("OFFERS", "{\"protocol\":2,\"concurrency\":8}")
}

/// One worker of each kind.
fn both() -> [Setup; 2] {
    [worker(), many()]
}

fn channel(how: &str, events: &Events) -> String {
    format!("feed:{how},{}", events.path().display())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_s_messages_are_passed_on_and_its_end_is_the_stream_s() {
    for setup in both() {
        let server = setup.rpc().start();
        let mut streams = Streams::connect(&server).await;
        let events = Events::of(&server, "events");
        let mut stream = streams.open(&channel("500", &events)).await.accepted().await;
        for number in 0..500 {
            assert_eq!(stream.publication().await, number.to_string());
        }
        assert_eq!(stream.end().await, End::Status(0, String::new()));
        let seen = events.at_least(2).await;
        assert_eq!(
            (&seen[1]["type"], &seen[1]["context"]["reason"]),
            (&json!("streamend"), &json!(["closed"]))
        );
        let mut failed = streams.open(&channel("fail", &events)).await.accepted().await;
        assert_eq!(failed.publication().await, "1");
        assert_eq!(failed.end().await, End::Status(13, "as you wished".into()));
        let seen = events.at_least(4).await;
        assert_eq!(seen[3]["context"]["reason"], json!(["error"]));
        // Neither is a stream of which the first message does not say so.
        let mut rejected = streams.open(&channel("reject", &events)).await;
        let answer = rejected.next().await.unwrap().subscribe_response.unwrap();
        assert_eq!(answer.error.unwrap().code, 403);
        assert_eq!(rejected.end().await, End::Status(0, String::new()));
        let end = streams.open(&channel("late", &events)).await.end().await;
        assert!(matches!(&end, End::Status(13, text) if text.contains("SubscribeResponse")), "{end:?}");
        events.stays_at(6).await;
        assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_streams_is_held_back_by_its_client_and_comes_back_when_that_leaves() {
    for setup in both() {
        let server = setup.rpc().start();
        let mut streams = Streams::with_window(server.address(), 100).await;
        let events = Events::of(&server, "events");
        let mut stream = streams.open(&channel("endless", &events)).await;
        stream.head().await;
        let mut caller = server.caller().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let list = caller.json("stream.List", &json!({})).await.unwrap();
        let listed = &list["streams"][0];
        assert_eq!((&listed["held"], &list["total"]), (&json!(true), &json!(1)), "{list}");
        assert!(listed["sent"].as_u64().unwrap() < 20, "{list}");
        stream.leave();
        let seen = events.at_least(2).await;
        assert_eq!(
            (&seen[1]["type"], &seen[1]["context"]["reason"]),
            (&json!("streamend"), &json!(["client"]))
        );
        assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_s_messages_go_to_the_worker_that_streams() {
    let server = many().start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open_bidirectional(&channel("echo", &events)).await.accepted().await;
    for number in 0..200 {
        stream.publish(&number.to_string()).await;
    }
    for number in 0..200 {
        assert_eq!(stream.publication().await, number.to_string());
    }
    stream.leave();
    events.at_least(2).await;
    assert_eq!(events.types(), ["subscribebidirectional", "streamend"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_messages_to_a_worker_that_has_one_request_at_a_time_are_requests() {
    let server = worker().pool("num_workers: 2").start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open_bidirectional(&channel("endless", &events)).await.accepted().await;
    stream.publish("1").await;
    let seen = events.at_least(2).await;
    assert_eq!((&seen[1]["type"], &seen[1]["data"]), (&json!("streampublish"), &json!("1")));
    assert_ne!(seen[0]["pid"], seen[1]["pid"]);
    stream.leave();
    events.at_least(3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_worker_dies_or_has_to_leave_ends_with_an_error() {
    for setup in both() {
        let server = setup.pool("num_workers: 1, stream_timeout: 1s").rpc().start();
        let mut streams = Streams::connect(&server).await;
        let events = Events::of(&server, "events");
        let mut stream = streams.open(&channel("endless", &events)).await.accepted().await;
        let mut caller = server.caller().await;
        // It is replaced, and its stream may go on for so long.
        caller.json("resetter.Reset", &json!("centrifuge")).await.unwrap();
        let end = tokio::time::timeout(Duration::from_secs(20), stream.end()).await.unwrap();
        assert!(matches!(end, End::Status(14, _)), "{end:?}");
        let seen = events.at_least(2).await;
        assert_eq!(seen[1]["context"]["reason"], json!(["error"]));
        let mut stream = streams.open(&channel("endless", &events)).await.accepted().await;
        let pid = events.at_least(3).await[2]["pid"].as_i64().unwrap();
        let pid = nix::unistd::Pid::from_raw(pid.try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        let end = stream.end().await;
        assert!(matches!(end, End::Status(14, _)), "{end:?}");
        eventually("the end", || events.seen().len() >= 4).await;
    }
}
