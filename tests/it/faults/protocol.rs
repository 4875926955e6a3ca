//! Frames that no worker may send.

use tonic::Code;

use crate::support::inventory::Scene;
use crate::support::{eventually, is_alive, worker};

const FAULTS: [(&str, &str); 6] = [
    ("broken", "wrong checksum"),
    ("huge", "frame of 3000000000 bytes"),
    ("options:0", "expected one option, the length of the context, found 0"),
    ("options:2", "found 2"),
    ("options:10", "found 10"),
    ("beyond", "in a payload of"),
];

async fn each_fails_its_request_alone(relay: &str) {
    let scene = Scene::begin(worker().relay(relay), 2, "").await;
    let others = scene.bystanders();
    for (fault, words) in FAULTS {
        scene.fails(fault, Code::Internal, words).await;
        scene.is_whole_again().await;
    }
    others.noticed_nothing().await;
    let reported = || scene.server.count_output("\tworker broke the protocol\t");
    eventually("all are reported", || reported() == FAULTS.len()).await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_protocol_fails_only_its_own_request_and_is_replaced() {
    each_fails_its_request_alone("pipes").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_over_tcp() {
    each_fails_its_request_alone("tcp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn so_it_is_over_a_unix_socket() {
    each_fails_its_request_alone("unix").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_streams_the_answer_to_a_unary_call_fails_this_call_and_goes_on() {
    let scene = Scene::begin(worker(), 1, "").await;
    let pid = scene.client.worker_pid().await;
    for _ in 0..3 {
        scene.fails("one_chunk", Code::Internal, "streamed its answer, but the call is unary").await;
        assert_eq!(scene.client.rpc("echo", "1").await.unwrap(), "1");
    }
    // Until it was done with its stream, a substitute may have helped.
    assert!(is_alive(pid));
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_that_breaks_the_protocol_costs_no_request() {
    let scene = Scene::begin(worker(), 1, "").await;
    let pid = scene.client.worker_pid().await;
    let flag = scene.path("flag");
    assert_eq!(scene.client.rpc(&format!("broken_later:{flag}"), "1").await.unwrap(), "1");
    scene.rests().await;
    scene.let_act(&flag).await;
    assert_eq!(scene.client.rpc("echo", "2").await.unwrap(), "2");
    assert_ne!(scene.client.worker_pid().await, pid);
    scene.server.wait_for_output("broke the protocol");
    eventually("it is gone", || !is_alive(pid)).await;
    scene.ends_well().await;
}
