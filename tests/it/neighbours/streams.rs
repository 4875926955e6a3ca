//! Clients of subscription streams that do not read, and that leave in a loop.

use std::time::{Duration, Instant};

use causeway::goridge::Flags;
use serde_json::json;

use crate::support::neighbour::is_unharmed;
use crate::support::streams::{Events, Streams};
use crate::support::worker;

/// How long the attack lasts.
const ATTACK: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_not_read_or_left_in_a_loop() {
    let setup = || worker().pool("num_workers: 4").centrifuge("streams: {overflow: drop_oldest}").rpc();
    is_unharmed("slow clients of streams", 320, setup, async |server| {
        let mut slow = Streams::with_window(server.address(), 100).await;
        let events = Events::of(server, "events");
        let mut opened = Vec::new();
        for _ in 0..200 {
            opened.push(slow.open(&events.channel()).await);
        }
        let seen = events.at_least(200).await;
        let message = "x".repeat(10_000);
        let calls: Vec<String> = seen
            .iter()
            .map(|event| json!({"id": event["context"]["stream"][0], "data": message}).to_string())
            .collect();
        let (mut caller, mut hasty) = (server.caller().await, Streams::connect(server).await);
        let begin = Instant::now();
        while begin.elapsed() < ATTACK {
            for call in &calls {
                caller.begin(Flags::JSON, "stream.Publish", call.as_bytes()).await;
            }
            for _ in &calls {
                assert!(!caller.next().await.unwrap().is_error());
            }
            for _ in 0..20 {
                hasty.open("quiet").await.leave();
            }
        }
    })
    .await;
}
