//! Workers with large answers.

use std::time::Duration;

use tonic::Code;

use crate::support::inventory::Scene;
use crate::support::neighbour::is_unharmed;
use crate::support::{Server, eventually, worker};

/// Workers that stop in the middle of their answers.
const STALLED: usize = 30;

/// How large their answers are at that point, in MB.
const SENT: usize = 60;

/// What the server holds in memory now, in MB.
fn resident(server: &Server) -> usize {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4 / 1024
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn unfinished_answers_of_many_workers_are_bounded_in_total() {
    let setup = || worker().pool(&format!("num_workers: {}", STALLED + 2));
    is_unharmed("answers that never end", 320, setup, async |server| {
        let callers: Vec<_> = futures_util::future::join_all((0..STALLED).map(|_| server.client())).await;
        let stalled: Vec<_> =
            callers.iter().map(|caller| caller.spawn_rpc(&format!("stall:{SENT}"), "")).collect();
        // Some have sent all of it; then the others wait for memory.
        eventually("workers have filled the memory", || server.count_output("it stalls") >= 2).await;
        let client = server.client().await;
        for _ in 0..10 {
            assert_eq!(client.rpc("large:2", "").await.unwrap().len(), 2 << 20);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        println!("{} MB", resident(server));
        stalled.iter().for_each(tokio::task::JoinHandle::abort);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_answers_that_are_held_until_their_echo_are_bounded_in_total() {
    let scene = Scene::begin(worker(), 12, "").await;
    let (server, client) = (&scene.server, &scene.client);
    // A worker answers while it is idle; so all answers are held from then on.
    let flag = scene.path("flag");
    assert_eq!(client.rpc(&format!("again:{flag}"), "1").await.unwrap(), "1");
    scene.rests().await;
    scene.let_act(&flag).await;
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    server.wait_for_output("answers are now held");
    let callers: Vec<_> = futures_util::future::join_all((0..10).map(|_| server.client())).await;
    let _stalled: Vec<_> = callers.iter().map(|caller| caller.spawn_rpc("stall:64", "")).collect();
    eventually("two answers are held", || server.count_output("it stalls") >= 2).await;
    assert_eq!(client.rpc("large:5", "").await.unwrap().len(), 5 << 20);
    assert!(resident(server) < 320, "{} MB", resident(server));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_waits_for_memory_arrives_when_others_have_been_given_up() {
    let server = worker().pool("num_workers: 4, abandon_ttl: 200ms").start();
    let (attacker, client) = (server.client().await, server.client().await);
    let stalled: Vec<_> = (0..2).map(|_| attacker.spawn_rpc(&format!("stall:{SENT}"), "")).collect();
    eventually("two answers are unfinished", || server.count_output("it stalls") == 2).await;
    // Larger than a worker's part of the memory.
    let waits = client.spawn_rpc("large:50", "");
    assert_eq!(client.rpc("large:20", "").await.unwrap().len(), 20 << 20);
    stalled.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(waits.await.unwrap().unwrap().len(), 50 << 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_waits_for_memory_arrives_though_others_are_stuck_in_theirs() {
    let server = worker().pool("num_workers: 4").start();
    let (attacker, client) = (server.client().await, server.client().await);
    let _stalled: Vec<_> = (0..2).map(|_| attacker.spawn_rpc(&format!("stall:{SENT}"), "")).collect();
    eventually("two answers are unfinished", || server.count_output("it stalls") == 2).await;
    let answer = client.rpc_within("large:50", "", Duration::from_secs(30)).await;
    assert_eq!(answer.unwrap().len(), 50 << 20);
    assert!(server.count_output("it stopped in a large answer") >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_deadline_is_kept_while_its_answer_waits_for_memory() {
    let server = worker().pool("num_workers: 4").start();
    let (attacker, client) = (server.client().await, server.client().await);
    let _stalled: Vec<_> = (0..2).map(|_| attacker.spawn_rpc(&format!("stall:{SENT}"), "")).collect();
    eventually("two answers are unfinished", || server.count_output("it stalls") == 2).await;
    // Before the others are given up.
    let status = client.rpc_within("large:50", "", Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_hold_no_memory_of_their_large_answers() {
    let server = worker().pool("num_workers: 6").start();
    let callers: Vec<_> = futures_util::future::join_all((0..6).map(|_| server.client())).await;
    let answers: Vec<_> = callers.iter().map(|caller| caller.spawn_rpc("large:20", "")).collect();
    for answer in answers {
        assert_eq!(answer.await.unwrap().unwrap().len(), 20 << 20);
    }
    eventually("the memory is released", || resident(&server) < 64).await;
}
