//! RoadRunner's own command line: what it sends was recorded, `tests/vectors/rr-client-frames.json`, from `rr` 2025.1.15.

use std::collections::BTreeSet;

use causeway::goridge::Flags;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::support::gob;
use crate::support::rpc::Reply;
use crate::support::{Server, repository, worker};

#[derive(Deserialize)]
struct Recorded {
    /// `rr <arguments>: <method>`; what has the same command was sent one after the other over one connection.
    name: String,
    request_hex: String,
}

/// The requests of a command, replayed as fast as they go, and the replies in the order of the requests.
async fn replay(server: &Server, command: &str) -> Vec<Reply> {
    let file = std::fs::read_to_string(repository().join("tests/vectors/rr-client-frames.json")).unwrap();
    let recorded: Vec<Recorded> = serde_json::from_str(&file).unwrap();
    let prefix = format!("rr {command}: ");
    let mut caller = server.caller().await;
    let mut methods = Vec::new();
    for Recorded { name, request_hex } in recorded {
        if let Some(method) = name.strip_prefix(&prefix) {
            caller.send(&bytes(&request_hex)).await;
            methods.push(method.to_owned());
        }
    }
    assert!(!methods.is_empty(), "nothing is recorded of rr {command}");
    let mut replies = Vec::new();
    for _ in &methods {
        replies.push(caller.next().await.expect("the server hung up"));
    }
    replies.sort_by_key(|reply| reply.sequence);
    // Go's client counts from zero.
    for ((reply, method), sequence) in replies.iter().zip(&methods).zip(0..) {
        assert_eq!((reply.sequence, &reply.method), (sequence, method));
    }
    replies
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// What Go would read of a reply that is no error.
fn result(reply: &Reply) -> Value {
    assert_eq!(reply.flags, Flags::GOB.bits(), "{reply:?}");
    gob::decode(&reply.payload)
}

/// The workers that take requests; one that was replaced is shown until it has left.
fn pids(workers: &Value) -> BTreeSet<u64> {
    let all = workers["Workers"].as_array().unwrap().iter();
    let serving = all.filter(|worker| ["ready", "working"].contains(&worker["StatusStr"].as_str().unwrap()));
    serving.map(|worker| worker["Pid"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rr_workers_shows_each_worker() {
    let server = worker().rpc().pool("num_workers: 3").start();
    let client = server.client().await;
    for _ in 0..4 {
        client.rpc("echo", "1").await.unwrap();
    }
    // An answer is with its caller a moment before its worker counts as ready again.
    let (replies, workers) = loop {
        let replies = replay(&server, "workers").await;
        let workers = result(&replies[1]);
        if workers["Workers"].as_array().unwrap().iter().all(|worker| worker["StatusStr"] == "ready") {
            break (replies, workers);
        }
    };
    assert_eq!(result(&replies[0]), json!(["centrifuge"]));
    assert_eq!(pids(&workers).len(), 3);
    let mut executions = 0;
    for worker in workers["Workers"].as_array().unwrap() {
        assert!(crate::support::is_alive(worker["Pid"].as_u64().unwrap().try_into().unwrap()));
        assert_eq!(worker["Status"], 1, "{worker}");
        assert!(worker["MemoryUsage"].as_u64().unwrap() > 1_000_000, "bytes: {worker}");
        // Nanoseconds since 1970; this was written in 2026.
        assert!(worker["Created"].as_i64().unwrap() > 1_767_000_000_000_000_000, "{worker}");
        executions += worker["NumExecs"].as_u64().unwrap_or(0);
    }
    assert_eq!(executions, 4);
    assert_eq!(result(&replies[2]), json!([]), "a missing method would be shown as a table of errors");
}

#[tokio::test(flavor = "multi_thread")]
async fn rr_workers_asks_again_and_again_over_one_connection() {
    let server = worker().rpc().pool("num_workers: 2").start();
    let replies = replay(&server, "workers -i").await;
    let seen: Vec<_> = replies.iter().skip(1).step_by(2).map(|reply| pids(&result(reply))).collect();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|pids| pids.len() == 2 && *pids == seen[0]), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rr_workers_of_a_plugin_is_one_list_and_of_no_plugin_none() {
    let server = worker().rpc().pool("num_workers: 2").start();
    let workers = result(&replay(&server, "workers centrifuge").await[0]);
    assert_eq!(pids(&workers).len(), 2);
    let replies = replay(&server, "workers nope").await;
    assert_eq!((result(&replies[0]), result(&replies[1])), (json!({}), json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn rr_reset_replaces_the_workers_and_an_unknown_plugin_is_an_error() {
    let server = worker().rpc().pool("num_workers: 2").start();
    let mut before = pids(&result(&replay(&server, "workers centrifuge").await[0]));
    for (command, expected) in [
        ("reset", vec![json!(["centrifuge"]), json!(true)]),
        ("reset centrifuge", vec![json!(true)]),
        // Both are sent before one is answered.
        ("reset centrifuge nope", vec![Value::Null, json!(true)]),
        ("reset nope", vec![Value::Null]),
    ] {
        let replies = replay(&server, command).await;
        for (reply, expected) in replies.iter().zip(&expected) {
            if expected.is_null() {
                assert_eq!(reply.flags, (Flags::GOB | Flags::ERROR).bits(), "{reply:?}");
                assert!(reply.text().contains("nope"), "{}", reply.text());
            } else {
                assert_eq!(&result(reply), expected);
            }
        }
        let after = pids(&result(&replay(&server, "workers centrifuge").await[0]));
        assert_eq!(after.is_disjoint(&before), expected.contains(&json!(true)), "{command}");
        before = after;
    }
}

/// A text as Go's client sends it.
fn gob_text(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[length + 3, 0x0c, 0, length], text.as_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn rr_workers_and_rr_reset_go_through_every_pool() {
    let pools =
        "pools: {a: {match: {types: [rpc]}, num_workers: 1}, b: {match: {types: [connect]}, num_workers: 2}}";
    let server = worker().rpc().centrifuge(pools).pool("num_workers: 3").start();
    let names = ["centrifuge", "centrifuge.a", "centrifuge.b"];
    assert_eq!(result(&replay(&server, "workers").await[0]), json!(names));
    assert_eq!(result(&replay(&server, "reset").await[0]), json!(names));
    // What it does next with the names that it got.
    let mut caller = server.caller().await;
    for (name, size) in names.into_iter().zip([3, 1, 2]) {
        let before = pids(&result(&caller.call(Flags::GOB, "informer.Workers", &gob_text(name)).await));
        assert_eq!(before.len(), size, "{name}");
        assert_eq!(result(&caller.call(Flags::GOB, "resetter.Reset", &gob_text(name)).await), json!(true));
        let after = pids(&result(&caller.call(Flags::GOB, "informer.Workers", &gob_text(name)).await));
        assert!(after.len() == size && after.is_disjoint(&before), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rr_jobs_fails_since_there_is_no_such_service() {
    let server = worker().rpc().start();
    for (command, method) in [("jobs --list", "jobs.List"), ("jobs --pause q", "jobs.Pause")] {
        let reply = &replay(&server, command).await[0];
        assert!(reply.is_error(), "{reply:?}");
        assert_eq!(reply.text(), format!("rpc: can't find service {method}"));
    }
}
