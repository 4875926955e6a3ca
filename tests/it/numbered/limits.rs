//! Limits, resets, growth and the end of workers that have several requests in hand.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use super::many;
use crate::support::pool::TestPool;
use crate::support::{eventually, is_alive, json};

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_gets_more_than_max_jobs_however_many_it_has_in_hand() {
    let test = many(16).pool("num_workers: 2, max_jobs: 10").pool_alone().await;
    let calls: Vec<_> = (0..200).map(|_| test.spawn_rpc("pid", "")).collect();
    let mut served: BTreeMap<u64, u64> = BTreeMap::new();
    for call in calls {
        let pid = json(&call.await.unwrap().unwrap())["pid"].as_u64().unwrap();
        *served.entry(pid).or_default() += 1;
    }
    assert!(served.values().all(|requests| *requests == 10), "{served:?}");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_its_last_requests_are_in_hand_an_exhausted_worker_is_replaced() {
    let test = many(4).pool("num_workers: 1, max_jobs: 4").pool_alone().await;
    let pid = test.single().pid;
    let flag = test.path("flag");
    let calls: Vec<_> = (0..4).map(|_| test.spawn_rpc(&format!("wait:{}", flag.display()), "1")).collect();
    eventually("there is another one", || test.pids().len() == 1 && !test.pids().contains(&pid)).await;
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2");
    assert!(is_alive(pid));
    std::fs::write(&flag, "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    eventually("it leaves", || !is_alive(pid)).await;
    test.end().await;
}

/// A pool with requests in hand, and the flag that they wait for.
async fn with_requests_in_hand(
    pool: &str,
) -> (TestPool, Vec<tokio::task::JoinHandle<Result<String, causeway::pool::Error>>>) {
    let test = many(8).pool(pool).pool_alone().await;
    let wait = format!("wait:{}", test.path("flag").display());
    let calls: Vec<_> = (0..6).map(|_| test.spawn_rpc(&wait, "1")).collect();
    test.has_begun(6).await;
    (test, calls)
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_reset_old_and_new_workers_serve_side_by_side() {
    let (test, calls) = with_requests_in_hand("num_workers: 2").await;
    let before = test.pids();
    let load = test.load(4, "echo");
    assert_eq!(test.pool.reset().await, Ok(()));
    assert!(test.pids().is_disjoint(&before));
    test.has_noted("drain", 2).await;
    assert!(before.iter().all(|pid| is_alive(*pid)), "they go on with what they have in hand");
    load.goes_on(20).await;
    load.end().await;
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    eventually("the old ones leave", || before.iter().all(|pid| !is_alive(*pid))).await;
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_of_the_pool_what_is_in_hand_is_finished_and_what_hangs_is_killed() {
    let (test, calls) = with_requests_in_hand("num_workers: 1").await;
    let pid = test.single().pid;
    let hangs = test.spawn_rpc("hang", "");
    test.has_begun(7).await;
    hangs.abort();
    let pool = test.pool.clone();
    let stopped = tokio::spawn(async move { pool.stop(Instant::now() + Duration::from_secs(20)).await });
    test.has_noted("drain", 1).await;
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    stopped.await.unwrap();
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_grows_by_as_many_workers_as_the_waiting_requests_need() {
    let pool = "num_workers: 1, dynamic_allocator: {max_workers: 10, spawn_rate: 10, idle_timeout: 1h}";
    let test = many(8).pool(pool).pool_alone().await;
    let wait = format!("wait:{}", test.path("flag").display());
    let calls: Vec<_> = (0..24).map(|_| test.spawn_rpc(&wait, "1")).collect();
    test.has_in_hand(&[8, 8, 8]).await;
    assert_eq!(test.pool.workers().len(), 3);
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_full_of_abandoned_requests_has_a_substitute() {
    let test = many(4).pool("num_workers: 1, abandon_ttl: 1h").pool_alone().await;
    let flag = test.path("flag");
    let wait = format!("wait:{}", flag.display());
    let calls: Vec<_> = (0..4).map(|_| test.spawn_rpc(&wait, "1")).collect();
    test.has_begun(4).await;
    for call in calls {
        call.abort();
    }
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2");
    assert_eq!(test.pool.workers().len(), 2);
    // It comes back, and one of the two is too many.
    std::fs::write(&flag, "").unwrap();
    test.has_workers(1).await;
    assert_eq!(test.rpc("echo", "3").await.unwrap(), "3");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_debug_mode_each_request_has_a_worker_of_its_own() {
    let test = many(8).pool("num_workers: 4, debug: true").pool_alone().await;
    let calls: Vec<_> = (0..4).map(|_| test.spawn_rpc("pid", "")).collect();
    let mut pids = std::collections::BTreeSet::new();
    for call in calls {
        let answer = json(&call.await.unwrap().unwrap());
        assert_eq!(answer["handled"], 1);
        assert!(pids.insert(answer["pid"].as_u64().unwrap()));
    }
    test.has_workers(0).await;
    test.end().await;
}

/// The only worker is to leave: another one takes its place, and it goes on with what it has in hand.
async fn it_leaves_behind_what_it_has_in_hand(
    test: TestPool,
    calls: Vec<tokio::task::JoinHandle<Result<String, causeway::pool::Error>>>,
    pid: u32,
    reason: &str,
) {
    eventually("it is replaced", || test.pids().len() == 1 && !test.pids().contains(&pid)).await;
    assert!(is_alive(pid), "{reason}");
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2", "{reason}");
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1", "{reason}");
    }
    eventually("it leaves", || !is_alive(pid)).await;
    eventually("that counts", || test.pool.stats().restarts.get(reason) == Some(&1)).await;
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_worker_leaves_behind_what_it_has_in_hand() {
    // Its successor is not to be old before the test has ended.
    let limits = "num_workers: 1, supervisor: {watch_tick: 100ms, ttl: 10s}";
    let (test, calls) = with_requests_in_hand(limits).await;
    let pid = test.single().pid;
    it_leaves_behind_what_it_has_in_hand(test, calls, pid, "ttl").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_over_its_memory_limit_leaves_behind_what_it_has_in_hand() {
    let limits = "num_workers: 1, supervisor: {watch_tick: 50ms, max_worker_memory: 90}";
    let (test, calls) = with_requests_in_hand(limits).await;
    let pid = test.single().pid;
    test.rpc("grow:120", "").await.unwrap();
    it_leaves_behind_what_it_has_in_hand(test, calls, pid, "max_worker_memory").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_far_beyond_its_memory_limit_is_killed_with_all_that_it_has_in_hand() {
    let limits =
        "num_workers: 1, supervisor: {watch_tick: 50ms, max_worker_memory: 90, max_worker_memory_hard: 2.5}";
    let (test, calls) = with_requests_in_hand(limits).await;
    let pid = test.single().pid;
    // It is answered, or killed like the others.
    let _ = test.rpc("grow:400", "").await;
    for call in calls {
        let error = call.await.unwrap().unwrap_err().to_string();
        assert!(error.contains("supervisor.max_worker_memory_hard"), "{error}");
    }
    eventually("it is killed", || !is_alive(pid)).await;
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_not_idle_while_it_has_a_request_in_hand() {
    let limits = "num_workers: 1, supervisor: {watch_tick: 50ms, idle_ttl: 300ms}";
    let (test, calls) = with_requests_in_hand(limits).await;
    let pid = test.single().pid;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(test.single().pid, pid);
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    eventually("it is idle, and replaced", || !is_alive(pid)).await;
    eventually("that counts", || test.pool.stats().restarts.contains_key("idle_ttl")).await;
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2");
    test.end().await;
}
