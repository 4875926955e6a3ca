//! Callers who give up, go away, or come when there is no room.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::inventory::Scene;
use crate::support::{PATIENCE, eventually, json, worker};

/// A call that occupies a worker until the file exists; the worker has it already.
async fn busy(
    scene: &Scene,
    flag: &str,
    data: &str,
) -> tokio::task::JoinHandle<Result<String, tonic::Status>> {
    let call = scene.client.spawn_rpc(&format!("wait:{flag}"), data);
    eventually("it is in hand", || scene.server.count_output(&format!("it waits for {flag}")) > 0).await;
    call
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_asks_to_stop_has_its_request_moved_to_another() {
    let scene = Scene::begin(worker(), 2, "").await;
    let others = scene.bystanders();
    let flag = scene.path("flag");
    let answered = scene.client.rpc(&format!("stop:{flag}"), "").await.unwrap();
    assert!(json(&answered)["pid"].is_u64(), "{answered}");
    eventually("the worker has left", || scene.server.count_output("worker stopped") == 1).await;
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_every_worker_refuses_fails_after_a_few_workers() {
    let scene = Scene::begin(worker(), 3, "").await;
    let refused = scene.client.rpc("refuse", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Internal);
    assert_eq!(refused.message(), "3 workers in a row left without handling this request");
    scene.is_whole_again().await;
    // Those that were there, and three more, have left; what is ready now has replaced them.
    eventually("the workers have left", || scene.server.count_output("worker stopped") >= 4).await;
    assert!(scene.server.count_output("worker stopped") <= 6);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_deadline_is_kept_and_the_late_answer_is_dropped() {
    let scene = Scene::begin(worker(), 1, "").await;
    let pid = scene.client.worker_pid().await;
    for n in 0..3 {
        let flag = scene.path(&format!("flag-{n}"));
        scene.is_given_up(&format!("wait:{flag}")).await;
        // A substitute serves while the worker goes on without a caller.
        assert_eq!(scene.client.rpc("echo", "\"own\"").await.unwrap(), "\"own\"");
        std::fs::write(&flag, "").unwrap();
        assert_eq!(scene.client.rpc("echo", "\"own\"").await.unwrap(), "\"own\"");
        let deadline = Instant::now() + PATIENCE;
        while scene.client.worker_pid().await != pid {
            assert!(Instant::now() < deadline, "the worker did not come back");
        }
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_has_gone_never_reaches_a_worker() {
    let scene = Scene::begin(worker(), 1, "").await;
    let handled = json(&scene.client.rpc("pid", "").await.unwrap())["handled"].as_u64().unwrap();
    let flag = scene.path("flag");
    let busy = busy(&scene, &flag, "1").await;
    let gone: Vec<_> = (0..20)
        .map(|_| {
            let client = scene.client.clone();
            tokio::spawn(async move { client.rpc_within("echo", "", Duration::from_millis(100)).await })
        })
        .collect();
    for call in gone {
        assert_eq!(call.await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    }
    std::fs::write(&flag, "").unwrap();
    busy.await.unwrap().unwrap();
    let now = json(&scene.client.rpc("pid", "").await.unwrap())["handled"].as_u64().unwrap();
    assert_eq!(now, handled + 2, "the one that kept it busy, and this one");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_beyond_the_queue_s_limit_fail_at_once_and_the_others_are_served() {
    let scene = Scene::begin(worker(), 1, "max_queue_size: 2").await;
    let flag = scene.path("flag");
    let busy = busy(&scene, &flag, "1").await;
    let calls: Vec<_> = (0..5).map(|n| scene.client.spawn_rpc("echo", &n.to_string())).collect();
    let refused = || calls.iter().filter(|call| call.is_finished()).count();
    eventually("three are refused", || refused() == 3).await;
    std::fs::write(&flag, "").unwrap();
    assert_eq!(busy.await.unwrap().unwrap(), "1");
    let mut answered = 0;
    for (n, call) in calls.into_iter().enumerate() {
        match call.await.unwrap() {
            Ok(data) => {
                assert_eq!(data, n.to_string());
                answered += 1;
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
                assert!(status.message().contains("2 requests are already waiting"), "{status}");
            }
        }
    }
    assert_eq!(answered, 2);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_queued_no_longer_than_allocate_timeout() {
    let scene = Scene::begin(worker(), 1, "allocate_timeout: 8s").await;
    let flag = scene.path("flag");
    let busy = busy(&scene, &flag, "1").await;
    let begin = Instant::now();
    scene.fails("echo", Code::ResourceExhausted, "no worker became free within 8s").await;
    assert!(begin.elapsed() >= Duration::from_millis(7900), "{:?}", begin.elapsed());
    std::fs::write(&flag, "").unwrap();
    assert_eq!(busy.await.unwrap().unwrap(), "1");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_moves_to_another_worker_waits_anew() {
    let scene = Scene::begin(worker(), 1, "allocate_timeout: 5s").await;
    let flag = scene.path("flag");
    let call = scene.client.spawn_rpc(&format!("stop_when:{flag}"), "");
    // It takes longer than any request may wait.
    tokio::time::sleep(Duration::from_millis(5200)).await;
    std::fs::write(&flag, "").unwrap();
    let answered = call.await.unwrap().unwrap();
    assert!(json(&answered)["pid"].is_u64(), "{answered}");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_disconnect_leave_nothing_behind() {
    let scene = Scene::begin(worker(), 2, "").await;
    let before = scene.pids().await;
    let others = scene.bystanders();
    let flag = scene.path("flag");
    let calls = [1, 2].map(|n| scene.client.spawn_rpc(&format!("wait:{flag}"), &n.to_string()));
    let waiting = || scene.server.count_output(&format!("it waits for {flag}"));
    eventually("both workers are busy", || waiting() == 2).await;
    for call in calls {
        call.abort();
    }
    // A substitute serves as soon as the server knows that a caller has gone.
    assert_eq!(scene.client.rpc("echo", "3").await.unwrap(), "3");
    std::fs::write(&flag, "").unwrap();
    others.noticed_nothing().await;
    scene.is_whole_again().await;
    assert_eq!(scene.pids().await, before, "both workers serve again");
    scene.ends_well().await;
}
