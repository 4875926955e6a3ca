//! Streams of a real Centrifugo, with a real client.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::support::real_centrifugo::{RealCentrifugo, binary};
use crate::support::rpc::Caller;
use crate::support::streams::Events;
use crate::support::{Server, Setup, worker};

fn bridge(address: &str) -> Setup {
    worker().pool("num_workers: 2").proxy_address(&format!("tcp://{address}")).rpc()
}

/// Publishes to the stream whose opening is the event with this number.
async fn publish(caller: &mut Caller, events: &Events, number: usize, data: &Value) -> String {
    let seen = events.at_least(number + 1).await;
    let id = seen[number]["context"]["stream"][0].as_str().unwrap().to_owned();
    caller.json("stream.Publish", &json!({"id": id, "data": data})).await.unwrap();
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_real_centrifugo_have_streams_and_subscribe_again_when_the_bridge_restarts() {
    let Some(binary) = binary() else { return };
    let mut server = bridge("127.0.0.1:0").start();
    let address = server.address().to_owned();
    let centrifugo = RealCentrifugo::start_with_streams(&binary, &server).await;
    let [one_way, both_ways] = ["one", "both"].map(|name| Events::of(&server, name));
    let talk = both_ways.channel().replace("stream:", "talk:");
    let play = async { centrifugo.play(&["streams", &one_way.channel(), &talk]).await };
    let application = async {
        let mut caller = server.caller().await;
        publish(&mut caller, &one_way, 0, &json!({"n": 1})).await;
        let end = &one_way.at_least(2).await[1];
        assert_eq!((&end["type"], &end["context"]["reason"]), (&json!("streamend"), &json!(["client"])));
        publish(&mut caller, &both_ways, 0, &json!([2])).await;
        let publication = &both_ways.at_least(2).await[1];
        let data: Value = serde_json::from_str(publication["data"].as_str().unwrap()).unwrap();
        assert_eq!((&publication["type"], data), (&json!("streampublish"), json!({"from": "the client"})));
        server.signal(Signal::SIGTERM);
        assert_eq!(server.exit().await.code(), Some(0));
        assert_eq!(both_ways.seen()[2]["context"]["reason"], json!(["shutdown"]));
        let server = bridge(&address).beside(&server).start();
        let mut caller = server.caller().await;
        let id = publish(&mut caller, &both_ways, 3, &json!("again")).await;
        caller.json("stream.Close", &json!({"id": id})).await.unwrap();
        let end = both_ways.at_least(5).await;
        assert_eq!(end[4]["context"]["reason"], json!(["closed"]));
        server
    };
    let (seen, _server): (Value, Server) = tokio::join!(play, application);
    let both = [
        json!({"subscribing": 0}),
        json!("subscribed"),
        json!({"data": [2]}),
        json!({"subscribing": 2500}),
        json!("subscribed"),
        json!({"data": "again"}),
        json!({"unsubscribed": 2000}),
    ];
    assert_eq!(seen["both_ways"], json!(both), "{seen}");
    let one = [
        json!({"subscribing": 0}),
        json!("subscribed"),
        json!({"data": {"n": 1}}),
        json!({"unsubscribed": 0}),
    ];
    assert_eq!(seen["one_way"], json!(one), "{seen}");
    assert_eq!(one_way.seen().len(), 2);
}
