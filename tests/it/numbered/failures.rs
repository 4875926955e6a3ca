//! What goes wrong with one request, or with the worker, and whom it concerns.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway::pool::Error;
use tonic::Code;

use super::{many, one_at_a_time};
use crate::support::inventory::Scene;
use crate::support::pool::TestPool;
use crate::support::{eventually, is_alive};

/// Callers that go away at once: these requests are in hand, and nobody waits for them.
async fn abandon(test: &TestPool, method: &str, times: u64) {
    let before = test.begun();
    let calls: Vec<_> = (0..times).map(|_| test.spawn_rpc(method, "\"abandoned\"")).collect();
    test.has_begun(before + times).await;
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_hears_why_an_answer_is_not_wanted_any_more() {
    let scene = Scene::begin(many(8), 1, "supervisor: {exec_ttl: 20s}").await;
    let test = scene.server.folder.path().join("notes");
    let notes = || std::fs::read_to_string(&test).unwrap_or_default();
    let deadline = scene.client.rpc_within("obey", "", Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(deadline.code(), Code::DeadlineExceeded);
    eventually("it hears of the deadline", || notes().contains("cancel deadline\n")).await;
    let gone = scene.client.spawn_rpc("obey", "");
    scene.is_given_up("late").await;
    gone.abort();
    eventually("it hears of the caller", || notes().contains("cancel gone\n")).await;
    scene.rests().await;
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_after_its_cancellation_is_dropped_and_the_unit_comes_back() {
    let test = many(2).pool_alone().await;
    let pid = test.single().pid;
    for method in ["late", "obey"] {
        abandon(&test, method, 2).await;
        test.has_in_hand(&[0]).await;
    }
    test.has_noted("cancel gone", 4).await;
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    assert_eq!(test.single().pid, pid);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_never_finished_costs_one_unit_and_a_quarter_of_them_the_worker() {
    let test = many(8).pool("num_workers: 1, abandon_ttl: 300ms").pool_alone().await;
    let pid = test.single().pid;
    abandon(&test, "hang", 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    test.has_in_hand(&[1]).await;
    assert_eq!(test.single().pid, pid);
    let flag = test.path("flag");
    let healthy = test.spawn_rpc(&format!("wait:{}", flag.display()), "1");
    test.has_in_hand(&[2]).await;
    abandon(&test, "hang", 1).await;
    // It is replaced, and gets nothing new, but goes on with what somebody waits for.
    eventually("there is another one", || test.pids().len() == 1 && !test.pids().contains(&pid)).await;
    test.has_noted("drain", 1).await;
    assert!(is_alive(pid));
    std::fs::write(&flag, "").unwrap();
    assert_eq!(healthy.await.unwrap().unwrap(), "1");
    // Nothing else is in hand now.
    eventually("it is killed", || !is_alive(pid)).await;
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_fails_alone() {
    let test = many(8).pool("num_workers: 1, supervisor: {exec_ttl: 1s}").pool_alone().await;
    let pid = test.single().pid;
    let load = test.load(2, "echo");
    let error = test.rpc("obey", "").await.unwrap_err();
    assert_eq!(error, Error::ExecTtl { limit: Duration::from_secs(1) });
    test.has_noted("cancel exec_ttl", 1).await;
    load.goes_on(10).await;
    load.end().await;
    test.has_in_hand(&[0]).await;
    assert_eq!(test.single().pid, pid);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_requests_all_take_too_long_is_killed() {
    let test = many(4).pool("num_workers: 1, supervisor: {exec_ttl: 1s}").pool_alone().await;
    let pid = test.single().pid;
    let calls: Vec<_> = (0..4).map(|_| test.spawn_rpc("hang", "")).collect();
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(Error::ExecTtl { .. })));
    }
    eventually("it is killed", || !is_alive(pid)).await;
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    assert!(test.pool.stats().restarts.contains_key("exec_ttl"));
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_under_wrong_numbers_are_dropped_and_the_second_one_costs_the_worker() {
    // The first one of each worker has been answered.
    for method in ["twice", "together", "wrong:1000", "wrong:0", "wrong:1", "wrong:first"] {
        let test = many(4).pool_alone().await;
        let pid = test.single().pid;
        assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
        let flag = test.path("flag");
        let in_hand = test.spawn_rpc(&format!("wait:{}", flag.display()), "2");
        test.has_in_hand(&[1]).await;
        assert_eq!(test.rpc(method, "3").await.unwrap(), "3", "{method}");
        assert_eq!(test.pids(), BTreeSet::from([pid]), "once is forgiven");
        assert_eq!(test.rpc(method, "4").await.unwrap(), "4", "{method}");
        eventually("it is replaced", || !test.pids().contains(&pid)).await;
        std::fs::write(&flag, "").unwrap();
        assert_eq!(in_hand.await.unwrap().unwrap(), "2", "{method}");
        eventually("it has left", || !is_alive(pid)).await;
        assert_eq!(test.pool.stats().restarts, BTreeMap::from([("misnumbered", 1)]), "{method}");
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_numbers_answer_no_request_that_waits_in_the_worker_s_pipe() {
    let test = one_at_a_time(64).pool_alone().await;
    let flag = test.path("flag");
    let guesses = test.spawn_rpc(&format!("guess:{}", flag.display()), "\"mine\"");
    test.has_begun(1).await;
    let others: Vec<_> = (0..30).map(|n| test.spawn_rpc("echo", &n.to_string())).collect();
    test.has_in_hand(&[31]).await;
    std::fs::write(&flag, "").unwrap();
    assert_eq!(guesses.await.unwrap().unwrap(), "\"mine\"");
    for (n, call) in others.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
    eventually("it is replaced", || test.pool.stats().restarts == BTreeMap::from([("misnumbered", 1)])).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_worker_dies_what_it_has_read_fails_and_is_not_run_again() {
    for method in ["exit:3", "kill:9", "broken", "unnumbered", "pid_of_another"] {
        let test = many(16).pool_alone().await;
        let flag = test.path("flag");
        let wait = format!("wait:{}", flag.display());
        let calls: Vec<_> = (0..10).map(|n| test.spawn_rpc(&wait, &n.to_string())).collect();
        test.has_begun(10).await;
        assert!(test.rpc(method, "").await.is_err());
        for call in calls {
            let error = call.await.unwrap().unwrap_err();
            assert!(matches!(error, Error::WorkerDied { .. } | Error::Broken { .. }), "{method}: {error}");
        }
        std::fs::write(&flag, "").unwrap();
        assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_closes_its_input_finishes_what_it_has_read() {
    let test = many(8).pool("num_workers: 1, destroy_timeout: 1s").pool_alone().await;
    let pid = test.single().pid;
    let flag = test.path("flag");
    let wait = format!("wait:{}", flag.display());
    let mut calls: Vec<_> = (0..3).map(|_| test.spawn_rpc(&wait, "1")).collect();
    calls.push(test.spawn_rpc(&format!("closes_input:{}", flag.display()), "1"));
    eventually("it has closed its input", || test.path("flag.closed").exists()).await;
    assert_eq!(test.rpc("echo", "2").await.unwrap(), "2", "another one has it");
    assert!(is_alive(pid));
    std::fs::write(&flag, "").unwrap();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), "1");
    }
    eventually("it is stopped", || !is_alive(pid)).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_worker_has_not_read_is_run_by_another_one_and_nothing_twice() {
    let test = one_at_a_time(64).pool_alone().await;
    let flag = test.path("flag");
    let first = test.spawn_rpc(&format!("count:exit,{}", flag.display()), "first");
    test.has_noted("first", 1).await;
    // They lie in its pipe, more of them than that holds.
    let data = |n: usize| format!("{n}-{}", "x".repeat(10_000));
    let others: Vec<_> = (0..30).map(|n| test.spawn_rpc("count:", &data(n))).collect();
    test.has_in_hand(&[31]).await;
    std::fs::write(&flag, "").unwrap();
    assert!(matches!(first.await.unwrap(), Err(Error::WorkerDied { .. })));
    for (n, call) in others.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), data(n));
    }
    let notes = test.notes();
    let unique: BTreeSet<_> = notes.iter().collect();
    assert_eq!((notes.len(), unique.len()), (31, 31), "nothing is run twice");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_loop_is_reported_and_killed_once_the_time_of_a_request_is_over() {
    let scene = Scene::begin(one_at_a_time(16), 1, "abandon_ttl: 2s").await;
    let pid = scene.client.worker_pid().await;
    scene.is_given_up("hang").await;
    let waiting = scene.client.spawn_rpc("echo", "1");
    scene.server.wait_for_output("worker does not respond: its event loop may be blocked");
    eventually("it is killed", || !is_alive(pid)).await;
    assert_eq!(waiting.await.unwrap().unwrap(), "1", "it had not read this one");
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_is_blocked_for_a_while_goes_on() {
    let scene = Scene::begin(one_at_a_time(16), 1, "").await;
    let pid = scene.client.worker_pid().await;
    let flag = scene.path("flag");
    let blocked = scene.client.spawn_rpc(&format!("wait:{flag}"), "1");
    scene.server.wait_for_output("worker does not respond");
    std::fs::write(&flag, "").unwrap();
    assert_eq!(blocked.await.unwrap().unwrap(), "1");
    scene.server.wait_for_output("worker responds again");
    assert_eq!(scene.client.worker_pid().await, pid);
    scene.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_that_goes_on_as_a_worker_gives_no_caller_the_answer_of_another() {
    let test = many(8).pool("num_workers: 1, abandon_ttl: 500ms").pool_alone().await;
    assert_eq!(test.rpc("doubled", "1").await.unwrap(), "1");
    for n in 0..200 {
        let data = n.to_string();
        // Frames are torn between the two: some are lost, and then the worker is replaced.
        if let Ok(Ok(answer)) =
            tokio::time::timeout(Duration::from_millis(500), test.rpc("echo", &data)).await
        {
            assert_eq!(answer, data);
        }
    }
    let deadline = tokio::time::Instant::now() + crate::support::PATIENCE;
    while tokio::time::timeout(Duration::from_secs(1), test.rpc("echo", "2")).await.is_err() {
        assert!(tokio::time::Instant::now() < deadline, "it is not replaced");
    }
    let _ = test.pool.stop(tokio::time::Instant::now() + Duration::from_secs(5)).await;
}
