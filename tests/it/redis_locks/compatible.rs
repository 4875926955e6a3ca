//! What RoadRunner 3 and Causeway see of each other's locks.

use std::time::Duration;

use serde_json::json;

use super::{begin, bridge, granted, of, ok, patient, queued};
use crate::support::redis::redis;

/// Microseconds of Redis' clock.
fn now(redis: &crate::support::redis::Redis) -> f64 {
    let (seconds, micros): (f64, f64) = redis.run("TIME");
    seconds * 1e6 + micros
}

#[tokio::test(flavor = "multi_thread")]
async fn two_bridges_and_roadrunner_exclude_each_other() {
    let redis = redis(&[]);
    let (one, two) = (bridge(&redis), bridge(&redis));
    let (mut a, mut b) = (one.caller().await, two.caller().await);
    assert!(ok(&mut a, "Lock", of("a")).await);
    assert!(!ok(&mut b, "Lock", of("b")).await);
    assert!(ok(&mut b, "Exists", of("a")).await && !ok(&mut b, "Exists", of("b")).await);
    begin(&mut b, "Lock", patient("b")).await;
    queued(&mut b).await;
    assert!(ok(&mut a, "Release", of("a")).await && !ok(&mut a, "Release", of("a")).await);
    assert!(granted(&mut b).await);
    assert!(ok(&mut a, "ForceRelease", json!({"resource": "r"})).await);
    assert!(!ok(&mut b, "Release", of("b")).await);
    // As RoadRunner writes it.
    let _: () = redis.run("ZADD rr:lock:r +inf w:theirs");
    assert!(!ok(&mut a, "LockRead", of("a")).await && ok(&mut a, "Exists", of("theirs")).await);
    let until = now(&redis) + 3e5;
    let _: () = redis.run(&format!("ZADD rr:lock:r {until} w:theirs"));
    begin(&mut a, "Lock", patient("a")).await;
    assert!(granted(&mut a).await, "theirs has expired");
    assert!(now(&redis) >= until);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_members_scores_and_channels_are_those_of_roadrunner_3() {
    let redis = redis(&[]);
    let server = bridge(&redis);
    let mut caller = server.caller().await;
    let mut listener = redis.connection();
    let mut messages = listener.as_pubsub();
    messages.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    messages.subscribe("rr:lock:r").unwrap();
    let holders = || redis.run::<Vec<(String, f64)>>("ZRANGE rr:lock:r 0 -1 WITHSCORES");
    // Redis rounds up to milliseconds.
    let left = || redis.run::<i64>("PTTL rr:lock:r");

    let before = now(&redis);
    let claim = json!({"resource": "r", "id": "a", "ttl": 10_000_000});
    assert!(ok(&mut caller, "LockRead", claim.clone()).await);
    let (member, score) = holders().remove(0);
    assert_eq!(member, "r:a");
    assert!((before + 1e7..=now(&redis) + 1e7).contains(&score), "{score}");
    assert!((5_000..=10_001).contains(&left()), "{}", left());
    assert_eq!(messages.get_message().unwrap().get_payload_bytes(), b"");
    assert!(ok(&mut caller, "LockRead", of("b")).await);
    assert_eq!(left(), -1, "the key lives as long as the lock that expires last");
    assert_eq!(holders()[1], ("r:b".into(), f64::INFINITY));
    messages.get_message().unwrap();
    assert!(!ok(&mut caller, "LockRead", patient("b")).await, "a second read lock is refused at once");
    assert!(ok(&mut caller, "UpdateTTL", json!({"resource": "r", "id": "b", "ttl": 20_000_000})).await);
    messages.get_message().unwrap();
    assert!((15_000..=20_001).contains(&left()), "{}", left());
    assert!(!ok(&mut caller, "Lock", of("b")).await, "there is another reader");
    assert!(ok(&mut caller, "Release", of("a")).await);
    messages.get_message().unwrap();
    assert!(ok(&mut caller, "Lock", of("b")).await);
    assert_eq!(holders(), [("w:b".into(), f64::INFINITY)]);
    messages.get_message().unwrap();
    assert!(ok(&mut caller, "ForceRelease", of("")).await && !ok(&mut caller, "ForceRelease", of("")).await);
    messages.get_message().unwrap();
    assert!(ok(&mut caller, "Lock", claim).await);
    assert_eq!(
        redis.run::<Vec<String>>("KEYS *"),
        ["rr:lock:r"],
        "a lock without a token leaves nothing else"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn waiters_of_a_server_are_served_in_the_order_of_arrival_and_none_is_forgotten() {
    let redis = redis(&[]);
    let server = bridge(&redis);
    let mut holder = server.caller().await;
    assert!(ok(&mut holder, "Lock", of("holder")).await);
    let mut waiters = Vec::new();
    for id in ["a", "b", "c"] {
        let mut caller = server.caller().await;
        begin(&mut caller, "Lock", patient(id)).await;
        queued(&mut caller).await;
        waiters.push((id, caller));
    }
    // One that has gone is passed over, and holds nothing.
    waiters.remove(1);
    // No message tells that the key is gone.
    let _: () = redis.run("DEL rr:lock:r");
    for (id, caller) in &mut waiters {
        assert!(granted(caller).await);
        let holders: Vec<String> = redis.run("ZRANGE rr:lock:r 0 -1");
        assert_eq!(holders, [format!("w:{id}")]);
        assert!(ok(&mut holder, "Release", of(id)).await);
    }
    assert_eq!(redis.run::<usize>("DBSIZE"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_waits_to_write_is_not_behind_those_that_wait_for_it() {
    let redis = redis(&[]);
    let server = bridge(&redis);
    let (mut reader, mut other) = (server.caller().await, server.caller().await);
    let mut writer = server.caller().await;
    assert!(ok(&mut reader, "LockRead", of("reader")).await && ok(&mut other, "LockRead", of("other")).await);
    begin(&mut writer, "Lock", patient("writer")).await;
    queued(&mut writer).await;
    begin(&mut reader, "Lock", patient("reader")).await;
    queued(&mut reader).await;
    assert!(ok(&mut other, "Release", of("other")).await);
    assert!(granted(&mut reader).await);
    assert!(ok(&mut other, "Release", of("reader")).await);
    assert!(granted(&mut writer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_increase_with_each_grant_even_if_redis_forgets_the_last_one() {
    let redis = redis(&[]);
    let (one, two) = (bridge(&redis), bridge(&redis));
    let (mut a, mut b) = (one.caller().await, two.caller().await);
    let mut last = 0;
    for round in 0..6 {
        let caller = if round % 2 == 0 { &mut a } else { &mut b };
        let reply = caller.json("lock.LockFenced", &of("x")).await.unwrap();
        let token = reply["token"].as_i64().unwrap();
        assert!(reply["ok"] == true && token > last, "{reply} after {last}");
        last = token;
        let reply = caller.json("lock.LockFenced", &of("y")).await.unwrap();
        assert_eq!(reply, json!({"ok": false, "token": 0}));
        if round == 2 {
            let _: () = redis.run("FLUSHALL");
        } else {
            assert!(ok(caller, "Release", of("x")).await);
        }
        if round == 3 {
            let _: () = redis.run("SCRIPT FLUSH");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_names_and_times_are_served_and_longer_names_refused() {
    let redis = redis(&[]);
    let server = bridge(&redis);
    let mut caller = server.caller().await;
    let long = "x".repeat(4096);
    for ttl in [1, 9_223_372_036_854_775, i64::MAX] {
        let claim = json!({"resource": long, "id": long, "ttl": ttl, "wait": i64::MAX});
        assert!(caller.json("lock.LockFenced", &claim).await.unwrap()["ok"] == true || ttl == 1, "{ttl}");
        assert_eq!(ok(&mut caller, "Exists", claim.clone()).await, ttl > 1);
        assert_eq!(ok(&mut caller, "UpdateTTL", claim.clone()).await, ttl > 1);
        assert_eq!(ok(&mut caller, "Release", claim).await, ttl > 1);
    }
    let longer = "x".repeat(4097);
    for (resource, id) in [(&longer, "a"), (&"r".to_owned(), &*longer)] {
        for method in ["Lock", "Release", "Exists", "UpdateTTL"] {
            let claim = json!({"resource": resource, "id": id, "wait": 1_000_000});
            let error = caller.json(&format!("lock.{method}"), &claim).await.unwrap_err();
            assert_eq!(error, "the name of a resource or owner is too long: 4097 bytes, limit 4096");
        }
    }
}
