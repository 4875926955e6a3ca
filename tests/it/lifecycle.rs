//! Start and end, in peace and by force.

use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tonic::{Code, Status};

use crate::support::inventory::processes;
use crate::support::streams::{End, Events, Streams};
use crate::support::{BINARY, PATIENCE, Setup, eventually, is_alive, json, worker};

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_calls_in_flight_and_queued_are_finished_and_new_ones_refused() {
    let mut server = worker().rpc().start();
    let client = server.client().await;
    let mut caller = server.caller().await;
    let pid = client.worker_pid().await;
    let flag = server.folder.path().join("flag");
    let method = format!("wait:{}", flag.display());
    let calls: Vec<_> = (0..5).map(|n| client.spawn_rpc(&method, &n.to_string())).collect();
    server.wait_for_output("it waits");
    // One is being handled, the others are queued.
    let deadline = Instant::now() + PATIENCE;
    while caller.json("causeway.Stats", &"centrifuge".into()).await.unwrap()["waiting"] != 4 {
        assert!(Instant::now() < deadline, "they do not wait");
        tokio::task::yield_now().await;
    }
    server.signal(Signal::SIGTERM);
    server.wait_for_output("draining connections");
    let late = client.spawn_rpc("echo", "late");
    let address = server.address().to_owned();
    eventually("connections are refused", || std::net::TcpStream::connect(&address).is_err()).await;
    std::fs::write(flag, "").unwrap();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
    // Mostly the connection is being closed already, and a new one is refused. Otherwise the call was on its way.
    let refusals = ["Unavailable", "ConnectionRefused", "GoAway", "unavailable"];
    match late.await.unwrap() {
        Ok(answer) => assert_eq!(answer, "late"),
        Err(status) => {
            assert!(refusals.iter().any(|refusal| format!("{status:?}").contains(refusal)), "{status:?}");
        }
    }
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_exits_at_once_on_any_stop_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT] {
        let mut server = worker().pool("num_workers: 4").start();
        let pid = server.client().await.worker_pid().await;
        let begin = Instant::now();
        server.signal(signal);
        assert_eq!(server.exit().await.code(), Some(0));
        // On a machine that is not busy it takes some 20 ms; the grace period would be 30 s.
        assert!(begin.elapsed() < Duration::from_secs(10), "{signal}: {:?}", begin.elapsed());
        assert!(!is_alive(pid));
    }
}

