//! No answer, a late one, or too many.

use std::time::Duration;

use tonic::Code;

use crate::support::inventory::Scene;
use crate::support::{eventually, is_alive, worker};

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_never_answer_cost_their_callers_the_deadline_and_are_replaced() {
    for limit in ["abandon_ttl: 1s", "supervisor: {exec_ttl: 10s}"] {
        let scene = Scene::begin(worker(), 2, limit).await;
        let others = scene.bystanders();
        // On a busy machine a call may be given up before it has reached a worker.
        while scene.server.count_output("it hangs") < 2 {
            scene.is_given_up("hang").await;
        }
        eventually("they are killed", || scene.server.count_output("killing worker") >= 2).await;
        scene.is_whole_again().await;
        others.noticed_nothing().await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_returns_without_an_answer_fails_its_request_soon_and_its_worker_goes_on() {
    let scene = Scene::begin(worker(), 1, "").await;
    let others = scene.bystanders();
    let pid = scene.client.worker_pid().await;
    for _ in 0..3 {
        let begin = std::time::Instant::now();
        scene.fails("nothing", Code::Internal, "the worker finished this request without answering it").await;
        // It takes a quarter of a second on a machine that is not busy; its caller waits for 30.
        assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    }
    assert_eq!(scene.client.worker_pid().await, pid);
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_answer_is_dropped_and_its_worker_goes_on() {
    let scene = Scene::begin(worker(), 2, "").await;
    let others = scene.bystanders();
    let flag = scene.path("flag");
    for _ in 0..2 {
        scene.is_given_up(&format!("wait:{flag}")).await;
    }
    std::fs::write(&flag, "").unwrap();
    scene.is_whole_again().await;
    others.noticed_nothing().await;
    assert_eq!(scene.server.count_output("killing worker"), 0);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_is_never_given_to_the_next_request() {
    for fault in ["twice", "together"] {
        let scene = Scene::begin(worker(), 1, "").await;
        let others = scene.bystanders();
        let pid = scene.client.worker_pid().await;
        for n in 0..30 {
            assert_eq!(scene.client.rpc(fault, &n.to_string()).await.unwrap(), n.to_string());
            assert_eq!(scene.client.rpc("echo", &format!("e{n}")).await.unwrap(), format!("e{n}"));
        }
        scene.server.wait_for_output("unrequested answer");
        // The type of the request that it belongs to.
        scene.server.wait_for_output("\"type\": \"rpc\"");
        others.noticed_nothing().await;
        assert_eq!(scene.client.worker_pid().await, pid);
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_from_an_idle_worker_is_dropped() {
    let scene = Scene::begin(worker(), 1, "").await;
    let pid = scene.client.worker_pid().await;
    for n in 0..5 {
        let flag = scene.path(&format!("flag-{n}"));
        assert_eq!(scene.client.rpc(&format!("again:{flag}"), "1").await.unwrap(), "1");
        scene.rests().await;
        scene.let_act(&flag).await;
        assert_eq!(scene.client.rpc("echo", &n.to_string()).await.unwrap(), n.to_string());
    }
    scene.server.wait_for_output("answers are now held");
    assert_eq!(scene.server.count_output("answers are now held"), 1);
    assert_eq!(scene.client.worker_pid().await, pid);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_begins_before_a_request_and_ends_after_it_is_not_taken_for_its_answer() {
    for relay in ["pipes", "unix"] {
        let scene = Scene::begin(worker().relay(relay), 1, "").await;
        let pid = scene.client.worker_pid().await;
        for bytes in [1, 11, 12, 20] {
            let flag = scene.path(&format!("flag-{bytes}"));
            assert_eq!(scene.client.rpc(&format!("halves:{bytes},{flag}"), "1").await.unwrap(), "1");
            scene.rests().await;
            scene.let_act(&flag).await;
            let answer = scene.client.rpc("echo", &bytes.to_string()).await;
            assert_eq!(answer.unwrap(), bytes.to_string(), "{bytes} bytes over {relay}");
        }
        assert_eq!(scene.client.worker_pid().await, pid);
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_unexpected_answer_a_request_with_two_answers_gets_neither() {
    let scene = Scene::begin(worker(), 1, "").await;
    let flag = scene.path("flag");
    scene.client.rpc(&format!("again:{flag}"), "1").await.unwrap();
    scene.rests().await;
    scene.let_act(&flag).await;
    // Another worker of the pool is not believed either, though it has not done so itself yet.
    for n in 0..2 {
        let pid = scene.client.worker_pid().await;
        let [stray, end] = ["stray", "end"].map(|name| scene.path(&format!("{name}-{n}")));
        assert_eq!(scene.client.rpc(&format!("again:{stray}"), "2").await.unwrap(), "2");
        let next = scene.client.spawn_rpc(&format!("wait:{end}"), "\"of the next\"");
        scene.server.wait_for_output(&format!("it waits for {end}"));
        scene.let_act(&stray).await;
        std::fs::write(end, "").unwrap();
        let status = next.await.unwrap().unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
        assert!(status.message().contains("cannot tell which request"), "{status}");
        assert_ne!(scene.client.worker_pid().await, pid);
        eventually("the worker is gone", || !is_alive(pid)).await;
    }
    assert_eq!(scene.client.rpc("echo", "3").await.unwrap(), "3");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reads_ahead_is_detected_and_answers_correctly() {
    let scene = Scene::begin(worker().env("READS_AHEAD", "1"), 1, "").await;
    let others = scene.bystanders();
    for n in 0..20 {
        assert_eq!(scene.client.rpc("sleep:0.02", &n.to_string()).await.unwrap(), n.to_string());
    }
    scene.server.wait_for_output("reads ahead");
    assert_eq!(scene.server.count_output("reads ahead"), 1);
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unexpected_echo_does_not_turn_the_fence_off() {
    let server = worker().pool("num_workers: 1").start();
    let client = server.client().await;
    assert_eq!(client.rpc("made_up:1", "1").await.unwrap(), "1");
    for n in ["2", "3"] {
        assert_eq!(client.rpc("echo", n).await.unwrap(), n);
    }
    server.wait_for_output("fence enabled again");
    for n in ["4", "5", "6"] {
        assert_eq!(
            client.rpc("together", n).await.unwrap(),
            n,
            "of two answers to one request the first one counts"
        );
    }
    let status = client.rpc("made_up:2", "7").await.unwrap_err();
    assert!(status.message().contains("it sends its pid without being asked"), "{status}");
    assert_eq!(client.rpc("echo", "8").await.unwrap(), "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_worker_that_reads_ahead_never_answers_the_wrong_request() {
    let server = worker().env("READS_AHEAD", "1").pool("num_workers: 1, abandon_ttl: 5s").start();
    let client = server.client().await;
    let first = client.rpc("sleep:0.6", "\"first\"").await;
    for n in 0..10 {
        if let Ok(data) = client.rpc("sleep:0.3", &n.to_string()).await {
            assert_eq!(data, n.to_string());
        }
    }
    assert!(first.is_err() || first.unwrap() == "\"first\"");
    assert_eq!(client.rpc("echo", "7").await.unwrap(), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_workers_are_trusted_to_answer_once() {
    let server = worker().pool("num_workers: 2, fence: false").start();
    let client = server.client().await;
    let calls: Vec<_> = (0..100).map(|n| client.spawn_rpc("echo", &n.to_string())).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_frame_fails_its_request_with_the_worker_s_message() {
    let scene = Scene::begin(worker(), 1, "").await;
    let others = scene.bystanders();
    let pid = scene.client.worker_pid().await;
    for text in ["soft failure", "", "line 1\nline ä"] {
        let status = scene.client.rpc(&format!("error:{text}"), "").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, text));
    }
    assert_eq!(scene.client.worker_pid().await, pid);
    others.noticed_nothing().await;
    scene.ends_well().await;
}
