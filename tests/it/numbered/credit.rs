//! How many requests a worker wants in flight.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::many;
use crate::support::{eventually, is_alive};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_wants_before_it_is_lent_counts() {
    let test = many(8).env("FIRST_CREDIT", "1").pool_alone().await;
    // Its answer comes behind what it wants.
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    let wait = format!("wait:{}", test.path("flag").display());
    let calls: Vec<_> = (0..2).map(|_| test.spawn_rpc(&wait, "2")).collect();
    test.has_in_hand(&[1]).await;
    eventually("the other one waits", || test.pool.waiting() == 1).await;
    std::fs::write(test.path("flag"), "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "2");
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_wants_nothing_for_long_has_a_substitute_until_it_wants_something() {
    let test = many(4).pool_alone().await;
    let pid = test.single().pid;
    let more = test.path("more");
    assert_eq!(test.rpc(&format!("credit:4,{}", more.display()), "1").await.unwrap(), "1");
    assert_eq!(test.rpc("credit:0", "2").await.unwrap(), "2");
    assert_eq!(test.rpc("echo", "3").await.unwrap(), "3", "another one answers");
    assert!(is_alive(pid));
    test.has_workers(2).await;
    std::fs::write(&more, "").unwrap();
    test.has_workers(1).await;
    assert_eq!(test.rpc("echo", "4").await.unwrap(), "4");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_worker_that_wants_nothing_is_replaced() {
    let test = many(4).pool("num_workers: 1, abandon_ttl: 1s").pool_alone().await;
    let pid = test.single().pid;
    assert_eq!(test.rpc("credit:0", "1").await.unwrap(), "1");
    kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGSTOP).unwrap();
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2");
    eventually("it is replaced", || !test.pids().contains(&pid)).await;
    test.end().await;
}
