//! A server that is PID 1, as in a container.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Server, Setup, eventually, is_alive, worker};

/// In its own PID namespace, whose end kills everything in it.
const NAMESPACE: [&str; 7] =
    ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"];

fn namespaced(setup: Setup) -> Setup {
    setup.through(&NAMESPACE)
}

fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children =
        threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    children.collect::<String>().split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// PID 1 of the namespace, by its pid out here.
fn init(server: &Server) -> u32 {
    children(server.pid())[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_of_workers_are_reaped() {
    let server = namespaced(worker()).start();
    let client = server.client().await;
    // The server is beside its guard, and adopts orphans.
    let own = children(init(&server));
    let serving = own.into_iter().max_by_key(|pid| children(*pid).len()).unwrap();
    let workers = children(serving);
    let release = server.folder.path().join("release");
    for _ in 0..3 {
        client.rpc(&format!("orphan:{}", release.display()), "").await.unwrap();
    }
    eventually("the orphans are children of the server", || children(serving).len() == workers.len() + 3)
        .await;
    std::fs::write(release, "").unwrap();
    eventually("the orphans are gone, zombies included", || children(serving) == workers).await;
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_signal_reaches_the_server_and_its_exit_code_is_that_of_pid_one() {
    let mut server = namespaced(worker()).start();
    let pid = init(&server);
    kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(!is_alive(pid));

    let mut server = namespaced(worker().more("endure: {grace_period: 300ms}\n")).start();
    let call = server.client().await.spawn_rpc("hang", "");
    server.wait_for_output("it hangs");
    kill(Pid::from_raw(init(&server).cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(server.exit().await.code(), Some(1));
    call.await.unwrap().unwrap_err();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_is_reported_by_pid_one_too() {
    let mut server = namespaced(Setup::new("sh -c 'echo not today >&2; exit 3'")).spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    server.wait_for_output("not today");
}
