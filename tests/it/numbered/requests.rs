//! Requests of one worker run at the same time, and each gets its own answer.

use std::collections::BTreeMap;

use causeway::pool::Error;
use causeway::worker::State;

use super::{many, one_at_a_time};
use crate::support::{eventually, json};

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_one_worker_run_at_the_same_time_and_others_wait_in_the_queue() {
    for relay in ["pipes", "tcp", "unix"] {
        let test = many(8).relay(relay).pool_alone().await;
        assert_eq!((test.single().in_hand, test.single().concurrency), (0, 8));
        let flag = test.path("flag");
        let wait = format!("wait:{}", flag.display());
        let calls: Vec<_> = (0..10).map(|n| test.spawn_rpc(&wait, &n.to_string())).collect();
        test.has_in_hand(&[8]).await;
        eventually("two wait", || test.pool.waiting() == 2).await;
        assert_eq!(test.single().state, State::Working);
        std::fs::write(&flag, "").unwrap();
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().unwrap(), n.to_string(), "{relay}");
        }
        test.has_in_hand(&[0]).await;
        assert_eq!((test.single().state, test.single().executions), (State::Ready, 10));
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_come_in_any_order() {
    let test = many(4).pool_alone().await;
    let flags = ["a", "b", "c"].map(|name| test.path(name));
    let calls = flags.clone().map(|flag| test.spawn_rpc(&format!("wait:{}", flag.display()), "1"));
    test.has_in_hand(&[3]).await;
    assert_eq!(test.rpc("echo", "overtakes").await.unwrap(), "overtakes");
    for (flag, call) in flags.iter().zip(calls).rev() {
        std::fs::write(flag, "").unwrap();
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_least_busy_worker_is_next() {
    let test = many(4).pool("num_workers: 3").pool_alone().await;
    let wait = format!("wait:{}", test.path("flag").display());
    let mut calls = Vec::new();
    for expected in [[1, 0, 0], [1, 1, 0], [1, 1, 1], [2, 1, 1], [2, 2, 1]] {
        calls.push(test.spawn_rpc(&wait, "1"));
        test.has_in_hand(&expected).await;
    }
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_caps_what_a_worker_offers() {
    let test = many(100).pool("num_workers: 1, concurrency: 2").pool_alone().await;
    let wait = format!("wait:{}", test.path("flag").display());
    let calls: Vec<_> = (0..3).map(|_| test.spawn_rpc(&wait, "1")).collect();
    test.has_in_hand(&[2]).await;
    assert_eq!(test.single().concurrency, 2);
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_get_their_own_answers_from_few_workers() {
    for setup in [many(16).pool("num_workers: 2"), one_at_a_time(16).pool("num_workers: 2")] {
        let test = setup.pool_alone().await;
        let load = test.load(64, "echo");
        load.goes_on(3000).await;
        load.end().await;
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_between_small_ones_and_noise_change_no_answer() {
    let test = many(8).pool_alone().await;
    let load = test.load(4, "noise");
    for size in [1, 20, 40] {
        let large = test.rpc(&format!("large:{size}"), "").await.unwrap();
        assert_eq!(large.len(), size << 20);
        load.goes_on(10).await;
    }
    load.end().await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_and_refusals_concern_only_their_own_request() {
    let test = many(8).pool_alone().await;
    let load = test.load(3, "echo");
    load.goes_on(5).await;
    let failed = test.rpc("error:of my own", "").await.unwrap_err();
    assert!(matches!(failed, Error::Worker { message, .. } if message == "of my own"));
    let once = test.path("once");
    let before = test.pids();
    // It is handled by the worker that replaces this one.
    let answer = json(&test.rpc(&format!("stop:{}", once.display()), "").await.unwrap());
    assert!(!before.contains(&u32::try_from(answer["pid"].as_u64().unwrap()).unwrap()));
    load.goes_on(5).await;
    load.end().await;
    assert_eq!(test.pool.stats().restarts, BTreeMap::from([("requested", 1)]));
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_as_many_requests_as_it_wants() {
    let test = many(8).pool_alone().await;
    assert_eq!(test.rpc("credit:1", "1").await.unwrap(), "1");
    let wait = format!("wait:{}", test.path("flag").display());
    let waits = test.spawn_rpc(&wait, "1");
    test.has_in_hand(&[1]).await;
    let waiting = test.spawn_rpc("echo", "2");
    eventually("one waits", || test.pool.waiting() == 1).await;
    std::fs::write(test.path("flag"), "").unwrap();
    assert_eq!(waits.await.unwrap().unwrap(), "1");
    assert_eq!(waiting.await.unwrap().unwrap(), "2");

    // Nothing for now; and then more again.
    let more = test.path("more");
    assert_eq!(test.rpc(&format!("credit:4,{}", more.display()), "3").await.unwrap(), "3");
    assert_eq!(test.rpc("credit:0", "4").await.unwrap(), "4");
    let waiting: Vec<_> = (0..4).map(|_| test.spawn_rpc(&wait, "5")).collect();
    eventually("all wait", || test.pool.waiting() == 4).await;
    assert_eq!(test.in_hand(), [0]);
    std::fs::write(&more, "").unwrap();
    for call in waiting {
        assert_eq!(call.await.unwrap().unwrap(), "5");
    }
    test.end().await;
}
