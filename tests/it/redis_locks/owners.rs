//! Locks that end with a process.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{begin, bridge, granted, of, ok, patient, queued};
use crate::support::redis::redis;
use crate::support::{Killed, eventually, worker};

/// A process that does nothing.
fn process() -> Killed {
    Killed(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn().unwrap())
}

fn owned(id: &str, process: &Killed) -> Value {
    json!({"resource": "r", "id": id, "pid": process.0.id()})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_memory_ends_with_its_process() {
    let server = worker().rpc().start();
    let (mut caller, mut waiter) = (server.caller().await, server.caller().await);
    let owner = process();
    let reply = caller.json("lock.LockFenced", &owned("a", &owner)).await.unwrap();
    assert!(reply["ok"] == true && reply["token"].as_i64().unwrap() > 1_000_000_000_000_000, "{reply}");
    begin(&mut waiter, "Lock", patient("b")).await;
    let pid = owner.0.id();
    drop(owner);
    assert!(granted(&mut waiter).await);
    let error = caller.json("lock.Lock", &json!({"resource": "x", "id": "a", "pid": pid})).await.unwrap_err();
    assert_eq!(error, format!("there is no process {pid} to own the lock"));
    // One that was released, and granted again without an owner, is not the process' any more.
    let owner = process();
    assert!(ok(&mut caller, "Release", of("b")).await && ok(&mut caller, "Lock", owned("c", &owner)).await);
    assert!(ok(&mut caller, "Release", of("c")).await && ok(&mut caller, "Lock", of("c")).await);
    assert!(ok(&mut caller, "Lock", json!({"resource": "x", "id": "c", "pid": owner.0.id()})).await);
    drop(owner);
    begin(&mut waiter, "Lock", json!({"resource": "x", "id": "d", "wait": 60_000_000})).await;
    assert!(granted(&mut waiter).await);
    assert!(ok(&mut caller, "Exists", of("c")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_in_redis_ends_with_its_process_even_if_redis_is_away_at_that_moment() {
    let mut redis = redis(&[]);
    let server = bridge(&redis);
    let mut caller = server.caller().await;
    let (first, second) = (process(), process());
    assert!(ok(&mut caller, "LockRead", owned("a", &first)).await);
    assert!(ok(&mut caller, "LockRead", owned("b", &second)).await);
    let mut waiter = server.caller().await;
    begin(&mut waiter, "Lock", patient("c")).await;
    queued(&mut waiter).await;
    drop(first);
    eventually("the first is released", || redis.run::<Vec<String>>("ZRANGE rr:lock:r 0 -1") == ["r:b"])
        .await;
    redis.kill();
    drop(second);
    assert!(waiter.next().await.unwrap().is_error());
    server.wait_for_output("redis lock script failed");
    redis.start();
    eventually("the second is released", || redis.run::<usize>("DBSIZE") == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_locks_of_workers_are_released_when_the_server_shuts_down_and_others_stay() {
    let redis = redis(&[]);
    let mut server = bridge(&redis);
    let mut caller = server.caller().await;
    let worker = server.client().await.worker_pid().await;
    assert!(ok(&mut caller, "LockRead", json!({"resource": "r", "id": "a", "pid": worker})).await);
    assert!(ok(&mut caller, "LockRead", of("b")).await);
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.exit().await.success());
    assert_eq!(redis.run::<Vec<String>>("ZRANGE rr:lock:r 0 -1"), ["r:b"]);
}
