//! What a service manager and the server exchange: the manager is a socket of this process, or systemd's own tools.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::support::{PATIENCE, Server, Setup, json, repository, worker};

/// A service manager that is notified.
struct Manager {
    socket: UnixDatagram,
    _folder: TempDir,
}

impl Manager {
    /// A manager, and a server's environment that names it.
    fn of(setup: Setup) -> (Self, Setup) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        (Self { socket, _folder: folder }, setup.env("NOTIFY_SOCKET", path.to_str().unwrap()))
    }

    /// Waits for a message that begins like this, and returns it.
    fn wait_for(&self, begin: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("{begin}: {error}"));
            let message = String::from_utf8(bytes[..length].to_vec()).unwrap();
            if message.starts_with(begin) {
                return message;
            }
            assert!(Instant::now() < deadline, "{begin} never comes, but {message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_notified_of_the_start_signs_of_life_and_the_shutdown() {
    let setup = worker().pool("num_workers: 2, allocate_timeout: 20s").env("WATCHDOG_USEC", "200000");
    let (manager, setup) = Manager::of(setup.more("endure: {grace_period: 7s}\n"));
    let mut server = setup.start();
    assert_eq!(
        manager.wait_for("STATUS="),
        "STATUS=starting the workers\nEXTEND_TIMEOUT_USEC=30000000",
        "allocate_timeout and ten seconds"
    );
    let ready = format!("READY=1\nSTATUS=serving {} with 2 workers", server.address());
    assert_eq!(manager.wait_for("READY=1"), ready);
    for _ in 0..3 {
        manager.wait_for("WATCHDOG=1");
    }
    server.signal(Signal::SIGTERM);
    let stopping = manager.wait_for("STOPPING=1");
    assert!(stopping.ends_with("\nEXTEND_TIMEOUT_USEC=17000000"), "{stopping}");
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_notified_when_a_reload_begins_and_how_it_ends() {
    let (manager, setup) = Manager::of(worker().pool("num_workers: 1"));
    let server = setup.start();
    manager.wait_for("READY=1");
    let file = server.path(".rr.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    for (workers, status) in [("2", " with 2 workers"), ("many", "the last reload failed: ")] {
        std::fs::write(&file, text.replace("num_workers: 1", &format!("num_workers: {workers}"))).unwrap();
        server.signal(Signal::SIGHUP);
        let reloading = manager.wait_for("RELOADING=1");
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("when it has begun");
        assert!(time.split('\n').next().unwrap().parse::<u64>().is_ok(), "{reloading}");
        let ready = manager.wait_for("READY=1");
        assert!(ready.starts_with("READY=1\nSTATUS=serving ") && ready.contains(status), "{ready}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_is_the_status_and_never_ready() {
    let (manager, setup) = Manager::of(Setup::new("sh -c 'exit 3'"));
    let mut server = setup.spawn();
    let status = manager.wait_for("STATUS=cannot start");
    assert!(status.contains("exited before it was ready: exit status 3"), "{status}");
    assert_eq!(server.exit().await.code(), Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn signs_of_life_are_sent_only_if_they_are_wanted_from_this_process() {
    let (manager, setup) = Manager::of(worker().env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1"));
    let mut server = setup.start();
    manager.wait_for("READY=1");
    server.signal(Signal::SIGTERM);
    let mut bytes = [0; 4096];
    let length = manager.socket.recv(&mut bytes).unwrap();
    assert!(bytes[..length].starts_with(b"STOPPING=1"), "{}", String::from_utf8_lossy(&bytes[..length]));
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_is_no_address_or_no_number_fails_the_start() {
    for (name, value, words) in [
        ("NOTIFY_SOCKET", "nowhere", "NOTIFY_SOCKET: expected a path"),
        ("WATCHDOG_USEC", "soon", "WATCHDOG_USEC: expected a positive number"),
    ] {
        let mut server = worker().env(name, value).spawn();
        assert_eq!(server.exit().await.code(), Some(1));
        server.wait_for_output(words);
    }
}

/// Starts a server that inherits sockets.
fn inheriting(setup: Setup, sockets: &[String]) -> Setup {
    let script = repository().join("tests/workers/pass_sockets.py");
    let mut words = vec!["python3", script.to_str().unwrap()];
    words.extend(sockets.iter().map(String::as_str));
    words.push("--");
    setup.through(&words)
}

fn get(address: &str, path: &str) -> String {
    let url = format!("http://{address}{path}");
    let curl = std::process::Command::new("curl").args(["-sS", "-m", "30", &url]).output().unwrap();
    String::from_utf8(curl.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn inherited_sockets_are_served_by_name_and_workers_do_not_learn_of_them() {
    let setup = worker().more(
        "rpc: {listen: 127.0.0.2:0}\nstatus: {address: 127.0.0.2:0}\nmetrics: {address: 127.0.0.2:0}\n",
    );
    let folder = Arc::clone(&setup.folder);
    let rpc = folder.path().join("inherited.sock");
    let sockets = [
        "status=127.0.0.1:0".to_owned(),
        format!("rpc={}", rpc.display()),
        "metrics=127.0.0.1:0".into(),
        "proxy=127.0.0.1:0".into(),
        "prxy=127.0.0.1:0".into(),
    ];
    let (manager, setup) = Manager::of(inheriting(setup, &sockets));
    let mut server = setup.proxy_address("tcp://127.0.0.2:0").spawn();
    manager.wait_for("READY=1");
    let line = server.wait_for_output("inherited socket closed");
    assert!(line.contains("\"name\": \"prxy\"") && line.contains("tcp://127.0.0.1:"), "{line}");
    for channel in ["centrifuge", "status", "metrics"] {
        assert!(server.listening(channel).starts_with("127.0.0.1:"), "{channel}");
    }
    let proxy = server.listening("centrifuge");
    let client = Server::client_of(&proxy).await;
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    assert_eq!(server.logged_address("rpc"), format!("unix://{}", rpc.display()));
    server.caller().await.json("informer.List", &true.into()).await.unwrap();
    assert!(get(&server.listening("status"), "/ready").contains("centrifuge"));
    assert!(get(&server.listening("metrics"), "/metrics").contains("causeway_"));
    let env = json(&client.rpc("env", "").await.unwrap());
    for name in ["NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"] {
        assert!(env.get(name).is_none(), "{name}");
    }
    assert_eq!(env["RR_RPC"], format!("unix://{}", rpc.display()));
    let process = json(&client.rpc("process", "").await.unwrap());
    let sockets = process["fds"].as_object().unwrap().values();
    let sockets: Vec<_> = sockets.filter(|target| target.as_str().unwrap().starts_with("socket:")).collect();
    assert!(sockets.is_empty(), "{sockets:?}");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(rpc.exists(), "the manager's file stays");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inherited_socket_without_a_known_name_is_found_by_its_address() {
    let setup = worker();
    let proxy = setup.path("proxy.sock");
    let address = format!("unix://{}", proxy.display());
    let sockets = [format!("causeway.socket={}", proxy.display())];
    let (manager, setup) = Manager::of(inheriting(setup.proxy_address(&address), &sockets));
    let server = setup.spawn();
    manager.wait_for("READY=1");
    assert_eq!(server.logged_address("centrifuge"), address);
    assert_eq!(server.count_output("inherited socket closed"), 0);
    assert!(Path::new(&proxy).exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_s_own_activation_starts_the_server_with_the_first_connection() {
    let activate = "systemd-socket-activate";
    if std::process::Command::new(activate).arg("--version").output().is_err() {
        eprintln!("skipped: there is no {activate}; scripts/setup.sh installs it");
        return;
    }
    let setup = worker();
    let socket = setup.path("rpc.sock");
    let setup = setup.more(&format!("rpc: {{listen: 'unix://{}'}}\n", socket.display()));
    let listen = format!("--listen={}", socket.display());
    let mut server = setup.through(&[activate, &listen, "--fdname=rpc"]).spawn();
    server.wait_for_output("Listening on");
    let connected = tokio::net::UnixStream::connect(&socket).await.unwrap();
    server.wait_for_output("address: ");
    assert_eq!(server.rpc_address(), format!("unix://{}", socket.display()));
    server.caller().await.json("informer.List", &true.into()).await.unwrap();
    drop(connected);
    server.signal(Signal::SIGTERM);
    assert_eq!(server.exit().await.code(), Some(0));
}
