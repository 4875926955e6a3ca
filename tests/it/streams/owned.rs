//! Streams that the bridge owns: opening, messages in both directions, and the end.

use bytes::Bytes;
use causeway::goridge::Flags;
use causeway::proto::rpc::{StreamPublication, StreamPublishRequest};
use prost::Message as _;
use serde_json::json;

use crate::support::streams::{End, Events, Streams};
use crate::support::worker;

const NO_STREAM: &str = "no such stream";

#[tokio::test(flavor = "multi_thread")]
async fn an_accepted_stream_holds_no_worker_and_any_caller_publishes_to_it() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let (mut streams, mut caller) = (Streams::connect(&server).await, server.caller().await);
    let events = Events::of(&server, "events");
    let mut stream = streams.open(&events.channel()).await.accepted().await;
    let opening = &events.seen()[0];
    assert_eq!(opening["type"], "subscribeunidirectional");
    assert_eq!(opening["context"]["cookie"], json!(["a=b"]));
    assert_eq!(opening["context"]["stream"].as_array().unwrap().len(), 1);
    let id = events.id().await;
    // The only worker is free.
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    for data in [json!({"a": [1, "é"]}), json!("aGVsbG8="), json!(null)] {
        let published = caller.json("stream.Publish", &json!({"id": id, "data": data})).await;
        assert_eq!(published, Ok(json!({})));
    }
    assert_eq!(stream.publication().await, r#"{"a":[1,"é"]}"#);
    assert_eq!(stream.publication().await, r#""aGVsbG8=""#);
    assert_eq!(stream.publication().await, "");
    let publication = StreamPublication {
        data: Bytes::from_static(&[1, 2]),
        tags: [("tag".to_owned(), "x".to_owned())].into(),
    };
    let request =
        StreamPublishRequest { id: id.clone(), publication: Some(publication.clone()), ..Default::default() };
    let reply = caller.call(Flags::PROTO, "stream.Publish", &request.encode_to_vec()).await;
    assert_eq!((reply.is_error(), reply.text().as_str()), (false, ""));
    let sent = stream.next().await.unwrap().publication.unwrap();
    assert_eq!((sent.data, sent.tags), (publication.data, publication.tags));
    let list = caller.json("stream.List", &json!({})).await.unwrap();
    assert_eq!(list["total"], 1);
    let listed = &list["streams"][0];
    assert_eq!(
        (&listed["id"], &listed["user"], &listed["client"]),
        (&json!(id), &json!("42"), &json!("client"))
    );
    assert_eq!((&listed["channel"], &listed["sent"]), (&json!(events.channel()), &json!(5)));
    assert_eq!(caller.json("stream.List", &json!({"user": "43"})).await.unwrap()["total"], 0);
    stream.leave();
    let end = &events.at_least(2).await[1];
    assert_eq!((&end["type"], &end["context"]["reason"]), (&json!("streamend"), &json!(["client"])));
    assert_eq!(end["context"]["stream"], json!([id]));
    let published = caller.json("stream.Publish", &json!({"id": id, "data": 1})).await;
    assert_eq!(published, Err(NO_STREAM.into()));
    events.stays_at(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_closed_by_the_application_behind_its_messages() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let (mut streams, mut caller) = (Streams::connect(&server).await, server.caller().await);
    for (number, resubscribe) in [(0, false), (1, true)] {
        let events = Events::of(&server, &format!("events{number}"));
        let mut stream = streams.open(&events.channel()).await.accepted().await;
        let id = events.id().await;
        caller.json("stream.Publish", &json!({"id": id, "data": "last"})).await.unwrap();
        let close = json!({"id": id, "resubscribe": resubscribe});
        assert_eq!(caller.json("stream.Close", &close).await, Ok(json!({})));
        assert_eq!(caller.json("stream.Close", &close).await, Err(NO_STREAM.into()));
        assert_eq!(stream.publication().await, "\"last\"");
        let expected = if resubscribe { 14 } else { 0 };
        let end = stream.end().await;
        assert!(matches!(end, End::Status(code, _) if code == expected), "{end:?}");
        assert_eq!(events.at_least(2).await[1]["context"]["reason"], json!(["closed"]));
    }
    for id in ["", "x", "AAAAAAAAAAAAAAAAAAAAAA"] {
        let argument = json!({"id": id, "data": 1});
        assert_eq!(caller.json("stream.Publish", &argument).await, Err(NO_STREAM.into()));
        assert_eq!(caller.json("stream.Close", &argument).await, Err(NO_STREAM.into()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_stream_ends_with_the_answer_and_no_event() {
    let server = worker().pool("num_workers: 1").start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open(&format!("refused:{}", events.path().display())).await;
    let error = stream.next().await.unwrap().subscribe_response.unwrap().error.unwrap();
    assert_eq!((error.code, error.message.as_str()), (403, "rejected"));
    assert_eq!(stream.end().await, End::Status(0, String::new()));
    let mut stream = streams.open(&format!("malformed:{}", events.path().display())).await;
    let end = stream.end().await;
    assert!(matches!(&end, End::Status(13, text) if text.contains("not a SubscribeResponse")), "{end:?}");
    let mut stream = streams.open("no behaviour").await;
    assert_eq!(stream.end().await, End::Status(13, "no behaviour no behaviour".into()));
    events.stays_at(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_publications_of_a_client_are_requests_in_order() {
    let server = worker().pool("num_workers: 4").rpc().start();
    let (mut streams, mut caller) = (Streams::connect(&server).await, server.caller().await);
    let events = Events::of(&server, "events");
    let mut stream = streams.open_bidirectional(&events.channel()).await.accepted().await;
    for number in 0..100 {
        stream.publish(&number.to_string()).await;
    }
    let seen = events.at_least(101).await;
    assert_eq!(seen[0]["type"], "subscribebidirectional");
    for (number, event) in seen[1..].iter().enumerate() {
        assert_eq!((&event["type"], &event["data"]), (&json!("streampublish"), &json!(number.to_string())));
        assert_eq!(event["context"]["stream"], seen[0]["context"]["stream"]);
        assert_eq!(event["context"]["cookie"], json!(["a=b"]));
    }
    let id = events.id().await;
    caller.json("stream.Publish", &json!({"id": id, "data": 1})).await.unwrap();
    assert_eq!(stream.publication().await, "1");
    // What was sent before the client left is delivered before the end.
    events.wait();
    for number in 100..105 {
        stream.publish(&number.to_string()).await;
    }
    events.at_least(102).await;
    stream.leave();
    events.go();
    let seen = events.at_least(107).await;
    for (number, event) in (100..105).zip(&seen[101..]) {
        assert_eq!((&event["type"], &event["data"]), (&json!("streampublish"), &json!(number.to_string())));
    }
    assert_eq!(seen[106]["type"], "streamend");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_is_rejected_or_fails_ends_the_stream_with_an_error() {
    let server = worker().pool("num_workers: 1").start();
    let mut streams = Streams::connect(&server).await;
    for (number, data, code, text) in
        [(0, "\"reject\"", 9, "publication rejected: 403 rejected"), (1, "\"fail\"", 13, "as you wished")]
    {
        let events = Events::of(&server, &format!("events{number}"));
        let mut stream = streams.open_bidirectional(&events.channel()).await.accepted().await;
        stream.publish(data).await;
        // The stream may have ended by now; it is delivered in no case.
        let _ = stream.try_publish("after").await;
        assert_eq!(stream.end().await, End::Status(code, text.into()));
        events.at_least(3).await;
        assert_eq!(events.types(), ["subscribebidirectional", "streampublish", "streamend"]);
        assert_eq!(events.seen()[2]["context"]["reason"], json!(["error"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_streams_of_a_lost_connection_end() {
    let server = worker().pool("num_workers: 2").start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    for _ in 0..10 {
        std::mem::forget(streams.open(&events.channel()).await.accepted().await);
        std::mem::forget(streams.open_bidirectional(&events.channel()).await.accepted().await);
    }
    streams.disconnect();
    let seen = events.at_least(40).await;
    for end in &seen[20..] {
        assert_eq!((&end["type"], &end["context"]["reason"]), (&json!("streamend"), &json!(["connection"])));
    }
    events.stays_at(40).await;
}
