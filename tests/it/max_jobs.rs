//! A worker gets no more than `max_jobs` requests, and no request waits for its successor.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::support::pool::TestPool;
use crate::support::{eventually, json, worker};

/// Which worker answered, and how many requests it has had.
async fn who(test: &TestPool) -> (u32, u64) {
    let answer = json(&test.rpc("pid", "").await.unwrap());
    (answer["pid"].as_u64().unwrap().try_into().unwrap(), answer["handled"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_max_jobs_1_a_hundred_requests_are_served_by_a_hundred_workers() {
    let test = worker().pool("num_workers: 4, max_jobs: 1").pool_alone().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..100 {
        let (pid, handled) = who(&test).await;
        assert_eq!(handled, 1);
        assert!(seen.insert(pid), "{pid} had two requests");
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_requests_never_exceed_max_jobs() {
    let test = worker().pool("num_workers: 3, max_jobs: 2").pool_alone().await;
    let calls: Vec<_> = (0..60).map(|_| test.spawn_rpc("pid", "")).collect();
    let mut served: BTreeMap<u64, u64> = BTreeMap::new();
    for call in calls {
        let pid = json(&call.await.unwrap().unwrap())["pid"].as_u64().unwrap();
        *served.entry(pid).or_default() += 1;
    }
    assert!(served.values().all(|requests| *requests == 2), "{served:?}");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_steady_load_no_request_waits_for_the_boot_of_a_successor() {
    const MOST: u64 = 300;
    let begin = Instant::now();
    let pool = format!("num_workers: 1, max_jobs: {MOST}");
    let test = worker().pool(&pool).env("BOOT_TAKES", "2").pool_alone().await;
    let boot = begin.elapsed();
    let mut calls = interval(Duration::from_millis(20));
    calls.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut served, mut slowest) = (BTreeMap::<u32, u64>::new(), Duration::ZERO);
    // The last one has just begun.
    while served.len() < 3 {
        calls.tick().await;
        let begin = Instant::now();
        let (pid, handled) = who(&test).await;
        slowest = slowest.max(begin.elapsed());
        served.insert(pid, handled);
    }
    assert!(slowest < boot * 3 / 4, "a request took {slowest:?}");
    // On a machine that stands still for 10 s, a worker is replaced in the last quarter of its requests.
    let exhausted = served.values().filter(|handled| **handled >= MOST * 3 / 4).count();
    assert!(exhausted >= 2, "each had all its requests: {served:?}");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_are_exhausted_at_the_same_time_leave_no_gap() {
    let begin = Instant::now();
    let test = worker().pool("num_workers: 4, max_jobs: 400").env("BOOT_TAKES", "2").pool_alone().await;
    let boot = begin.elapsed();
    let before = test.pids();
    let load = test.load(4, "sleep:0.01");
    eventually("all were replaced", || {
        let now = test.pids();
        assert!(now.len() <= 8, "no more than twice as many");
        now.is_disjoint(&before)
    })
    .await;
    load.goes_on(40).await;
    let slowest = load.end().await;
    assert!(slowest < boot * 3 / 4, "a request took {slowest:?}");
    assert_eq!(test.pool.stats().restarts.keys().collect::<Vec<_>>(), [&"max_jobs"]);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_wait_while_the_successors_of_exhausted_workers_cannot_be_started() {
    let (setup, flag) = worker().pool("num_workers: 1, max_jobs: 1").boots_unless("NO_BOOT");
    let test = setup.pool_alone().await;
    std::fs::write(&flag, "").unwrap();
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    eventually("no worker is left", || !test.pool.is_ready()).await;
    let waiting = test.spawn_rpc("echo", "2");
    eventually("it waits", || test.pool.waiting() == 1).await;
    std::fs::remove_file(&flag).unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "2");
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_ends_under_a_load_that_exhausts_each_worker_at_once() {
    let pool = "num_workers: 2, max_jobs: 1, reset_timeout: 20s";
    let test = worker().pool(pool).env("BOOT_TAKES", "0.05").pool_alone().await;
    let load = test.load(6, "echo");
    load.goes_on(6).await;
    for _ in 0..3 {
        assert_eq!(test.pool.reset().await, Ok(()));
    }
    load.end().await;
    test.end().await;
}
