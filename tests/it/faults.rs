//! What happens to whom when a worker misbehaves.

use std::time::{Duration, Instant};

use tonic::Code;

use crate::support::{PATIENCE, eventually, is_alive, json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_answer_is_never_given_to_the_next_request() {
    let server = worker().start();
    let client = server.client().await;
    for n in 0..50 {
        assert_eq!(client.rpc("twice", &n.to_string()).await.unwrap(), n.to_string());
        assert_eq!(client.rpc("echo", &format!("e{n}")).await.unwrap(), format!("e{n}"));
    }
    server.wait_for_output("dropped an answer that nobody asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_comes_later_while_the_worker_is_idle_is_dropped() {
    let server = worker().start();
    let client = server.client().await;
    assert_eq!(client.rpc("later:0.05", "1").await.unwrap(), "1");
    tokio::time::sleep(Duration::from_millis(200)).await;
    for n in 0..5 {
        assert_eq!(client.rpc("echo", &n.to_string()).await.unwrap(), n.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_ends_without_an_answer_fails_its_request_soon_and_its_worker_lives() {
    let server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    for _ in 0..3 {
        let begin = Instant::now();
        let status = client.rpc("nothing", "").await.unwrap_err();
        assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
        assert_eq!(
            (status.code(), status.message()),
            (Code::Internal, "the worker finished this request without answering it")
        );
        assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    }
    assert_eq!(client.worker_pid().await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_reads_ahead_is_noticed_and_answers_rightly() {
    let server = worker().env("READS_AHEAD", "1").start();
    let client = server.client().await;
    for n in 0..20 {
        assert_eq!(client.rpc("sleep:0.02", &n.to_string()).await.unwrap(), n.to_string());
    }
    server.wait_for_output("reads ahead");
    assert_eq!(server.count_output("reads ahead"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_worker_that_reads_ahead_never_answers_the_wrong_request() {
    let server = worker().env("READS_AHEAD", "1").pool("num_workers: 1, abandon_ttl: 5s").start();
    let client = server.client().await;
    let first = client.rpc("sleep:0.6", "\"first\"").await;
    for n in 0..10 {
        if let Ok(data) = client.rpc("sleep:0.3", &n.to_string()).await {
            assert_eq!(data, n.to_string());
        }
    }
    assert!(first.is_err() || first.unwrap() == "\"first\"");
    assert_eq!(client.rpc("echo", "7").await.unwrap(), "7");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_fence_workers_are_trusted_to_answer_once() {
    let server = worker().pool("num_workers: 2, fence: false").start();
    let client = server.client().await;
    let calls: Vec<_> = (0..100).map(|n| client.spawn_rpc("echo", &n.to_string())).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn text_on_standard_output_costs_nothing() {
    let server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(client.rpc("noise", "1").await.unwrap(), "1");
    }
    for half in 1..12 {
        assert_eq!(client.rpc(&format!("half:{half}"), "2").await.unwrap(), "2");
    }
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_eq!(client.worker_pid().await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_soft_error_fails_its_request_with_the_worker_s_words() {
    let server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    for text in ["soft failure", "", "line 1\nline ä"] {
        let status = client.rpc(&format!("error:{text}"), "").await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Internal, text));
    }
    assert_eq!(client.worker_pid().await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_protocol_fails_its_request_alone_and_is_replaced() {
    for (fault, words) in [
        ("broken", "wrong checksum"),
        ("huge", "a frame of 3000000000 bytes"),
        ("options:0", "0 options instead of one"),
        ("options:2", "2 options instead of one"),
        ("options:10", "10 options instead of one"),
        ("beyond", "longer than its payload"),
        ("stream", "streamed its answer"),
    ] {
        let server = worker().pool("num_workers: 2").start();
        let client = server.client().await;
        let other = client.spawn_rpc("sleep:0.3", "\"other\"");
        let status = client.rpc(fault, "").await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{fault}: {status}");
        assert!(status.message().contains(words), "{fault}: {status}");
        assert_eq!(other.await.unwrap().unwrap(), "\"other\"");
        let calls: Vec<_> = (0..10).map(|_| client.spawn_rpc("echo", "1")).collect();
        for call in calls {
            assert_eq!(call.await.unwrap().unwrap(), "1", "{fault}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_breaks_the_protocol_while_it_is_idle_costs_no_request() {
    let server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    assert_eq!(client.rpc("brokenlater:0.05", "1").await.unwrap(), "1");
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(client.rpc("echo", "2").await.unwrap(), "2");
    assert_ne!(client.worker_pid().await, pid);
    server.wait_for_output("broke the protocol");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_fails_its_request_with_its_exit_status_and_is_replaced() {
    let server = worker().start();
    let client = server.client().await;
    for (fault, words) in [
        ("exit:3", "exit status 3"),
        ("exit:0", "exit status 0"),
        ("kill:9", "signal 9 (SIGKILL)"),
        ("partial", "exit status 0"),
    ] {
        let before = client.worker_pid().await;
        let begin = Instant::now();
        let status = client.rpc(fault, "").await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert!(status.message().contains(words), "{fault}: {status}");
        assert_ne!(client.worker_pid().await, before);
        assert!(begin.elapsed() < Duration::from_secs(2), "{fault}: {:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_closes_its_output_is_replaced() {
    let server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    let status = client.rpc("closeout", "").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    eventually("the old worker is gone", || !is_alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_while_it_is_idle_costs_no_request() {
    let server = worker().pool("num_workers: 2").start();
    let client = server.client().await;
    for _ in 0..10 {
        let pid = client.worker_pid().await;
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid.cast_signed()),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_s_own_wish_to_stop_moves_its_request_to_another() {
    let server = worker().pool("num_workers: 2").start();
    let client = server.client().await;
    let flag = server.folder.path().join("flag").display().to_string();
    let answered = client.rpc(&format!("stop:{flag}"), "").await.unwrap();
    assert!(json(&answered)["pid"].is_u64(), "{answered}");
    eventually("the worker has left", || server.count_output("worker stopped") == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_s_deadline_is_kept_and_the_late_answer_dropped() {
    let server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    for _ in 0..3 {
        let begin = Instant::now();
        let status =
            client.rpc_within("sleep:0.4", "\"late\"", Duration::from_millis(150)).await.unwrap_err();
        assert_eq!(status.code(), Code::DeadlineExceeded, "{status}");
        assert!(begin.elapsed() < Duration::from_millis(350), "{:?}", begin.elapsed());
        assert_eq!(client.rpc("echo", "\"own\"").await.unwrap(), "\"own\"");
    }
    // A substitute may have come, and goes again.
    let deadline = Instant::now() + PATIENCE;
    while client.worker_pid().await != pid {
        assert!(Instant::now() < deadline, "the worker did not come back");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_caller_has_gone_never_reaches_a_worker() {
    let server = worker().start();
    let client = server.client().await;
    let busy = client.spawn_rpc("sleep:0.5", "1");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let mut gone = Vec::new();
    for _ in 0..20 {
        let client = client.clone();
        gone.push(tokio::spawn(
            async move { client.rpc_within("echo", "", Duration::from_millis(100)).await },
        ));
    }
    for call in gone {
        assert_eq!(call.await.unwrap().unwrap_err().code(), Code::DeadlineExceeded);
    }
    busy.await.unwrap().unwrap();
    let handled = json(&client.rpc("pid", "").await.unwrap())["handled"].as_u64().unwrap();
    assert_eq!(handled, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_too_many_in_the_queue_fails_at_once_and_the_others_are_served_in_order() {
    let server = worker().pool("num_workers: 1, max_queue_size: 2").start();
    let client = server.client().await;
    let mut calls = Vec::new();
    for n in 0..3 {
        calls.push(client.spawn_rpc("sleep:0.3", &n.to_string()));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let status = client.rpc("echo", "").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let begin = Instant::now();
    let mut ends = Vec::new();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
        ends.push(begin.elapsed());
    }
    assert!(ends.is_sorted());
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_a_worker_no_longer_than_allocate_timeout() {
    let server = worker().pool("num_workers: 1, allocate_timeout: 1s").start();
    let client = server.client().await;
    let busy = client.spawn_rpc("sleep:2", "1");
    tokio::time::sleep(Duration::from_millis(100)).await;
    let begin = Instant::now();
    let status = client.rpc("echo", "").await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
    busy.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_workers_cannot_start_says_so_at_once_and_heals_by_itself() {
    let setup = worker();
    let flag = setup.path("no-boot");
    let server = setup.env("NO_BOOT", &flag.display().to_string()).start();
    let client = server.client().await;
    std::fs::write(&flag, "").unwrap();
    client.rpc("exit:3", "").await.unwrap_err();
    server.wait_for_output("a worker cannot be started");
    let begin = Instant::now();
    let status = client.rpc("echo", "1").await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(status.message().contains("exit status 7"), "{status}");
    assert!(begin.elapsed() < Duration::from_secs(1));
    std::fs::remove_file(&flag).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    while client.rpc("echo", "1").await.is_err() {
        assert!(Instant::now() < deadline, "the pool does not heal");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_worker_started_ends_with_it() {
    let server = worker().start();
    let client = server.client().await;
    let child: u32 =
        json(&client.rpc("child", "").await.unwrap())["child"].as_u64().unwrap().try_into().unwrap();
    assert!(is_alive(child));
    client.rpc("exit:0", "").await.unwrap_err();
    eventually("the worker's child is gone", || !is_alive(child)).await;
}
