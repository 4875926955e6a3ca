//! Processes that a worker has started, and ones that answer in its place.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::inventory::{Scene, processes};
use crate::support::{PATIENCE, eventually, is_alive, json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn children_of_a_worker_end_with_it() {
    for fault in ["child", "child:quiet"] {
        let scene = Scene::begin(worker(), 1, "").await;
        let others = scene.bystanders();
        let child = json(&scene.client.rpc(fault, "").await.unwrap())["child"].as_u64().unwrap();
        let child = u32::try_from(child).unwrap();
        assert!(is_alive(child));
        others.noticed_nothing().await;
        scene.fails("exit:0", Code::Unavailable, "exit status 0").await;
        eventually("the worker's child is gone", || !is_alive(child)).await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_workers_end_with_the_server() {
    for fault in ["child", "child:quiet"] {
        let scene = Scene::begin(worker(), 2, "").await;
        for _ in 0..3 {
            scene.client.rpc(fault, "").await.unwrap();
        }
        scene.stops_soon().await;
    }
}

/// Makes the worker start a process that leaves its group; returns its pid.
pub(super) async fn leaves(scene: &Scene, how: &str) -> u32 {
    let file = scene.path(&format!("left-{how}"));
    scene.client.rpc(&format!("leave:{how}"), &file).await.unwrap();
    let pid = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(is_alive(pid));
    pid
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_left_the_worker_s_group_end_with_the_server() {
    for relay in ["pipes", "unix"] {
        let scene = Scene::begin(worker().relay(relay), 2, "").await;
        let mut left = Vec::new();
        for how in ["child", "orphan", "blank"] {
            left.push(leaves(&scene, how).await);
        }
        scene.stops_soon().await;
        assert!(!left.into_iter().any(is_alive));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_that_left_the_worker_s_group_end_with_it_however_it_ends() {
    let scene = Scene::begin(worker(), 1, "").await;
    let mut caller = scene.server.caller().await;
    for how in ["child", "orphan", "blank"] {
        let left = leaves(&scene, how).await;
        caller.json("resetter.Reset", &"centrifuge".into()).await.unwrap();
        eventually(&format!("{how} is gone after a reset"), || !is_alive(left)).await;
    }
    for death in ["exit:3", "exit:0"] {
        for how in ["child", "orphan"] {
            let left = leaves(&scene, how).await;
            scene.fails(death, Code::Unavailable, "exit status").await;
            eventually(&format!("{how} is gone after {death}"), || !is_alive(left)).await;
        }
    }
    drop(caller);
    scene.ends_well().await;

    let scene = Scene::begin(worker(), 1, "supervisor: {exec_ttl: 1s}").await;
    for how in ["child", "orphan", "blank"] {
        let left = leaves(&scene, how).await;
        scene.client.rpc("hang", "").await.unwrap_err();
        eventually(&format!("{how} is gone after a kill"), || !is_alive(left)).await;
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_is_noticed_while_a_child_outside_the_group_holds_the_pipes() {
    for relay in ["pipes", "tcp", "unix"] {
        let scene = Scene::begin(worker().relay(relay), 2, "").await;
        let others = scene.bystanders();
        let release = scene.path("release");
        scene.fails(&format!("daemon:{release}"), Code::Unavailable, "").await;
        others.noticed_nothing().await;
        std::fs::write(release, "").unwrap();
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_answers_for_its_parent_is_noticed_and_both_are_replaced() {
    for relay in ["pipes", "tcp", "unix"] {
        let scene = Scene::begin(worker().relay(relay), 2, "").await;
        let others = scene.bystanders();
        for n in 0..3 {
            assert_eq!(scene.client.rpc("fork", &n.to_string()).await.unwrap(), n.to_string());
        }
        scene.is_whole_again().await;
        others.noticed_nothing().await;
        let reported = || scene.server.count_output("answers in its place");
        eventually("all are reported", || reported() == 3).await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_that_share_a_relay_are_replaced() {
    let scene = Scene::begin(worker(), 2, "abandon_ttl: 1s").await;
    // Each request, and each fence, is read by either of the two: sooner or later the wrong one answers, or neither can.
    let _ = scene.client.rpc_within("split", "1", Duration::from_secs(2)).await;
    let is_over = || {
        scene.server.count_output("worker died")
            + scene.server.count_output("worker broke the protocol")
            + scene.server.count_output("killing worker")
            > 0
    };
    let deadline = Instant::now() + PATIENCE;
    while !is_over() {
        assert!(Instant::now() < deadline, "both go on");
        let _ = scene.client.rpc_within("echo", "2", Duration::from_secs(2)).await;
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sends_another_pid_is_trusted_on_pipes() {
    let scene = Scene::begin(worker().env("OTHER_PID", "1"), 2, "").await;
    let others = scene.bystanders();
    scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_sends_another_pid_is_rejected_on_sockets() {
    for (relay, words) in [
        ("tcp", "process 1 is not a worker of this server"),
        ("unix", "claims to be process 1, which it is not"),
    ] {
        let mut server =
            worker().relay(relay).env("OTHER_PID", "1").pool("num_workers: 1, allocate_timeout: 5s").spawn();
        assert_eq!(server.exit().await.code(), Some(1));
        server.wait_for_output(words);
        eventually("no process is left", || processes(&server).is_empty()).await;
    }
}
