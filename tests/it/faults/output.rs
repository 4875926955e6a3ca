//! What a worker prints where its frames go.

use crate::support::inventory::Scene;
use crate::support::worker;

#[tokio::test(flavor = "multi_thread")]
async fn text_printed_before_or_after_an_answer_costs_nothing() {
    let scene = Scene::begin(worker(), 1, "").await;
    let others = scene.bystanders();
    let pid = scene.client.worker_pid().await;
    let halves = (1..12).map(|half| format!("half:{half}"));
    for fault in ["noise", "binary", "flood"].map(String::from).into_iter().chain(halves) {
        for n in 0..3 {
            let token = format!("\"{fault} {n}\"");
            assert_eq!(scene.client.rpc(&fault, &token).await.unwrap(), token);
        }
    }
    others.noticed_nothing().await;
    assert_eq!(scene.client.worker_pid().await, pid);
    scene.server.wait_for_output("Warning: something");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_sockets_printed_text_does_not_matter() {
    for relay in ["tcp", "unix"] {
        let scene = Scene::begin(worker().relay(relay), 1, "").await;
        let others = scene.bystanders();
        for fault in ["noise", "binary", "flood", "half:6"] {
            assert_eq!(scene.client.rpc(fault, "1").await.unwrap(), "1");
        }
        others.noticed_nothing().await;
        scene.server.wait_for_output("Warning: something");
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_two_halves_is_whole() {
    let scene = Scene::begin(worker(), 2, "").await;
    let others = scene.bystanders();
    let flag = scene.path("flag");
    let call = scene.client.spawn_rpc(&format!("trickle:{flag}"), "");
    scene.let_act(&flag).await;
    assert_eq!(call.await.unwrap().unwrap(), "");
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_output_is_reported_even_if_the_worker_has_closed_a_stream() {
    for relay in ["pipes", "unix"] {
        let server = worker().relay(relay).pool("num_workers: 1").start();
        let client = server.client().await;
        let pid = client.worker_pid().await;
        assert_eq!(client.rpc("mute", "1").await.unwrap(), "1");
        assert_eq!(client.rpc("yes:1,1", "2").await.unwrap(), "2");
        server.wait_for_output("worker output dropped");
        assert_eq!(client.worker_pid().await, pid);
    }
}
