//! Workers that do not start, and workers that connect twice.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::inventory::{Scene, processes};
use crate::support::{PATIENCE, eventually, is_alive, worker};

async fn is_served(scene: &Scene) {
    let deadline = Instant::now() + PATIENCE;
    while scene.client.rpc("echo", "1").await.is_err() {
        assert!(Instant::now() < deadline, "the pool does not heal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_workers_cannot_start_fails_requests_at_once_and_recovers_by_itself() {
    let (setup, flag) = worker().boots_unless("NO_BOOT");
    let scene = Scene::begin(setup, 2, "").await;
    std::fs::write(&flag, "").unwrap();
    for _ in 0..2 {
        scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
    }
    scene.server.wait_for_output("cannot start worker");
    // A call may come at a moment when one is just being tried, and waits for that.
    let status = scene.client.rpc("echo", "1").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("exit status 7"), "{status}");
    std::fs::remove_file(&flag).unwrap();
    is_served(&scene).await;
    scene.ends_well().await;
}

/// A worker dies, and its successors do not start until later; `message` is the reason that is logged.
async fn a_successor_does_not_start(variable: &str, pool: &str, message: &str) {
    let (setup, flag) = worker().boots_unless(variable);
    let scene = Scene::begin(setup, 2, pool).await;
    let others = scene.bystanders();
    std::fs::write(&flag, "").unwrap();
    scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
    scene.server.wait_for_output(message);
    std::fs::remove_file(&flag).unwrap();
    scene.is_whole_again().await;
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_cannot_be_replaced_does_not_affect_the_others() {
    a_successor_does_not_start("NO_BOOT", "", "cannot start worker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_becomes_ready_is_given_up_and_leaves_nothing() {
    let pool = "allocate_timeout: 8s";
    a_successor_does_not_start("BOOT_HANGS", pool, "was not ready within 8s (pool.allocate_timeout)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_start_delays_no_request_while_another_worker_is_free() {
    let scene = Scene::begin(worker().env("BOOT_TAKES", "1"), 2, "").await;
    let others = scene.bystanders();
    scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
    others.noticed_nothing().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_wait_for_a_worker_that_is_starting() {
    let scene = Scene::begin(worker().env("BOOT_TAKES", "1"), 1, "").await;
    scene.client.rpc("echo", "1").await.unwrap();
    scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
    let calls: Vec<_> = (0..5).map(|n| scene.client.spawn_rpc("echo", &n.to_string())).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_boots_are_retried_with_growing_pauses() {
    let (setup, flag) = worker().boots_unless_with("BOOT_FAILS", ":8");
    let scene = Scene::begin(setup, 4, "").await;
    std::fs::write(&flag, "").unwrap();
    let begin = Instant::now();
    for pid in worker_pids(&scene).await {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid.cast_signed()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        eventually("it is gone", || !is_alive(pid)).await;
    }
    is_served(&scene).await;
    // The first four are started at about the same time and count as one failure, or as two when the first pause is over before the
    // last of them is started: then there are 4 or 5 further ones, and pauses of 100 ms to 1.6 s or 3.2 s.
    assert!(begin.elapsed() >= Duration::from_millis(1400), "{:?}", begin.elapsed());
    assert_eq!(std::fs::read_to_string(&flag).unwrap().trim().parse::<u32>().unwrap().min(9), 9);
    scene.ends_well().await;
}

async fn worker_pids(scene: &Scene) -> Vec<u32> {
    let mut pids = std::collections::BTreeSet::new();
    while pids.len() < 4 {
        let calls: Vec<_> = (0..8).map(|_| scene.client.spawn_rpc("pid", "")).collect();
        for call in calls {
            let answer = crate::support::json(&call.await.unwrap().unwrap());
            pids.insert(u32::try_from(answer["pid"].as_u64().unwrap()).unwrap());
        }
    }
    pids.into_iter().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_connects_twice_is_served_on_the_connection_that_it_uses() {
    for relay in ["tcp", "unix"] {
        for used in ["first", "second", "either"] {
            let scene = Scene::begin(worker().relay(relay).env("CONNECTS_TWICE", used), 2, "").await;
            let others = scene.bystanders();
            for n in 0..20 {
                assert_eq!(scene.client.rpc("echo", &n.to_string()).await.unwrap(), n.to_string());
            }
            scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
            others.noticed_nothing().await;
            if (relay, used) != ("tcp", "first") && (relay, used) != ("tcp", "second") {
                scene.server.wait_for_output("is already connected");
            }
            scene.ends_well().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_handshake_do_not_delay_shutdown() {
    for relay in ["tcp", "unix"] {
        let (setup, flag) = worker().boots_unless("BOOT_HANGS");
        let scene = Scene::begin(setup.relay(relay), 2, "").await;
        let silent: Vec<Box<dyn std::any::Any>> = (0..3)
            .map(|_| match relay {
                "unix" => {
                    Box::new(std::os::unix::net::UnixStream::connect(scene.path("relay.sock")).unwrap())
                        as Box<dyn std::any::Any>
                }
                _ => Box::new(std::net::TcpStream::connect(relay_address(&scene)).unwrap()),
            })
            .collect();
        // One worker is starting and will never be ready.
        std::fs::write(&flag, "").unwrap();
        scene.fails("exit:3", Code::Unavailable, "exit status 3").await;
        eventually("a successor is starting", || processes(&scene.server).len() == 4).await;
        scene.stops_soon().await;
        drop(silent);
    }
}

/// The address that workers connect to.
fn relay_address(scene: &Scene) -> String {
    let environ = processes(&scene.server).into_iter().find_map(|pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let entries =
            environ.split(|byte| *byte == 0).map(|entry| String::from_utf8_lossy(entry).into_owned());
        entries.into_iter().find_map(|entry| Some(entry.strip_prefix("RR_RELAY=tcp://")?.to_owned()))
    });
    environ.unwrap()
}
