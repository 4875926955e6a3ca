//! Workers that die, are stopped, or cannot be talked to any more.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tonic::Code;

use crate::support::inventory::Scene;
use crate::support::{eventually, is_alive, json, worker};

const RELAYS: [&str; 3] = ["pipes", "tcp", "unix"];

fn signal(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_fails_its_request_with_its_exit_status_and_is_replaced() {
    for relay in RELAYS {
        let scene = Scene::begin(worker().relay(relay), 2, "").await;
        let others = scene.bystanders();
        for (fault, words) in [
            ("exit:3", "exit status 3"),
            ("exit:0", "exit status 0"),
            ("kill:9", "signal 9 (SIGKILL)"),
            ("partial", "exit status 0"),
        ] {
            scene.fails(fault, Code::Unavailable, words).await;
            scene.is_whole_again().await;
        }
        others.noticed_nothing().await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_during_a_request_is_logged_and_counted_as_a_death() {
    for relay in RELAYS {
        let scene = Scene::begin(worker().relay(relay), 1, "").await;
        let logged = |message: &str| {
            let line = scene.server.wait_for_output(&format!("\t{message}\t"));
            json(line.rsplit_once('\t').unwrap().1)
        };
        let pid = scene.client.worker_pid().await;
        scene.fails("error:no", Code::Internal, "no").await;
        assert_eq!(logged("worker answered with an error")["pid"], pid);
        scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
        assert_eq!(logged("call failed")["pid"], pid);
        let died = logged("worker died");
        assert_eq!((&died["pid"], &died["exit"]), (&pid.into(), &"exit status 3".into()));
        // This one only seems to have died, until it is killed.
        let pid = scene.client.worker_pid().await;
        scene.fails("closeout", Code::Unavailable, "the worker died before it answered").await;
        assert_eq!(logged("worker killed")["pid"], pid);
        scene.is_whole_again().await;
        let mut caller = scene.server.caller().await;
        let stats = caller.json("causeway.Stats", &"centrifuge".into()).await.unwrap();
        assert_eq!(stats["restarts"], serde_json::json!({"died": 1, "faulty": 1}));
        drop(caller);
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_after_its_answer_costs_no_request() {
    for relay in RELAYS {
        let scene = Scene::begin(worker().relay(relay), 2, "").await;
        let others = scene.bystanders();
        for n in 0..5 {
            assert_eq!(scene.client.rpc("after:0", &n.to_string()).await.unwrap(), n.to_string());
        }
        others.noticed_nothing().await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_deaths_on_a_socket_leave_no_descriptor_behind() {
    for relay in ["tcp", "unix"] {
        let scene = Scene::begin(worker().relay(relay), 1, "").await;
        for _ in 0..20 {
            scene.fails("exit:0", Code::Unavailable, "exit status 0").await;
            // A worker that does something first dies of use, and its successor is started at once.
            assert_eq!(scene.client.rpc("echo", "1").await.unwrap(), "1");
        }
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_an_idle_worker_costs_no_request() {
    let scene = Scene::begin(worker(), 2, "").await;
    for _ in 0..10 {
        let pid = scene.client.worker_pid().await;
        signal(pid, Signal::SIGKILL);
        // It is dead; the server may not know it yet.
        while is_alive(pid) {}
        assert_eq!(scene.client.rpc("echo", "1").await.unwrap(), "1");
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_worker_that_is_being_killed_is_answered_or_fails_with_the_signal() {
    let scene = Scene::begin(worker(), 2, "").await;
    for _ in 0..10 {
        let pid = scene.client.worker_pid().await;
        signal(pid, Signal::SIGKILL);
        // Until the process has run once more, its kernel takes what comes in on its behalf: it looks as if it had been read.
        match scene.client.rpc("echo", "1").await {
            Ok(answer) => assert_eq!(answer, "1"),
            Err(status) => {
                assert_eq!(status.code(), Code::Unavailable, "{status}");
                assert!(status.message().contains("signal 9 (SIGKILL)"), "{status}");
            }
        }
        // If another worker answered, this one may fail a later request until it is dead.
        eventually("it is dead", || !is_alive(pid)).await;
        scene.is_whole_again().await;
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_during_a_request_may_finish_it_when_continued() {
    let scene = Scene::begin(worker(), 2, "").await;
    let others = scene.bystanders();
    for _ in 0..2 {
        scene.is_given_up("kill:19").await;
    }
    // Substitutes serve those who wait.
    assert_eq!(scene.client.rpc("echo", "1").await.unwrap(), "1");
    for pid in crate::support::inventory::processes(&scene.server) {
        // A substitute may have left meanwhile.
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGCONT);
    }
    scene.is_whole_again().await;
    others.noticed_nothing().await;
    assert_eq!(scene.server.count_output("killing worker"), 0);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stopped_while_idle_delays_only_one_call() {
    let scene = Scene::begin(worker(), 1, "").await;
    let pid = scene.client.worker_pid().await;
    signal(pid, Signal::SIGSTOP);
    scene.is_given_up("echo").await;
    assert_eq!(scene.client.rpc("echo", "1").await.unwrap(), "1");
    signal(pid, Signal::SIGCONT);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_closes_its_output_during_a_request_fails_it_and_is_replaced() {
    for relay in RELAYS {
        let scene = Scene::begin(worker().relay(relay), 2, "").await;
        let others = scene.bystanders();
        scene.fails("closeout", Code::Unavailable, "the worker died before it answered").await;
        others.noticed_nothing().await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_worker_that_closes_its_output_costs_no_request() {
    for relay in RELAYS {
        let scene = Scene::begin(worker().relay(relay), 1, "").await;
        let pid = scene.client.worker_pid().await;
        let flag = scene.path("flag");
        assert_eq!(scene.client.rpc(&format!("closeout_later:{flag}"), "1").await.unwrap(), "1");
        scene.rests().await;
        scene.let_act(&flag).await;
        assert_eq!(scene.client.rpc("echo", "2").await.unwrap(), "2");
        eventually("it is gone", || !is_alive(pid)).await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_its_input_costs_a_worker_no_request() {
    for relay in RELAYS {
        let scene = Scene::begin(worker().relay(relay), 2, "abandon_ttl: 1s").await;
        let others = scene.bystanders();
        for n in 0..3 {
            assert_eq!(scene.client.rpc("closein", &n.to_string()).await.unwrap(), n.to_string());
        }
        scene.is_whole_again().await;
        others.noticed_nothing().await;
        scene.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shutdown_does_not_wait_for_a_worker_without_a_caller() {
    for fault in ["hang", "kill:19", "closein", "lingers:never"] {
        let scene = Scene::begin(worker(), 2, "").await;
        // Some of them answer before they misbehave.
        let _ = scene.client.rpc_within(fault, "1", std::time::Duration::from_millis(300)).await;
        scene.stops_soon().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_a_worker_may_finish_work_after_its_answer() {
    let mut scene = Scene::begin(worker(), 1, "").await;
    let flag = scene.path("flag");
    assert_eq!(scene.client.rpc(&format!("lingers:{flag}"), "1").await.unwrap(), "1");
    scene.server.signal(Signal::SIGTERM);
    // Longer than a worker may go on without a caller.
    tokio::time::sleep(std::time::Duration::from_millis(2500)).await;
    std::fs::write(flag, "").unwrap();
    assert_eq!(scene.server.exit().await.code(), Some(0));
    let end = scene.server.wait_for_output("worker stopped");
    assert!(end.contains("exit status 0"), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_a_worker_stopped_while_idle_is_continued_and_exits() {
    let scene = Scene::begin(worker(), 1, "").await;
    signal(scene.client.worker_pid().await, Signal::SIGSTOP);
    scene.stops_soon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_a_worker_that_ignores_the_stop_frame_is_killed_after_destroy_timeout() {
    let scene = Scene::begin(worker(), 2, "destroy_timeout: 1s").await;
    scene.client.rpc("stubborn", "1").await.unwrap();
    scene.stops_soon().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ignores_the_stop_frame_does_not_delay_its_successor() {
    let scene = Scene::begin(worker(), 1, "destroy_timeout: 1s, max_jobs: 10").await;
    let others = scene.bystanders();
    let pid = scene.client.worker_pid().await;
    scene.client.rpc("stubborn", "1").await.unwrap();
    eventually("it is gone", || !is_alive(pid)).await;
    others.noticed_nothing().await;
    scene.stops_soon().await;
}
