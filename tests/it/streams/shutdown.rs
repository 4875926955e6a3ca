//! Streams while the server stops, or its workers are replaced.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::streams::{End, Events, Streams};
use crate::support::worker;

/// What an idle server needs for its end on a busy machine; the grace period would be 30 s.
const SOON: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_as_unavailable_when_the_server_stops_and_workers_learn_of_it() {
    let mut server = worker().pool("num_workers: 2").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut opened = Vec::new();
    for _ in 0..50 {
        opened.push(streams.open(&events.channel()).await.accepted().await);
    }
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    for stream in &mut opened {
        assert_eq!(stream.end().await, End::Status(14, "the server is shutting down".into()));
    }
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let seen = events.seen();
    assert_eq!(seen.len(), 100);
    for end in &seen[50..] {
        assert_eq!((&end["type"], &end["context"]["reason"]), (&json!("streamend"), &json!(["shutdown"])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_does_not_hold_up_the_shutdown() {
    let mut server = worker().rpc().start();
    let mut streams = Streams::with_window(server.address(), 10).await;
    let mut caller = server.caller().await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open(&events.channel()).await;
    stream.head().await;
    caller.json("stream.Publish", &json!({"id": events.id().await, "data": 1})).await.unwrap();
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_being_opened_when_the_server_stops_ends_at_once() {
    let mut server = worker().rpc().start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    events.wait();
    let mut stream = streams.open(&events.channel()).await;
    events.at_least(1).await;
    server.signal(Signal::SIGTERM);
    server.wait_for_output("draining connections");
    tokio::time::sleep(Duration::from_millis(100)).await;
    events.go();
    assert_eq!(stream.end().await, End::Status(14, "the server is shutting down".into()));
    assert_eq!(server.exit().await.code(), Some(0));
    assert_eq!(events.types(), ["subscribeunidirectional", "streamend"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_outlive_the_workers_that_opened_them() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let (mut streams, mut caller) = (Streams::connect(&server).await, server.caller().await);
    let events = Events::of(&server, "events");
    let mut stream = streams.open_bidirectional(&events.channel()).await.accepted().await;
    let id = events.id().await;
    assert_eq!(caller.json("resetter.Reset", &json!("centrifuge")).await, Ok(json!(true)));
    caller.json("stream.Publish", &json!({"id": id, "data": "after"})).await.unwrap();
    assert_eq!(stream.publication().await, "\"after\"");
    stream.publish("2").await;
    let seen = events.at_least(2).await;
    assert_eq!(seen[1]["data"], "2");
    assert_ne!(seen[0]["pid"], seen[1]["pid"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_to_the_pool_that_opened_the_stream() {
    let server = worker()
        .centrifuge("pools: {rooms: {match: {channels: ['stream:*']}, num_workers: 1, env: {}}}")
        .rpc()
        .start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    for is_bidirectional in [false, true] {
        let mut stream = if is_bidirectional {
            streams.open_bidirectional(&events.channel()).await.accepted().await
        } else {
            streams.open(&events.channel()).await.accepted().await
        };
        let mut seen = events.seen().len();
        if is_bidirectional {
            stream.publish("1").await;
            seen += 1;
            events.at_least(seen).await;
        }
        stream.leave();
        events.at_least(seen + 1).await;
    }
    let mut caller = server.caller().await;
    let workers = caller.json("informer.Workers", &json!("centrifuge.rooms")).await.unwrap();
    let rooms = &workers["workers"][0]["pid"];
    let seen = events.at_least(5).await;
    assert!(seen.iter().all(|event| event["pid"] == *rooms), "{seen:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn debug_mode_has_a_worker_for_each_event() {
    let server = worker().pool("num_workers: 2, debug: true").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open_bidirectional(&events.channel()).await.accepted().await;
    stream.publish("1").await;
    events.at_least(2).await;
    stream.leave();
    let seen = events.at_least(3).await;
    let pids: std::collections::HashSet<_> = seen.iter().map(|event| event["pid"].as_u64()).collect();
    assert_eq!(pids.len(), 3);
}
