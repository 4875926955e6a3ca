//! What may happen while a stream is being opened.

use std::time::Duration;

use h2::Reason;
use serde_json::json;

use crate::support::streams::{End, Events, Streams, framed, request};
use crate::support::worker;

#[tokio::test(flavor = "multi_thread")]
async fn messages_published_before_the_answer_arrive_behind_it() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let (mut streams, mut caller) = (Streams::connect(&server).await, server.caller().await);
    let events = Events::of(&server, "events");
    events.wait();
    let mut stream = streams.open(&events.channel()).await;
    let id = events.id().await;
    for number in 0..3 {
        caller.json("stream.Publish", &json!({"id": id, "data": number})).await.unwrap();
    }
    events.go();
    stream = stream.accepted().await;
    for number in 0..3 {
        assert_eq!(stream.publication().await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_closed_before_the_answer_ends_behind_it() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let (mut streams, mut caller) = (Streams::connect(&server).await, server.caller().await);
    let events = Events::of(&server, "events");
    events.wait();
    let stream = streams.open(&events.channel()).await;
    let id = events.id().await;
    caller.json("stream.Publish", &json!({"id": id, "data": 1})).await.unwrap();
    caller.json("stream.Close", &json!({"id": id})).await.unwrap();
    assert!(caller.json("stream.Publish", &json!({"id": id, "data": 2})).await.is_err());
    events.go();
    let mut stream = stream.accepted().await;
    assert_eq!(stream.publication().await, "1");
    assert_eq!(stream.end().await, End::Status(0, String::new()));
    events.at_least(2).await;
    assert_eq!(events.types(), ["subscribeunidirectional", "streamend"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_is_told_of_a_client_that_left_before_the_answer() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let (seen, unseen) = (Events::of(&server, "seen"), Events::of(&server, "unseen"));
    seen.wait();
    let first = streams.open(&seen.channel()).await;
    seen.at_least(1).await;
    // No worker sees this one, as it leaves while it waits.
    let second = streams.open(&unseen.channel()).await;
    let mut caller = server.caller().await;
    while caller.json("causeway.Stats", &json!("")).await.unwrap()["waiting"] != 1 {}
    second.leave();
    while caller.json("causeway.Stats", &json!("")).await.unwrap()["waiting"] != 0 {}
    first.leave();
    tokio::time::sleep(Duration::from_millis(50)).await;
    seen.go();
    let events = seen.at_least(2).await;
    assert_eq!(
        (&events[1]["type"], &events[1]["context"]["reason"]),
        (&json!("streamend"), &json!(["client"]))
    );
    unseen.stays_at(0).await;
    let list = caller.json("stream.List", &json!({})).await.unwrap();
    assert_eq!(list["total"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bidirectional_stream_begins_with_a_request() {
    let server = worker().pool("num_workers: 1").start();
    let mut streams = Streams::connect(&server).await;
    let (response, mut sender) = streams.begin("SubscribeBidirectional").await;
    // A `SubscribeRequest` is not what it begins with: its first field is a text.
    sender.send_data(framed(&request("quiet")), false).unwrap();
    let head = response.await.unwrap();
    assert!(["3", "13"].contains(&head.headers()["grpc-status"].to_str().unwrap()), "{head:?}");
    let (response, mut sender) = streams.begin("SubscribeBidirectional").await;
    sender.send_data(bytes::Bytes::new(), true).unwrap();
    assert_eq!(response.await.unwrap().headers()["grpc-status"], "13");
    let (response, mut sender) = streams.begin("SubscribeBidirectional").await;
    sender.send_data(bytes::Bytes::from_static(&[0, 0x10, 0, 0, 0]), false).unwrap();
    assert_eq!(response.await.unwrap().headers()["grpc-status"], "8", "larger than max_message_size");
    let (_response, mut sender) = streams.begin("SubscribeBidirectional").await;
    sender.send_reset(Reason::CANCEL);
    streams.open("quiet").await.accepted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_beyond_the_limit_are_refused() {
    let server = worker().centrifuge("streams: {max: 2}").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let first = streams.open("quiet").await.accepted().await;
    let _second = streams.open_bidirectional("quiet").await.accepted().await;
    let mut third = streams.open("quiet").await;
    let text = "2 subscription streams are open already (centrifuge.streams.max)";
    assert_eq!(third.end().await, End::Status(8, text.into()));
    first.leave();
    // Its place is free when a worker has handled the end.
    for _ in 0..1000 {
        let mut next = streams.open("quiet").await;
        if next.next().await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no place becomes free");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_opened_at_the_configured_rate() {
    let server = worker().centrifuge("streams: {open_rate: 10}").start();
    let mut streams = Streams::connect(&server).await;
    let begin = std::time::Instant::now();
    let mut opened = Vec::new();
    for _ in 0..31 {
        opened.push(streams.open("quiet").await);
    }
    // One that leaves takes no turn away.
    streams.open("quiet").await.leave();
    for stream in opened {
        std::mem::forget(stream.accepted().await);
    }
    // One at once, and thirty more; a second of slack for a busy machine is not needed in this direction.
    assert!(begin.elapsed() >= Duration::from_millis(2900), "{:?}", begin.elapsed());
}
