//! Replacing all workers while requests go on.

use std::collections::BTreeSet;
use std::time::Duration;

use causeway::pool::ResetError;

use crate::support::{eventually, is_alive, json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn resets_in_a_row_under_load_fail_no_request_and_leave_no_old_worker() {
    let test = worker().pool("num_workers: 3").pool_alone().await;
    let load = test.load(6, "sleep:0.002");
    load.goes_on(20).await;
    let mut seen: BTreeSet<u32> = test.pids();
    for _ in 0..20 {
        let before = test.pids();
        test.pool.reset().await.unwrap();
        let after = test.pids();
        assert!(before.is_disjoint(&after), "{before:?} {after:?}");
        assert!(after.len() >= 3);
        seen.extend(after);
        load.goes_on(5).await;
    }
    let slowest = load.end().await;
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
    test.has_workers(3).await;
    let now = test.pids();
    eventually("the old ones are gone", || seen.difference(&now).all(|&pid| !is_alive(pid))).await;
    assert_eq!(test.pool.stats().restarts["reset"], 60);
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_workers_are_replaced_there_are_never_fewer_than_num_workers() {
    let test = worker().pool("num_workers: 4").env("BOOT_TAKES", "0.05").pool_alone().await;
    let pool = test.pool.clone();
    let reset = tokio::spawn(async move { pool.reset().await });
    while !reset.is_finished() {
        let ready = test.pids().len();
        assert!((4..=5).contains(&ready), "{ready}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    reset.await.unwrap().unwrap();
    test.has_workers(4).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_that_does_not_boot_keeps_the_old_workers_and_says_why() {
    let (setup, flag) = worker().pool("num_workers: 3").boots_unless("NO_BOOT");
    let test = setup.pool_alone().await;
    let load = test.load(4, "echo");
    let before = test.pids();
    std::fs::write(&flag, "").unwrap();
    for _ in 0..2 {
        let error = test.pool.reset().await.unwrap_err();
        let words = error.to_string();
        assert!(
            words.contains("exit status 7") && words.contains("cannot start: the flag is set"),
            "{words}"
        );
        assert!(matches!(error, ResetError::Boot(_)));
        assert_eq!(test.pids(), before);
        load.goes_on(10).await;
    }
    std::fs::remove_file(&flag).unwrap();
    test.pool.reset().await.unwrap();
    assert!(test.pids().is_disjoint(&before));
    load.end().await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_resets_at_once_are_two_at_most() {
    let test = worker().pool("num_workers: 2").env("BOOT_TAKES", "0.05").pool_alone().await;
    let resets: Vec<_> = (0..20).map(|_| test.pool.reset()).collect();
    assert_eq!(futures_util::future::join_all(resets).await, [const { Ok(()) }; 20]);
    // The first one began before the others were asked for.
    let replaced = test.pool.stats().restarts["reset"];
    assert!(replaced <= 4, "{replaced}");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_reset_during_a_reset_no_worker_runs_code_from_before_it() {
    let setup = worker().pool("num_workers: 4").env("BOOT_TAKES", "0.3");
    let current = setup.path("current");
    let releases = ["one", "two", "three"].map(|name| setup.path(name));
    for release in &releases {
        std::fs::create_dir(release).unwrap();
    }
    let [one, two, three] = releases;
    std::os::unix::fs::symlink(one, &current).unwrap();
    let test = setup.work_dir(&current).pool_alone().await;
    let point_to = |release: &std::path::Path| {
        let moved = test.folder.path().join("moved");
        std::os::unix::fs::symlink(release, &moved).unwrap();
        std::fs::rename(&moved, &current).unwrap();
    };
    let before = test.pids();
    point_to(&two);
    let pool = test.pool.clone();
    let first = tokio::spawn(async move { pool.reset().await });
    eventually("the first worker is replaced", || !test.pids().is_subset(&before)).await;
    point_to(&three);
    test.pool.reset().await.unwrap();
    for pid in test.pids() {
        assert_eq!(std::fs::read_link(format!("/proc/{pid}/cwd")).unwrap(), three.canonicalize().unwrap());
    }
    first.await.unwrap().unwrap();
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resets_that_come_faster_than_workers_boot_replace_them_all_the_same() {
    let setup = worker().pool("num_workers: 2, reset_timeout: 60s");
    let test = setup.env("BOOT_TAKES", "1.5").pool_alone().await;
    let mut old = test.pids();
    let mut resets = Vec::new();
    while !old.is_empty() {
        let pool = test.pool.clone();
        resets.push(tokio::spawn(async move { pool.reset().await }));
        assert!(resets.len() < 60, "{old:?} were not replaced");
        tokio::time::sleep(Duration::from_millis(500)).await;
        old.retain(|pid| test.pids().contains(pid));
    }
    for reset in resets {
        assert_eq!(reset.await.unwrap(), Ok(()));
    }
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_does_not_wait_for_requests_and_lets_them_finish() {
    let setup = worker().pool("num_workers: 1");
    let flag = setup.path("flag");
    let test = setup.pool_alone().await;
    let pid = test.worker_pid().await;
    let long = test.spawn_rpc(&format!("wait:{}", flag.display()), "long");
    eventually("the request is in hand", || test.pool.workers()[0].executions == 2).await;
    test.pool.reset().await.unwrap();
    assert_ne!(test.worker_pid().await, pid);
    assert!(is_alive(pid));
    std::fs::write(&flag, "").unwrap();
    assert_eq!(long.await.unwrap().unwrap(), "long");
    eventually("the old one is gone", || !is_alive(pid)).await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_that_takes_too_long_fails_and_keeps_the_old_workers() {
    let setup = worker().pool("num_workers: 2, reset_timeout: 1s");
    let slow = setup.path("slow");
    std::fs::write(&slow, "").unwrap();
    // Boots of the second generation wait for ever.
    let command = format!(
        "sh -c 'test -e {0} || exec sleep 1000; exec python3 {1}'",
        slow.display(),
        crate::support::repository().join("tests/workers/worker.py").display()
    );
    let test = setup.command(&command).pool_alone().await;
    let before = test.pids();
    std::fs::remove_file(&slow).unwrap();
    assert_eq!(test.pool.reset().await, Err(ResetError::Timeout(Duration::from_secs(1))));
    assert_eq!(test.pids(), before);
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn new_workers_start_where_a_moved_symlink_points() {
    let setup = worker();
    for release in ["one", "two"] {
        std::fs::create_dir(setup.path(release)).unwrap();
    }
    let current = setup.path("current");
    std::os::unix::fs::symlink(setup.path("one"), &current).unwrap();
    let test = setup.work_dir(&current).pool_alone().await;
    let cwd = |answer: String| json(&answer)["cwd"].as_str().unwrap().to_owned();
    assert!(cwd(test.rpc("process", "").await.unwrap()).ends_with("/one"));
    let moved = test.folder.path().join("moved");
    std::os::unix::fs::symlink(test.folder.path().join("two"), &moved).unwrap();
    std::fs::rename(&moved, &current).unwrap();
    test.pool.reset().await.unwrap();
    assert!(cwd(test.rpc("process", "").await.unwrap()).ends_with("/two"));
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_can_be_added_and_removed_except_the_last_one() {
    let test = worker().pool("num_workers: 1").pool_alone().await;
    assert!(test.pool.add_worker().await.unwrap());
    assert!(test.pool.add_worker().await.unwrap());
    test.has_workers(3).await;
    assert_eq!(test.pool.stats().target, 3);
    let load = test.load(4, "echo");
    assert!(test.pool.remove_worker().await.unwrap());
    assert!(test.pool.remove_worker().await.unwrap());
    assert!(!test.pool.remove_worker().await.unwrap());
    test.has_workers(1).await;
    load.end().await;
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_retries_failed_starts_at_once() {
    let (setup, flag) = worker().boots_unless("NO_BOOT");
    let test = setup.pool_alone().await;
    std::fs::write(&flag, "").unwrap();
    test.rpc("exit:3", "").await.unwrap_err();
    eventually("starts have failed", || !test.pool.is_ready()).await;
    std::fs::remove_file(&flag).unwrap();
    test.pool.reset().await.unwrap();
    assert!(test.pool.is_ready());
    assert_eq!(test.rpc("echo", "1").await.unwrap(), "1");
    test.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_during_shutdown_fails_with_that_reason() {
    let test = worker().pool_alone().await;
    let pool = test.pool.clone();
    test.end().await;
    assert_eq!(pool.reset().await, Err(ResetError::ShuttingDown));
    assert!(pool.add_worker().await.is_err());
    assert!(!pool.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_started_in_a_symlinked_directory_keeps_the_symlink() {
    let setup = worker();
    let one = setup.path("one");
    std::fs::create_dir(&one).unwrap();
    let current = setup.path("current");
    std::os::unix::fs::symlink(&one, &current).unwrap();
    // A shell that enters a symlink keeps it in PWD.
    let program = format!("cd {} && exec \"$0\" \"$@\" -c ../.rr.yaml -w .", current.display());
    let server = setup.through(&["sh", "-c", &program]).start();
    let client = server.client().await;
    assert!(json(&client.rpc("process", "").await.unwrap())["cwd"].as_str().unwrap().ends_with("/one"));
    let two = server.folder.path().join("two");
    std::fs::create_dir(&two).unwrap();
    std::fs::remove_file(&current).unwrap();
    std::os::unix::fs::symlink(&two, &current).unwrap();
    client.rpc("exit:0", "").await.unwrap_err();
    assert!(json(&client.rpc("process", "").await.unwrap())["cwd"].as_str().unwrap().ends_with("/two"));
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_replaced_when_a_watched_file_changes() {
    for (pool, file, arguments) in [
        ("num_workers: 1, watch: ['src/*.txt']", "src/a.txt", ""),
        ("num_workers: 1", "src/app.py", "--watch"),
    ] {
        let setup = worker().pool(pool);
        std::fs::create_dir(setup.path("src")).unwrap();
        let server = setup.through(&["sh", "-c", &format!("exec \"$@\" {arguments}"), "sh"]).start();
        let client = server.client().await;
        let pid = client.worker_pid().await;
        std::fs::write(server.folder.path().join("src/other.md"), "nothing of interest").unwrap();
        std::fs::write(server.folder.path().join(file), "new").unwrap();
        eventually("the old worker is gone", || !is_alive(pid)).await;
        assert_ne!(client.worker_pid().await, pid);
        server.wait_for_output(file);
    }
}
