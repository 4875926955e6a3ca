//! What operators see of requests and workers: times, counts, what is in hand, and what went wrong lately.

use std::time::Duration;

use bytes::Bytes;
use causeway::pool::{Caller, Request, RequestType, Stats, Timings};
use causeway::proto::proxy::RpcRequest;
use causeway::worker::State;
use prost::Message as _;
use tokio::time::Instant;

use crate::support::{Setup, eventually, worker};

/// A worker of each protocol.
fn both() -> [Setup; 2] {
    [worker(), worker().env("OFFERS", r#"{"protocol":2,"concurrency":4}"#)]
}

fn body(method: &str) -> Bytes {
    RpcRequest { method: method.into(), data: Bytes::from_static(b"1"), ..Default::default() }
        .encode_to_vec()
        .into()
}

fn request(body: &Bytes) -> Request<'_, Bytes> {
    Request {
        caller: Caller::NONE,
        kind: RequestType::of("rpc"),
        trace: None,
        context: b"{}",
        body,
        deadline: None,
    }
}

fn rejected(stats: &Stats, reason: &str) -> u64 {
    stats.rejections[reason]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_times_of_a_request_say_how_far_it_came() {
    for setup in both() {
        let test = setup.pool("num_workers: 1").pool_alone().await;
        let mut timings = Timings::default();
        test.pool.exec(&request(&body("echo")), &mut timings).await.unwrap();
        assert!(
            timings.asked <= timings.leased
                && timings.leased <= timings.begun
                && timings.begun < timings.done,
            "{timings:?}"
        );
        assert_eq!(timings.pid, test.pids().first().copied());

        let (hang, mut timings) = (body("hang"), Timings::default());
        let request = request(&hang);
        let call = test.pool.exec(&request, &mut timings);
        assert!(tokio::time::timeout(Duration::from_secs(2), call).await.is_err());
        assert!(timings.begun.is_some() && timings.done.is_none(), "{timings:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_says_what_it_has_in_hand_and_its_time_counts_as_busy() {
    for setup in both() {
        let test = setup.pool("num_workers: 1").pool_alone().await;
        assert_eq!(test.pool.workers()[0].current, None);
        let flag = test.folder.path().join("flag");
        let call = test.spawn_rpc(&format!("wait:{}", flag.display()), "1");
        let current = || test.pool.workers()[0].current;
        eventually("it is in hand for a while", || {
            current().is_some_and(|current| current.elapsed > Duration::from_millis(200))
        })
        .await;
        assert_eq!(current().map(|current| current.kind), Some(RequestType::of("rpc")));
        let during = test.pool.stats();
        assert!(during.busy >= Duration::from_millis(200), "{during:?}");
        std::fs::write(&flag, "").unwrap();
        call.await.unwrap().unwrap();
        eventually("it is idle", || current().is_none()).await;
        let after = test.pool.stats();
        // Capacity is counted in milliseconds.
        let capacity = after.capacity + Duration::from_millis(1);
        assert!(after.busy >= during.busy && capacity >= after.busy, "{after:?}");
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_worker_are_counted_by_reason() {
    let test = worker().pool("num_workers: 1, max_queue_size: 1").pool_alone().await;
    let flag = test.folder.path().join("flag");
    let held = test.spawn_rpc(&format!("wait:{}", flag.display()), "1");
    eventually("the worker is busy", || test.pool.workers()[0].in_hand == 1).await;
    let waiting = test.spawn_rpc("echo", "1");
    eventually("a request waits", || test.pool.waiting() == 1).await;
    test.rpc("echo", "2").await.unwrap_err();
    waiting.abort();
    eventually("it has left", || test.pool.waiting() == 0).await;
    test.rpc_within("echo", "3", Duration::from_millis(50)).await.unwrap_err();
    let stats = test.pool.stats();
    let counts = ["queue_full", "cancelled", "deadline", "no_workers"].map(|reason| rejected(&stats, reason));
    assert_eq!(counts, [1, 1, 1, 0]);
    std::fs::write(&flag, "").unwrap();
    held.await.unwrap().unwrap();
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_turn_in_debug_mode_are_counted() {
    let test = worker().pool("num_workers: 1, debug: true").pool_alone().await;
    let held = test.spawn_rpc("hang", "");
    eventually("it hangs", || test.pool.workers().iter().any(|worker| worker.state == State::Working)).await;
    test.rpc_within("echo", "1", Duration::from_millis(50)).await.unwrap_err();
    let waiting = test.spawn_rpc("echo", "2");
    eventually("a request waits", || test.pool.waiting() == 1).await;
    waiting.abort();
    eventually("it has left", || rejected(&test.pool.stats(), "cancelled") == 1).await;
    assert_eq!(rejected(&test.pool.stats(), "deadline"), 1);
    held.abort();
    test.pool.stop(Instant::now()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_is_kept_with_its_reason_and_last_words() {
    let test = worker().pool("num_workers: 1, supervisor: {exec_ttl: 2s}").pool_alone().await;
    test.rpc("echo", "1").await.unwrap();
    let pid = test.worker_pid().await;
    test.rpc("exit:3", "").await.unwrap_err();
    let deaths = || test.pool.recent().deaths;
    eventually("the death is noticed", || deaths().len() == 1).await;
    let death = deaths().remove(0);
    assert_eq!((death.pid, death.reason, &*death.exit, death.requests), (pid, "died", "exit status 3", 3));
    assert!(death.last_words.ends_with("about to leave"), "{death:?}");
    test.has_workers(1).await;
    test.rpc("hang", "").await.unwrap_err();
    eventually("the kill is noticed", || deaths().len() == 2).await;
    let death = deaths().remove(1);
    assert_eq!((death.reason, &*death.exit), ("exec_ttl", "killed by signal 9 (SIGKILL)"));
    test.has_workers(1).await;
    let stats = test.pool.stats();
    assert_eq!((stats.restarts["died"], stats.restarts["exec_ttl"], stats.boot_failures), (1, 1, 0));
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_in_vain_is_counted() {
    let test = worker().pool("num_workers: 1").pool_alone().await;
    test.rpc("twice", "1").await.unwrap();
    test.rpc("echo", "2").await.unwrap();
    let stats = test.pool.stats();
    assert_eq!(stats.frames_dropped.values().sum::<u64>(), 1, "{:?}", stats.frames_dropped);
    test.end().await;
}
