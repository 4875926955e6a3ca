//! Redis is away, slow, or has forgotten; a server is stopped for a while.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use redis::RedisConnectionInfo;
use serde_json::json;

use super::{begin, bridge, bridge_with, granted, of, ok, patient, queued};
use crate::support::redis::{HOST, redis, redis_in};
use crate::support::{BINARY, PATIENCE, eventually, stop, worker};

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_every_call_fails_soon_and_with_it_all_are_served_again() {
    let mut redis = redis(&[]);
    let server = bridge(&redis);
    let (mut caller, mut waiter) = (server.caller().await, server.caller().await);
    assert!(ok(&mut caller, "Lock", of("a")).await);
    begin(&mut waiter, "Lock", patient("b")).await;
    queued(&mut waiter).await;
    redis.kill();
    let begun = Instant::now();
    let reply = waiter.next().await.unwrap();
    assert!(reply.is_error() && reply.text().starts_with("lock redis: "), "{}", reply.text());
    for method in ["Lock", "LockRead", "LockFenced", "Release", "ForceRelease", "Exists", "UpdateTTL"] {
        let error = caller.json(&format!("lock.{method}"), &of("c")).await.unwrap_err();
        assert!(error.starts_with("lock redis: cannot connect to 127.0.1.4:"), "{error}");
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    assert!(caller.json("rpc.Version", &json!(true)).await.is_ok(), "other calls go on");
    redis.start();
    let deadline = Instant::now() + PATIENCE;
    while caller.json("lock.Exists", &of("a")).await.is_err() {
        assert!(Instant::now() < deadline, "not served again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(ok(&mut caller, "Exists", of("a")).await, "it has kept the lock");
    assert!(!ok(&mut caller, "Exists", of("b")).await && !ok(&mut caller, "Exists", of("c")).await);
    // Messages come again, too.
    begin(&mut waiter, "Lock", patient("b")).await;
    queued(&mut waiter).await;
    assert!(ok(&mut caller, "Release", of("a")).await);
    assert!(granted(&mut waiter).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_makes_calls_fail_within_their_time_and_what_it_grants_is_taken_back() {
    let redis = redis(&[]);
    let server = bridge_with(&redis, ", read_timeout: 300ms, write_timeout: 300ms");
    let mut caller = server.caller().await;
    assert!(ok(&mut caller, "Lock", of("first")).await);
    assert!(ok(&mut caller, "Release", of("first")).await);
    stop(redis.pid()).await;
    let begun = Instant::now();
    let argument = json!({"resource": "r", "id": "late", "wait": 100_000});
    assert_eq!(caller.json("lock.Lock", &argument).await.unwrap_err(), "lock redis: no answer in time");
    assert_eq!(caller.json("lock.Exists", &argument).await.unwrap_err(), "lock redis: no answer in time");
    let error = caller.json("lock.Lock", &of("lost")).await.unwrap_err();
    assert!(error.contains("no answer") || error.contains("no connection"), "{error}");
    assert!(begun.elapsed() < PATIENCE);
    redis.go_on();
    // Redis executes what it has received meanwhile. A later claim of the same id waits until that is undone.
    eventually("nothing is held", || redis.run::<usize>("DBSIZE") == 0).await;
    let deadline = Instant::now() + PATIENCE;
    while caller.json("lock.Lock", &of("late")).await.is_err() {
        assert!(Instant::now() < deadline);
    }
    assert!(ok(&mut caller, "Exists", of("late")).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_stopped_for_longer_than_a_lock_lasts_does_not_report_it_as_granted() {
    let redis = redis(&[]);
    let server = bridge(&redis);
    let (mut caller, mut other) = (server.caller().await, bridge(&redis));
    assert!(!ok(&mut caller, "Exists", of("a")).await);
    stop(redis.pid()).await;
    begin(&mut caller, "LockFenced", json!({"resource": "r", "id": "a", "ttl": 300_000})).await;
    // The command is on its way when this is answered.
    assert!(caller_is_served(&mut caller).await);
    stop(server.pid()).await;
    redis.go_on();
    // Its lock comes and goes.
    eventually("the lock has expired", || {
        let (granted, held) = (redis.run::<usize>("EXISTS rr:fence"), redis.run::<usize>("EXISTS rr:lock:r"));
        (granted, held) == (1, 0)
    })
    .await;
    let mut theirs = other.caller().await;
    let reply = theirs.json("lock.LockFenced", &of("b")).await.unwrap();
    assert!(reply["ok"] == true);
    server.signal(Signal::SIGCONT);
    assert!(!granted(&mut caller).await, "it is the other's");
    assert!(ok(&mut caller, "Exists", of("b")).await);
    drop(theirs);
    other.signal(Signal::SIGTERM);
    assert!(other.exit().await.success());
    assert!(ok(&mut caller, "Exists", of("b")).await, "locks outlive a server");
}

/// Whether a call that needs no Redis is answered before the one that was begun.
async fn caller_is_served(caller: &mut crate::support::rpc::Caller) -> bool {
    caller.call(causeway::goridge::Flags::JSON, "rpc.Version", b"true").await.text().contains('.')
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_does_not_start_without_its_redis_and_never_prints_the_password() {
    let login = RedisConnectionInfo::default().set_password("hunter2");
    let mut protected = redis_in(tempfile::tempdir().unwrap(), &["--requirepass", "hunter2"], login);
    for (section, reason) in [
        (protected.section(""), "NOAUTH"),
        (protected.section(", password: hunter1"), "username and password were refused"),
        (protected.section(", username: none, password: hunter1"), "username and password were refused"),
    ] {
        let mut server = worker().rpc().more(&section).spawn();
        assert_eq!(server.exit().await.code(), Some(1));
        let output = server.output();
        assert!(output.contains("lock redis: ") && output.contains(reason), "{output}");
        assert!(!output.contains("hunter"), "{output}");
        let check =
            std::process::Command::new(BINARY).arg("check").current_dir(server.folder.path()).output();
        assert!(check.unwrap().status.success(), "check connects to nothing");
    }
    let master = redis(&[]);
    let replica = redis(&["--replicaof", HOST, &master.port.to_string()]);
    let mut server = worker().rpc().more(&replica.section("")).spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    assert!(server.output().contains("READONLY"), "{}", server.output());
    protected.kill();
    let mut server = worker().rpc().more(&protected.section("")).spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    let output = server.output();
    assert!(
        output.contains(".rr.yaml:") && output.contains("lock.config.addrs: lock redis: cannot connect to"),
        "{output}"
    );
}
