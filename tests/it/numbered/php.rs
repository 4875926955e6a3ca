//! The PHP package with several requests in flight, in both codecs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tonic::Code;

use crate::support::{Server, Setup, eventually, repository};

fn php(codec: &str) -> Setup {
    Setup::new(&format!("php {}", repository().join("tests/workers/many.php").display())).env("CODEC", codec)
}

/// What `wait` takes: a file to wait for, and one for its notes.
fn files(server: &Server) -> String {
    json!([server.path("flag"), server.path("notes")]).to_string()
}

fn notes(server: &Server) -> String {
    std::fs::read_to_string(server.path("notes")).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_php_worker_run_at_the_same_time_over_every_relay() {
    for (relay, codec) in [("pipes", "json"), ("tcp", "proto"), ("unix", "json")] {
        let server = php(codec).relay(relay).pool("num_workers: 1").start();
        let client = server.client().await;
        let calls: Vec<_> = (0..7).map(|_| client.spawn_rpc("wait", &files(&server))).collect();
        eventually("all have begun", || notes(&server).lines().count() == 7).await;
        assert_eq!(client.rpc("echo", "[1.5]").await.unwrap(), "[1.5]", "it overtakes those that wait");
        std::fs::write(server.path("flag"), "").unwrap();
        let mut pids = BTreeSet::new();
        for call in calls {
            pids.insert(call.await.unwrap().unwrap());
        }
        assert_eq!(pids.len(), 1, "{relay}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_php_handler_hears_why_its_answer_is_not_awaited_and_others_go_on() {
    let server = php("json").pool("num_workers: 1").start();
    let client = server.client().await;
    let late = client.rpc_within("wait", &files(&server), Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    eventually("it hears of the deadline", || notes(&server) == "begun\ndeadline\n").await;
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_php_handler_that_throws_fails_alone_and_one_that_exits_with_all_in_hand() {
    let server = php("json").pool("num_workers: 1").start();
    let client = server.client().await;
    let waiting = client.spawn_rpc("wait", &files(&server));
    eventually("it has begun", || notes(&server) == "begun\n").await;
    let thrown = client.rpc("throw", "null").await.unwrap_err();
    assert_eq!((thrown.code(), thrown.message()), (Code::Internal, "DomainException: thrown"));
    assert_eq!(client.rpc("exit", "null").await.unwrap_err().code(), Code::Unavailable);
    assert_eq!(waiting.await.unwrap().unwrap_err().code(), Code::Unavailable);
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}
