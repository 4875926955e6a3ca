//! Clients that do not read, or send more than workers handle.

use std::time::Duration;

use causeway::goridge::Flags;
use serde_json::json;

use crate::support::rpc::Caller;
use crate::support::streams::{End, Events, Streams};
use crate::support::{PATIENCE, Server, worker};

/// Publishes until a call fails, or this often. Returns how many were accepted, and the error.
async fn flood(caller: &mut Caller, id: &str, times: usize, size: usize) -> (usize, Option<String>) {
    let argument = json!({"id": id, "data": "x".repeat(size)}).to_string();
    let mut accepted = 0;
    while accepted < times {
        let batch = 100.min(times - accepted);
        for _ in 0..batch {
            caller.begin(Flags::JSON, "stream.Publish", argument.as_bytes()).await;
        }
        for _ in 0..batch {
            let reply = caller.next().await.unwrap();
            if reply.is_error() {
                return (accepted, Some(reply.text()));
            }
            accepted += 1;
        }
    }
    (accepted, None)
}

async fn none_is_left(caller: &mut Caller) {
    let all_end = async { while caller.json("stream.List", &json!({})).await.unwrap()["total"] != 0 {} };
    tokio::time::timeout(PATIENCE, all_end).await.expect("streams are left");
}

fn resident(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_is_closed_when_it_is_full() {
    let server = worker().pool("num_workers: 1").rpc().start();
    let mut streams = Streams::with_window(server.address(), 1000).await;
    let mut caller = server.caller().await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open(&events.channel()).await;
    stream.head().await;
    let (accepted, error) = flood(&mut caller, &events.id().await, 1000, 100).await;
    assert_eq!(error.as_deref(), Some("the stream is full and was closed: its client does not read"));
    // What the window allows, and the buffer.
    assert!((64..80).contains(&accepted), "{accepted}");
    let end = &events.at_least(2).await[1];
    assert_eq!(end["context"]["reason"], json!(["overflow"]));
    let mut read = 0;
    let end = loop {
        match stream.next().await {
            Ok(_) => read += 1,
            Err(end) => break end,
        }
    };
    // It ends within a message if the window did.
    assert!(matches!(end, End::Status(8, _) | End::Reset(_)), "{end:?}");
    assert!(read < 16, "{read}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_not_read_drops_its_oldest_messages_if_so_configured() {
    let server = worker().centrifuge("streams: {buffer: 4, overflow: drop_oldest}").rpc().start();
    let mut streams = Streams::with_window(server.address(), 10).await;
    let mut caller = server.caller().await;
    let events = Events::of(&server, "events");
    let mut stream = streams.open(&events.channel()).await;
    stream.head().await;
    let id = events.id().await;
    for number in 0..20 {
        caller.json("stream.Publish", &json!({"id": id, "data": number})).await.unwrap();
    }
    let list = caller.json("stream.List", &json!({})).await.unwrap();
    assert_eq!(list["streams"][0]["buffered"], 4);
    let mut stream = stream.accepted().await;
    let mut read = Vec::new();
    while read.last().is_none_or(|last| last != "19") {
        read.push(stream.publication().await);
    }
    assert_eq!(read[read.len() - 3..], ["17", "18", "19"]);
    assert!(read.len() <= 6, "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_is_bounded_whatever_is_published_to_streams_that_are_not_read() {
    let server = worker().centrifuge("streams: {buffer: 65536, overflow: drop_oldest}").rpc().start();
    // Windows that allow everything, on a connection that is not read.
    let mut streams = Streams::with_window(server.address(), 1 << 30).await;
    let mut caller = server.caller().await;
    let events = Events::of(&server, "events");
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut stream = streams.open(&events.channel()).await;
        stream.head().await;
        kept.push(stream);
    }
    let opened = events.at_least(4).await;
    let before = resident(&server);
    for event in &opened {
        let id = event["context"]["stream"][0].as_str().unwrap();
        let (accepted, error) = flood(&mut caller, id, 25_000, 1000).await;
        assert_eq!((accepted, error), (25_000, None));
    }
    let after = resident(&server);
    // A hundred megabytes were published. A megabyte waits per stream, and what the kernel and HTTP/2 hold.
    assert!(after < before + 40, "{before} MB, then {after} MB");
}

/// Publishes a message of this many bytes. Returns the error, if it was refused.
async fn publish(caller: &mut Caller, id: &str, size: usize) -> Option<String> {
    // A `StreamPublishRequest`.
    let mut request = Vec::new();
    for (number, value) in [(1, id.as_bytes()), (2, &vec![b'1'; size])] {
        prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut request);
        prost::encode_length_delimiter(value.len(), &mut request).unwrap();
        request.extend_from_slice(value);
    }
    let reply = caller.call(Flags::PROTO, "stream.Publish", &request).await;
    reply.is_error().then(|| reply.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_streams_hold_all_memory_leaves_another_one_its_share() {
    const MB: usize = 1 << 20;
    let server = worker().pool("num_workers: 2").rpc().start();
    let mut caller = server.caller().await;
    let mut greedy = Streams::with_window(server.address(), 100).await;
    let mut modest = Streams::with_window(server.address(), 100).await;
    let (of_greedy, of_modest) = (Events::of(&server, "greedy"), Events::of(&server, "modest"));
    let mut open = Vec::new();
    for _ in 0..18 {
        let mut stream = greedy.open(&of_greedy.channel()).await;
        stream.head().await;
        open.push(stream);
    }
    let mut other = modest.open(&of_modest.channel()).await;
    other.head().await;
    let ids = of_greedy.at_least(18).await;
    let id = |number: usize| ids[number]["context"]["stream"][0].as_str().unwrap();
    // 255 of 256 MB.
    for number in 0..15 {
        assert_eq!(publish(&mut caller, id(number), 16 * MB).await, None, "{number}");
    }
    assert_eq!(publish(&mut caller, id(15), 15 * MB).await, None);
    let full = publish(&mut caller, id(16), 8 * MB).await;
    assert_eq!(full.as_deref(), Some("the stream is full and was closed: its client does not read"));
    // A small message always passes, and the other connection has half of 64 MB more.
    assert_eq!(publish(&mut caller, id(17), 1000).await, None);
    let other_id = of_modest.id().await;
    assert_eq!(publish(&mut caller, &other_id, 8 * MB).await, None);
    greedy.disconnect();
    drop((open, other, modest));
    none_is_left(&mut caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_floods_is_held_back_and_the_calls_of_its_connection_are_not() {
    let server = worker().pool("num_workers: 2").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut flooder = streams.open_bidirectional(&events.channel()).await.accepted().await;
    events.wait();
    let data = format!("\"{}\"", "x".repeat(10_000));
    let before = resident(&server);
    // Its window is a megabyte, and some of it is read ahead.
    let mut sent = 0;
    while let Ok(()) = tokio::time::timeout(Duration::from_millis(500), flooder.publish(&data)).await {
        sent += 1;
        assert!(sent < 1000, "it is not held back");
    }
    assert!(sent > 50, "{sent}");
    assert!(resident(&server) < before + 20);
    // Another stream, and a call, on the same connection.
    let other = Events::of(&server, "other");
    let mut neighbour = streams.open_bidirectional(&other.channel()).await.accepted().await;
    neighbour.publish("1").await;
    other.at_least(2).await;
    events.go();
    events.at_least(sent + 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_flood_together_do_not_take_the_window_of_their_connection() {
    let server = worker().pool("num_workers: 14").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let events = Events::of(&server, "events");
    let mut flooders = Vec::new();
    for _ in 0..12 {
        flooders.push(streams.open_bidirectional(&events.channel()).await.accepted().await);
    }
    events.wait();
    let data = format!("\"{}\"", "x".repeat(60_000));
    let mut ended = 0;
    for flooder in &mut flooders {
        // Until it is held back, or its stream ends.
        let flood = async { while flooder.try_publish(&data).await {} };
        let _ = tokio::time::timeout(Duration::from_millis(300), flood).await;
    }
    // A worker waits in an event of each; the others and the window are free.
    let other = Events::of(&server, "other");
    let mut neighbour = streams.open_bidirectional(&other.channel()).await.accepted().await;
    neighbour.publish("1").await;
    other.at_least(2).await;
    events.go();
    for mut flooder in flooders {
        if let Ok(Err(End::Status(8, text))) =
            tokio::time::timeout(Duration::from_millis(100), flooder.next()).await
        {
            assert_eq!(text, "the client sends faster than its messages are handled");
            ended += 1;
        }
    }
    assert!(ended > 0, "twelve megabytes are more than may wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_streams_take_little_memory_and_no_task() {
    const STREAMS: usize = 3000;
    let server = worker().pool("num_workers: 2").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let mut caller = server.caller().await;
    let tasks = caller.json("causeway.Stats", &json!("")).await.unwrap()["tasks"].as_u64().unwrap();
    let before = resident(&server);
    let mut opened = Vec::new();
    for _ in 0..STREAMS / 100 {
        let mut batch = Vec::new();
        for _ in 0..100 {
            batch.push(streams.open("quiet").await);
        }
        for stream in batch {
            opened.push(stream.accepted().await);
        }
    }
    let more = resident(&server) - before;
    println!("{} bytes per stream", (more << 20) / STREAMS as u64);
    assert!(more < 30, "{more} MB for {STREAMS} streams");
    let list = caller.json("stream.List", &json!({"limit": 10})).await.unwrap();
    assert_eq!((list["total"].as_u64(), list["streams"].as_array().map(Vec::len)), (Some(3000), Some(10)));
    // There is room for as many calls as ever.
    assert!(streams.places() >= STREAMS + 10_000, "{}", streams.places());
    let now = caller.json("causeway.Stats", &json!("")).await.unwrap()["tasks"].as_u64().unwrap();
    assert!(now <= tasks + 20, "{tasks} tasks, then {now}");
    drop(opened);
    none_is_left(&mut caller).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_left_in_a_loop_leave_nothing() {
    let server = worker().pool("num_workers: 2").rpc().start();
    let mut streams = Streams::connect(&server).await;
    let mut caller = server.caller().await;
    let mut memory = Vec::new();
    for _ in 0..4 {
        for round in 0..1000 {
            let stream = streams.open("quiet").await;
            // Some leave before the answer.
            if round % 3 == 0 {
                stream.leave();
            } else {
                stream.accepted().await.leave();
            }
        }
        none_is_left(&mut caller).await;
        memory.push(resident(&server));
    }
    assert!(memory[3] < memory[1] + 8, "{memory:?} MB");
}