/// The code of a failure, and its advice about a retry.
fn advice(status: &Status) -> (Code, Option<String>) {
    let advice = status.metadata().get("grpc-retry-pushback-ms");
    (status.code(), advice.map(|value| value.to_str().unwrap().to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlasts_its_connection_fails_with_a_status_that_forbids_to_repeat_it() {
    let server = worker()
        .pool("num_workers: 2")
        .centrifuge("max_connection_age: 3s\n  max_connection_age_grace: 1s")
        .rpc()
        .start();
    let (mut streams, events) = (Streams::connect(&server).await, Events::of(&server, "events"));
    let mut stream = streams.open(&events.channel()).await.accepted().await;
    let flag = server.path("flag");
    let error = server.client().await.rpc(&format!("wait:{}", flag.display()), "1").await.unwrap_err();
    assert_eq!(advice(&error), (Code::Unavailable, Some("-1".into())), "{error:?}");
    assert!(error.message().contains("max_connection_age_grace"), "{error:?}");
    let End::Status(code, reason) = stream.end().await else { panic!("it has no status") };
    assert_eq!(code, 14);
    assert!(reason.contains("max_connection_age"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hung_worker_is_killed_after_the_grace_period() {
    let mut server = worker().pool("num_workers: 2").more("endure: {grace_period: 1s}\n").start();
    let client = server.client().await;
    let pids = [client.worker_pid().await];
    let hung = client.spawn_rpc("hang", "");
    server.wait_for_output("it hangs");
    let other = client.worker_pid().await;
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(1));
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
    // A worker had the call in hand, so no client may repeat it.
    assert_eq!(advice(&hung.await.unwrap().unwrap_err()), (Code::Unavailable, Some("-1".into())));
    for pid in pids.into_iter().chain([other]) {
        assert!(!is_alive(pid));
    }
    // It was not its own fault.
    assert_eq!(server.count_output("relay closed"), 0, "{}", server.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_ignores_the_stop_frame_is_killed_after_destroy_timeout() {
    let mut server = worker().pool("num_workers: 1, destroy_timeout: 300ms").start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    client.rpc("stubborn", "").await.unwrap();
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(
        begin.elapsed() >= Duration::from_millis(300) && begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
    assert!(!is_alive(pid));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_exits_immediately() {
    let mut server = worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    let _hung = client.spawn_rpc("hang", "");
    server.wait_for_output("it hangs");
    server.signal(Signal::SIGTERM);
    server.wait_for_output("stop signal received");
    let begin = Instant::now();
    // One signal to a group and to its member counts once; a later one is another. How much later it has to be on a busy machine is not known.
    let exit = loop {
        if let Ok(exit) = tokio::time::timeout(Duration::from_millis(150), server.exit()).await {
            break exit;
        }
        server.signal(Signal::SIGTERM);
    };
    assert_eq!(exit.code(), Some(1));
    assert!(begin.elapsed() < Duration::from_secs(20), "the grace period would be 30 s");
    eventually("the worker is gone", || !is_alive(pid)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_signal_that_arrives_twice_is_one() {
    let mut server = worker().start();
    let client = server.client().await;
    let flag = server.folder.path().join("flag");
    let call = client.spawn_rpc(&format!("wait:{}", flag.display()), "1");
    server.wait_for_output("it waits");
    // Both are there when the server looks, however busy the machine is.
    server.signal(Signal::SIGSTOP);
    server.signal(Signal::SIGTERM);
    server.signal(Signal::SIGINT);
    server.signal(Signal::SIGCONT);
    server.wait_for_output("stop signal received");
    std::fs::write(flag, "").unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "1");
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_worker_outlives_a_killed_server() {
    let path = crate::support::repository().join("tests/workers/worker.py");
    let wrapped = format!("sh -c 'python3 {}; true'", path.display());
    for setup in [worker(), worker().relay("tcp"), Setup::new(&wrapped)] {
        let mut server = setup.start();
        let client = server.client().await;
        let pid = client.worker_pid().await;
        let child: u32 =
            json(&client.rpc("child", "").await.unwrap())["child"].as_u64().unwrap().try_into().unwrap();
        let _hung = client.spawn_rpc("hang", "");
        server.wait_for_output("it hangs");
        server.signal(Signal::SIGKILL);
        server.exit().await;
        eventually("the worker is gone", || !is_alive(pid)).await;
        eventually("its child is gone", || !is_alive(child)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_first_boot_is_reported_with_command_exit_status_and_last_lines() {
    let (setup, flag) = worker().pool("num_workers: 3").boots_unless("NO_BOOT");
    std::fs::write(&flag, "").unwrap();
    let mut server = setup.spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    let line = server.wait_for_output("causeway: `python3");
    assert!(line.contains("worker.py` exited before it was ready: exit status 7"), "{line}");
    server.wait_for_output("  stderr: cannot start: the flag is set");

    let mut server = Setup::new("php no-such-file.php").spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    server.wait_for_output("  stdout: Could not open input file: no-such-file.php");

    // That there is no program is seen before anything is started, by `check` too.
    let mut server = Setup::new("./no-such-program").spawn();
    assert_eq!(server.exit().await.code(), Some(2));
    server.wait_for_output("server.command: ");

    // That it cannot be run is not.
    let setup = Setup::new("./no-program");
    std::fs::write(setup.path("no-program"), "#!/nonexistent/interpreter\n").unwrap();
    std::fs::set_permissions(setup.path("no-program"), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut server = setup.spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    server.wait_for_output("`./no-program` cannot be started: No such file or directory");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_never_connects_fails_the_start_after_allocate_timeout() {
    for relay in ["pipes", "tcp", "unix"] {
        let mut server = worker()
            .relay(relay)
            .env("BOOT_HANGS", "1")
            .pool("num_workers: 1, allocate_timeout: 500ms")
            .spawn();
        assert_eq!(server.exit().await.code(), Some(1));
        server.wait_for_output("was not ready within 500ms (pool.allocate_timeout)");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_while_workers_start_leaves_none_behind() {
    let mut server = worker().env("BOOT_HANGS", "1").pool("num_workers: 3").spawn();
    let children = format!("/proc/{0}/task/{0}/children", server.pid());
    let mut pids = Vec::new();
    eventually("the workers are there", || {
        let text = std::fs::read_dir(format!("/proc/{}/task", server.pid()))
            .unwrap()
            .map(|task| std::fs::read_to_string(task.unwrap().path().join("children")).unwrap_or_default());
        pids = text.collect::<String>().split_whitespace().map(|pid| pid.parse::<u32>().unwrap()).collect();
        pids.len() == 3
    })
    .await;
    assert!(std::path::Path::new(&children).exists());
    server.signal(Signal::SIGTERM);
    server.exit().await;
    for pid in pids {
        eventually("the worker is gone", || !is_alive(pid)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_init_runs_before_the_workers_and_may_fail_the_start() {
    let server = worker().server("  on_init: {command: \"sh -c 'echo prepared; echo x > ready'\"}\n").start();
    server.wait_for_output("prepared");
    assert!(server.folder.path().join("ready").exists());
    for (on_init, words, code) in [
        ("command: 'false'", "exit status 1", 1),
        ("command: 'sleep 100', exec_timeout: 200ms", "it did not exit within 200ms", 1),
        ("command: nosuchprogram", "`nosuchprogram`", 2),
    ] {
        let server = worker().server(&format!("  on_init: {{{on_init}}}\n")).start();
        server.wait_for_output(words);
        let mut server = worker().server(&format!("  on_init: {{{on_init}, exit_on_error: true}}\n")).spawn();
        assert_eq!(server.exit().await.code(), Some(code));
        server.wait_for_output(words);
    }
}

/// The guards of a server, by their name and by what they inherit of its environment.
fn guards(server: &crate::support::Server) -> Vec<u32> {
    let name = |pid: &u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    processes(server).into_iter().filter(|pid| name(pid) == "causeway-guard\n").collect()
}

fn signal(pid: u32, signal: Signal) {
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_guard_is_replaced_and_the_new_one_guards_old_and_new_workers() {
    let path = crate::support::repository().join("tests/workers/worker.py");
    let wrapped = format!("sh -c 'python3 {}; true'", path.display());
    let mut server = Setup::new(&wrapped).pool("num_workers: 2").start();
    let client = server.client().await;
    for time in 1..=2 {
        let [old] = guards(&server)[..] else { panic!("{:?}", guards(&server)) };
        signal(old, Signal::SIGKILL);
        eventually("the guard is replaced", || server.count_output("guard process replaced") == time).await;
        assert_ne!(guards(&server), [old]);
        assert_eq!(guards(&server).len(), 1);
    }
    let died = client.rpc("exit:3", "").await.unwrap_err();
    assert_eq!(died.code(), tonic::Code::Unavailable);
    // One worker is from before the guards' end, another one is started after it.
    eventually("there are two workers again", || server.count_output("worker ready") == 3).await;
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    server.signal(Signal::SIGKILL);
    server.exit().await;
    eventually("nothing is left", || processes(&server).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_its_guard_still_resets_and_shuts_down() {
    let mut server = worker().pool("num_workers: 2").rpc().start();
    let mut caller = server.caller().await;
    // Whatever the guard is hit by, and whenever.
    for number in [Signal::SIGKILL, Signal::SIGSEGV, Signal::SIGSTOP] {
        for guard in guards(&server) {
            signal(guard, number);
        }
        caller.json("resetter.Reset", &"centrifuge".into()).await.unwrap();
        assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    }
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
    eventually("nothing is left", || processes(&server).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_guard_goes_on_when_the_server_is_killed() {
    let mut server = worker().pool("num_workers: 2").start();
    // The first guard is a fork of the server; the next one is the program anew.
    for is_first in [true, false] {
        if !is_first {
            server = worker().pool("num_workers: 2").start();
            signal(guards(&server)[0], Signal::SIGKILL);
            eventually("the guard is replaced", || server.count_output("guard process replaced") == 1).await;
        }
        let file = server.folder.path().join("orphan").display().to_string();
        server.client().await.rpc("leave:orphan", &file).await.unwrap();
        let [guard] = guards(&server)[..] else { panic!("{:?}", guards(&server)) };
        signal(guard, Signal::SIGSTOP);
        server.signal(Signal::SIGKILL);
        server.exit().await;
        eventually("nothing is left", || processes(&server).is_empty()).await;
    }
}

/// Starts a guard of a run as the server does; returns its pid and the server's ends of its line and its lifeline.
fn start_guard(run: &str) -> (u32, [OwnedFd; 2]) {
    let (line, theirs) =
        socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let (lifeline, ours) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).unwrap();
    let status = Command::new(BINARY).arg0("causeway-guard").arg(run).stdin(theirs).stdout(lifeline).status();
    assert!(status.unwrap().success());
    let mut pid = [0; 4];
    assert_eq!(nix::unistd::read(&line, &mut pid).unwrap(), 4);
    (u32::from_ne_bytes(pid), [line, ours])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_was_given_up_before_it_got_its_list_kills_nothing() {
    let run = format!("{:032x}", std::process::id());
    let marked = format!("{run}:1");
    let mut sleep = Command::new("sleep").arg("1000").env("CAUSEWAY_FAMILY", marked).spawn().unwrap();
    for is_in_use in [false, true] {
        let (guard, ends) = start_guard(&run);
        if is_in_use {
            let empty_list = 0_i32.to_ne_bytes();
            assert_eq!(nix::unistd::write(&ends[0], &empty_list).unwrap(), 4);
        }
        drop(ends);
        eventually("the guard is gone", || !is_alive(guard)).await;
        assert_eq!(is_alive(sleep.id()), !is_in_use);
    }
    sleep.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guard_that_does_not_read_is_replaced() {
    let server = worker().pool("num_workers: 4").rpc().start();
    let mut caller = server.caller().await;
    let [old] = guards(&server)[..] else { panic!("{:?}", guards(&server)) };
    signal(old, Signal::SIGSTOP);
    let deadline = Instant::now() + PATIENCE;
    while server.count_output("guard process replaced") == 0 {
        assert!(Instant::now() < deadline, "its socket is not full yet");
        caller.json("resetter.Reset", &"centrifuge".into()).await.unwrap();
    }
    assert_ne!(guards(&server), [old]);
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_session_of_a_worker_outlives_a_killed_server() {
    let mut server = worker().start();
    let client = server.client().await;
    for how in ["child", "orphan"] {
        let file = server.folder.path().join(how).display().to_string();
        client.rpc(&format!("leave:{how}"), &file).await.unwrap();
    }
    server.signal(Signal::SIGKILL);
    server.exit().await;
    eventually("nothing is left", || processes(&server).is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn more_workers_start_than_the_soft_limit_of_descriptors_allows_and_get_that_limit() {
    // Each needs three descriptors.
    let limited = ["sh", "-c", "ulimit -Sn 128; exec \"$@\"", "sh"];
    let server = worker().through(&limited).pool("num_workers: 60").start();
    let limits = json(&server.client().await.rpc("limits", "").await.unwrap());
    assert_eq!(limits["files"][0], 128);
    assert!(limits["files"][1].as_u64().unwrap() > 1000, "{limits}");
    let own = std::fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = own.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers[0], numbers[1], "{line}");
}
