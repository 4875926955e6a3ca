//! What workers may do, how many of them there are, and who waits for them.

use std::time::Duration;

use causeway::pool::Error;
use causeway::worker::{State, Usage, usage_by_group};
use tonic::Code;

use crate::support::pool::TestPool;
use crate::support::{eventually, is_alive, json, worker};

/// Waits until this many workers have exited for this reason.
async fn have_left(test: &TestPool, reason: &str, count: u64) {
    eventually(&format!("{count} workers left: {reason}"), || {
        test.pool.stats().restarts.get(reason).copied().unwrap_or(0) >= count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_at_max_jobs_are_replaced_under_load_without_a_failure() {
    let test = worker().pool("num_workers: 2, max_jobs: 20").pool_alone().await;
    let load = test.load(4, "sleep:0.001");
    have_left(&test, "max_jobs", 6).await;
    load.end().await;
    assert_eq!(test.pool.stats().failures, 0);
    eventually("the pool is whole", || test.pids().len() >= 2).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stays_until_max_jobs() {
    let test = worker().pool("num_workers: 1, max_jobs: 5").pool_alone().await;
    let first = test.worker_pid().await;
    for _ in 0..3 {
        assert_eq!(test.worker_pid().await, first);
    }
    assert!(test.pool.stats().restarts.is_empty());
    test.worker_pid().await;
    have_left(&test, "max_jobs", 1).await;
    assert_ne!(test.worker_pid().await, first);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_workers_are_replaced_one_after_the_other() {
    let test = worker().pool("num_workers: 3, supervisor: {watch_tick: 100ms, ttl: 1s}").pool_alone().await;
    let load = test.load(2, "echo");
    let before = test.pids();
    eventually("all are replaced", || {
        assert!(test.pids().len() >= 3);
        test.pids().is_disjoint(&before)
    })
    .await;
    load.end().await;
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_workers_are_replaced_once_they_were_used() {
    let test =
        worker().pool("num_workers: 2, supervisor: {watch_tick: 50ms, idle_ttl: 300ms}").pool_alone().await;
    let before = test.pids();
    let used = test.worker_pid().await;
    have_left(&test, "idle_ttl", 1).await;
    eventually("the used one is gone", || !is_alive(used)).await;
    test.has_workers(2).await;
    let after = test.pids();
    assert_eq!(before.intersection(&after).count(), 1, "the other one was never used");
    assert_eq!(test.pool.stats().restarts.len(), 1);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_over_its_memory_limit_is_replaced_even_behind_a_wrapper() {
    let program = crate::support::repository().join("tests/workers/worker.py");
    for command in
        [format!("python3 {}", program.display()), format!("sh -c 'python3 {}; true'", program.display())]
    {
        let test = worker()
            .command(&command)
            .pool("num_workers: 1, supervisor: {watch_tick: 50ms, max_worker_memory: 90}")
            .pool_alone()
            .await;
        let pid = test.worker_pid().await;
        assert_eq!(test.rpc("sleep:0.3", "1").await.unwrap(), "1");
        assert_eq!(test.worker_pid().await, pid, "it may use less");
        assert_eq!(test.rpc("grow:100", "2").await.unwrap(), "2");
        have_left(&test, "max_worker_memory", 1).await;
        eventually("it is gone", || !is_alive(pid)).await;
        assert_ne!(test.worker_pid().await, pid);
        assert_eq!(test.pool.stats().failures, 0);
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_far_beyond_its_memory_limit_is_killed_with_its_request() {
    let server = worker()
        .pool("num_workers: 2, supervisor: {watch_tick: 50ms, max_worker_memory: 90, max_worker_memory_hard: 2.5}")
        .start();
    let client = server.client().await;
    let status = client.rpc("grow_and_hang:300", "").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert_eq!(
        status.message(),
        "the worker was killed since it used too much memory (supervisor.max_worker_memory_hard)"
    );
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_of_workers_and_reasons_of_restarts_are_reported() {
    let test = worker().pool("num_workers: 2").pool_alone().await;
    test.rpc("grow:50", "1").await.unwrap();
    let (workers, groups) = (test.pool.workers(), usage_by_group());
    assert_eq!(workers.len(), 2);
    let usage: Vec<Usage> = workers.iter().map(|worker| groups[&worker.group]).collect();
    let memory: Vec<u64> = usage.iter().map(|usage| usage.resident).collect();
    assert!(memory.iter().all(|memory| *memory > 1 << 20), "{memory:?}");
    assert_eq!(memory.iter().filter(|memory| **memory > 50 << 20).count(), 1, "{memory:?}");
    assert!(usage.iter().any(|usage| !usage.cpu.is_zero()));
    let flag = test.folder.path().join("flag");
    test.rpc(&format!("stop:{}", flag.display()), "").await.unwrap();
    test.rpc("exit:0", "").await.unwrap_err();
    let stats = test.pool.stats();
    assert_eq!((stats.requests, stats.failures, stats.restarts["requested"]), (3, 1, 1));
    assert!(stats.latency.max > Duration::ZERO && stats.latency.p50 <= stats.latency.max);
    test.has_workers(2).await;
    let pid = nix::unistd::Pid::from_raw(test.pids().first().unwrap().cast_signed());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    have_left(&test, "died", 1).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_too_long_is_killed_with_its_worker_and_children() {
    let server = worker().pool("num_workers: 1, supervisor: {exec_ttl: 3s}").start();
    let client = server.client().await;
    let child: u32 =
        json(&client.rpc("child", "").await.unwrap())["child"].as_u64().unwrap().try_into().unwrap();
    let pid = client.worker_pid().await;
    let status = client.rpc("hang", "").await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::DeadlineExceeded, "the request took longer than 3s (supervisor.exec_ttl)")
    );
    eventually("it is gone", || !is_alive(pid) && !is_alive(child)).await;
    assert_eq!(client.rpc("sleep:0.1", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_its_caller_has_gone_a_worker_has_limited_time() {
    for (pool, reason) in [
        ("num_workers: 1, supervisor: {exec_ttl: 2s}", "exec_ttl"),
        ("num_workers: 1, abandon_ttl: 300ms", "abandoned"),
    ] {
        let test = worker().pool(pool).pool_alone().await;
        let pid = test.worker_pid().await;
        let begin = std::time::Instant::now();
        assert!(tokio::time::timeout(Duration::from_millis(100), test.rpc("hang", "")).await.is_err());
        have_left(&test, reason, 1).await;
        assert!(begin.elapsed() >= Duration::from_millis(390), "{:?}", begin.elapsed());
        eventually("it is gone", || !is_alive(pid)).await;
        assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
        test.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_whose_caller_has_gone_is_substituted_and_returns_to_the_pool() {
    let setup = worker().pool("num_workers: 2");
    let flag = setup.path("flag");
    let test = setup.pool_alone().await;
    let before = test.pids();
    let method = format!("wait:{}", flag.display());
    let calls = [test.spawn_rpc(&method, ""), test.spawn_rpc(&method, "")];
    eventually("both are in hand", || test.pool.workers().iter().all(|worker| worker.executions > 0)).await;
    calls.iter().for_each(tokio::task::JoinHandle::abort);
    // No request waits, so no worker is started.
    assert_eq!(test.pids(), before);
    let load = test.load(4, "echo");
    load.goes_on(20).await;
    let with_substitutes = test.pids();
    assert!(with_substitutes.len() > 2 && with_substitutes.is_superset(&before));
    std::fs::write(&flag, "").unwrap();
    eventually("the surplus has left", || test.pids().len() == 2).await;
    load.end().await;
    assert_eq!(test.pids(), before, "the last to come are the first to go");
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_at_most_num_workers_substitutes() {
    let setup = worker().pool("num_workers: 1, abandon_ttl: 30s");
    let flag = setup.path("flag");
    let test = setup.pool_alone().await;
    let method = format!("wait:{}", flag.display());
    let in_hand = |count: usize| {
        let workers = test.pool.workers();
        workers.iter().filter(|worker| worker.executions > 0).count() == count
    };
    let first = test.spawn_rpc(&method, "");
    eventually("the first is in hand", || in_hand(1)).await;
    first.abort();
    let second = test.spawn_rpc(&method, "");
    eventually("the second is in hand", || in_hand(2)).await;
    second.abort();
    // Both go on without callers, and there may be only one substitute.
    let third = test.spawn_rpc("echo", "3");
    assert!(tokio::time::timeout(Duration::from_millis(300), test.rpc("echo", "4")).await.is_err());
    assert_eq!(test.pool.workers().len(), 2);
    std::fs::write(&flag, "").unwrap();
    assert_eq!(third.await.unwrap().unwrap(), "3");
    eventually("one is left", || test.pids().len() == 1).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_added_under_load_and_removed_after_it() {
    let test = worker()
        .pool("num_workers: 1, dynamic_allocator: {max_workers: 3, spawn_rate: 10, idle_timeout: 400ms}")
        .pool_alone()
        .await;
    let load = test.load(8, "sleep:0.02");
    eventually("the pool has grown", || test.pids().len() == 4).await;
    load.goes_on(50).await;
    assert_eq!(test.pids().len(), 4, "and no further");
    load.end().await;
    test.has_workers(1).await;
    let restarts = test.pool.stats().restarts;
    assert_eq!(restarts["unneeded"], 3, "{restarts:?}");
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_request_gets_an_additional_worker_at_once() {
    let test = worker()
        .pool("num_workers: 1, dynamic_allocator: {max_workers: 4, spawn_rate: 10, idle_timeout: 1m}")
        .pool_alone()
        .await;
    let begin = std::time::Instant::now();
    let calls: Vec<_> = (0..4).map(|n| test.spawn_rpc("sleep:6", &n.to_string())).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
    // One after the other they would take 24 seconds.
    assert!(begin.elapsed() < Duration::from_secs(18), "{:?}", begin.elapsed());
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_workers_are_added_in_a_second_than_spawn_rate_allows() {
    let test = worker()
        .pool("num_workers: 1, dynamic_allocator: {max_workers: 6, spawn_rate: 2, idle_timeout: 1m}")
        .pool_alone()
        .await;
    let begin = std::time::Instant::now();
    let load = test.load(12, "sleep:0.05");
    eventually("all are added", || test.pids().len() == 7).await;
    // Two at once, and two more in each of two further seconds.
    assert!(begin.elapsed() >= Duration::from_millis(1950), "{:?}", begin.elapsed());
    load.end().await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_of_an_additional_worker_fails_no_request() {
    let (setup, flag) = worker()
        .pool("num_workers: 1, dynamic_allocator: {max_workers: 2, spawn_rate: 10, idle_timeout: 1m}")
        .boots_unless("NO_BOOT");
    let test = setup.pool_alone().await;
    std::fs::write(&flag, "").unwrap();
    let load = test.load(4, "sleep:0.02");
    load.goes_on(50).await;
    std::fs::remove_file(&flag).unwrap();
    eventually("the pool has grown", || test.pids().len() == 3).await;
    load.end().await;
    assert_eq!(test.pool.stats().failures, 0);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_debug_mode_each_request_has_a_new_worker_and_leaves_none_behind() {
    let test = worker().pool("num_workers: 2, debug: true").pool_alone().await;
    assert!(test.pool.workers().is_empty() && test.pool.is_ready());
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..3 {
        assert!(seen.insert(test.worker_pid().await));
    }
    let status = test.rpc("error:no", "").await.unwrap_err();
    assert!(matches!(&status, Error::Worker { message, .. } if message == "no"), "{status:?}");
    test.rpc("exit:3", "").await.unwrap_err();
    // Callers who go while their worker starts, and while it works.
    let _ = tokio::time::timeout(Duration::from_millis(1), test.rpc("echo", "")).await;
    let hung = test.spawn_rpc("hang", "");
    eventually("it hangs", || test.pool.workers().iter().any(|worker| worker.state == State::Working)).await;
    hung.abort();
    let calls: Vec<_> = (0..6).map(|n| test.spawn_rpc("echo", &n.to_string())).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
    eventually("the used ones are gone", || seen.iter().all(|&pid| !is_alive(pid))).await;
    test.pool.reset().await.unwrap();
    assert!(!test.pool.add_worker().await.unwrap());
    let pool = test.pool.clone();
    // The hung one is killed with the pool.
    assert!(!pool.stop(tokio::time::Instant::now() + Duration::from_millis(300)).await);
    assert!(pool.workers().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_debug_mode_a_worker_that_does_not_boot_fails_its_request_with_the_reason() {
    let (setup, flag) = worker().pool("num_workers: 1, debug: true").boots_unless("NO_BOOT");
    let test = setup.pool_alone().await;
    std::fs::write(&flag, "").unwrap();
    for _ in 0..3 {
        let error = test.rpc("echo", "1").await.unwrap_err().to_string();
        assert!(error.contains("cannot start: the flag is set"), "{error}");
    }
    std::fs::remove_file(&flag).unwrap();
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_deadline_leaves_the_queue_and_is_not_run() {
    let setup = worker().pool("num_workers: 1, max_queue_size: 1");
    let flag = setup.path("flag");
    let test = setup.pool_alone().await;
    let busy = test.spawn_rpc(&format!("wait:{}", flag.display()), "");
    eventually("it is in hand", || test.pool.workers()[0].executions == 1).await;
    let late = test.rpc_within("echo", "1", Duration::from_millis(50)).await.unwrap_err();
    assert!(matches!(late, Error::DeadlineExceeded), "{late}");
    assert_eq!(test.pool.waiting(), 0);
    let waiting = test.spawn_rpc("echo", "2");
    eventually("it waits", || test.pool.waiting() == 1).await;
    assert_eq!(test.rpc("echo", "3").await.unwrap_err(), Error::QueueFull { limit: 1 });
    std::fs::write(&flag, "").unwrap();
    busy.await.unwrap().unwrap();
    assert_eq!(waiting.await.unwrap().unwrap(), "2");
    assert_eq!(json(&test.rpc("pid", "").await.unwrap())["handled"], 3);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_death_is_noticed_though_a_child_in_another_group_holds_the_pipes() {
    let test = worker().pool("num_workers: 1").pool_alone().await;
    let pid = test.worker_pid().await;
    let folder = test.folder.path().join("stop");
    let call = test.rpc(&format!("daemon:{}", folder.display()), "").await;
    assert!(matches!(call, Err(Error::WorkerDied { .. })), "{call:?}");
    assert_ne!(test.worker_pid().await, pid);
    std::fs::write(folder, "").unwrap();
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retiring_worker_that_closes_its_output_is_killed() {
    let setup = worker().pool("num_workers: 1");
    let flag = setup.path("flag");
    let test = setup.pool_alone().await;
    let pid = test.worker_pid().await;
    let call = test.spawn_rpc(&format!("closeout_when:{}", flag.display()), "");
    eventually("it is in hand", || test.pool.workers()[0].executions == 2).await;
    test.pool.reset().await.unwrap();
    std::fs::write(&flag, "").unwrap();
    call.await.unwrap().unwrap_err();
    eventually("it is gone", || !is_alive(pid)).await;
    test.end().await;
}
