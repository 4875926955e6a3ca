//! A new server takes over from a running one.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::inventory::processes;
use crate::support::real_centrifugo::{HOST, RealCentrifugo, binary, free_port};
use crate::support::{
    BINARY, Client, PATIENCE, Server, Setup, eventually, is_alive, json as parse, python, repository, worker,
};

/// A server that may be replaced; it and all that take over from it are killed when this is dropped.
struct Line {
    server: Server,
    address: String,
}

impl std::ops::Deref for Line {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        for pid in processes(&self.server) {
            let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
        }
    }
}

impl Line {
    /// A server with RPC on a socket and its pid in a file.
    fn start(setup: Setup) -> Self {
        let setup = setup.more("rpc: {listen: unix://rpc.sock}\n");
        let server = setup.through(&["sh", "-c", "exec \"$0\" \"$@\" -p"]).start();
        let address = server.address().to_owned();
        Self { server, address }
    }

    /// The pid of the server in the file.
    fn current(&self) -> u32 {
        std::fs::read_to_string(self.path(".pid")).unwrap().parse().unwrap()
    }

    fn begin_upgrade(&self) -> std::process::Child {
        let mut command = Command::new(BINARY);
        command.args(["upgrade", "--address", "unix://rpc.sock"]).current_dir(self.folder.path());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    async fn upgrade(&self) -> Output {
        let command = self.begin_upgrade();
        tokio::task::spawn_blocking(|| command.wait_with_output().unwrap()).await.unwrap()
    }

    /// A new server takes over; returns its pid.
    async fn is_upgraded(&self) -> u32 {
        let old = self.current();
        let output = self.upgrade().await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let new = self.current();
        assert_ne!(new, old);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.starts_with(&format!("process {new} has taken over after ")), "{text}");
        new
    }

    /// The server with this pid serves, and nothing is left of others.
    async fn goes_on(&self, pid: u32) {
        assert_eq!(self.current(), pid);
        assert_eq!(self.new_client().await.rpc("echo", "1").await.unwrap(), "1");
        self.is_served_by(pid).await;
        self.server.caller().await.json("informer.List", &true.into()).await.unwrap();
        eventually("the new server is gone", || self.servers() == [pid]).await;
    }

    async fn new_client(&self) -> Client {
        Server::client_of(&self.address).await
    }

    /// The pid of the server whose worker answers a call on a new connection.
    async fn serving(&self) -> u32 {
        let process = parse(&self.new_client().await.rpc("process", "").await.unwrap());
        process["parent"].as_u64().unwrap().try_into().unwrap()
    }

    /// Waits until new connections come to the server with this pid: the old one still serves those that the kernel had accepted for it.
    async fn is_served_by(&self, pid: u32) {
        let served = async {
            while self.serving().await != pid {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, served).await.expect("it serves new connections");
    }

    /// The pids of all servers that run: not of their guards.
    fn servers(&self) -> Vec<u32> {
        let is_server = |pid: &u32| {
            let read =
                |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
            read("cmdline").contains("serve\0")
                && read("comm") != "causeway-guard\n"
                && !read("cmdline").starts_with("unshare")
        };
        processes(&self.server).into_iter().filter(|pid| is_alive(*pid)).filter(is_server).collect()
    }

    /// Stops the last server, and waits until nothing is left.
    async fn ends_well(mut self) {
        let pid = self.current();
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM).unwrap();
        assert_eq!(self.server.exit().await.code(), Some(0));
        eventually("nothing is left", || processes(&self.server).is_empty()).await;
        let mut left: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.retain(|name| !["bridge", "flag", "gate"].iter().any(|known| name == *known));
        assert_eq!(left, [".rr.yaml"]);
    }

    /// Changes the configuration that a new server reads.
    fn edit(&self, from: &str, to: &str) {
        let file = self.path(".rr.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(file, text.replace(from, to)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_server_serves_while_the_old_one_finishes_its_calls() {
    let sections = "status: {address: 127.0.0.1:0}\nmetrics: {address: 127.0.0.1:0}\n";
    let line = Line::start(worker().pool("num_workers: 2").more(sections));
    let (old, flag) = (line.current(), line.path("flag"));
    let client = line.new_client().await;
    let call = client.spawn_rpc(&format!("wait:{}", flag.display()), "7");
    line.wait_for_output("it waits");
    let new = line.is_upgraded().await;
    line.is_served_by(new).await;
    assert!(is_alive(old), "it has a call in flight");
    // Its sockets are the new one's, RPC and pages included.
    let pages = [("status", "health"), ("metrics", "metrics")];
    for (section, path) in pages {
        let url = format!("http://{}/{path}", line.listening(section));
        let curl = Command::new("curl").args(["-sSf", "-m", "30", &url]).output().unwrap();
        assert!(curl.status.success(), "{curl:?}");
    }
    let stats = line.server.caller().await.json("causeway.Stats", &"centrifuge".into()).await.unwrap();
    assert_eq!(stats["inHand"], 0, "the call is in the hands of the old one's worker");
    std::fs::write(&flag, "").unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "7");
    eventually("the old server is gone", || line.servers() == [new]).await;
    assert!(line.path("rpc.sock").exists());
    // And again: a server that has taken over hands over as well.
    let third = line.is_upgraded().await;
    eventually("the second server is gone", || line.servers() == [third]).await;
    line.is_served_by(third).await;
    line.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_that_does_not_get_ready_leaves_the_old_one_as_it_was() {
    let (setup, flag) = worker().proxy_address("unix://proxy.sock").boots_unless("NO_BOOT");
    let setup = setup.more("rpc: {listen: unix://rpc.sock}\n");
    let server = setup.through(&["sh", "-c", "ln -s \"$0\" bridge; exec ./bridge \"$@\" -p"]).start();
    let mut line = Line { server, address: String::new() };
    let old = line.current();
    let goes_on = async |line: &Line| {
        assert_eq!(line.current(), old);
        assert!(line.path("proxy.sock").exists());
        line.server.caller().await.json("informer.List", &true.into()).await.unwrap();
        eventually("the new server is gone", || line.servers() == [old]).await;
    };
    let stays = async |line: &Line, words: &str| {
        let output = line.upgrade().await;
        let text = String::from_utf8(output.stderr.clone()).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(
            text.contains("the server was not upgraded, and goes on: ") && text.contains(words),
            "{text}"
        );
        goes_on(line).await;
    };
    line.edit("num_workers: 1", "num_workers: many");
    stays(&line, "centrifuge.pool.num_workers: expected").await;
    line.edit("num_workers: many", "num_workers: 1");
    std::fs::write(&flag, "").unwrap();
    stays(&line, "exited before it was ready: exit status 7").await;
    std::fs::remove_file(&flag).unwrap();
    line.edit("unix://proxy.sock", "unix:///nonexistent/proxy.sock");
    stays(&line, "centrifuge.proxy_address: cannot listen").await;
    line.edit("unix:///nonexistent/proxy.sock", "unix://proxy.sock");
    // The program itself.
    let program = line.path("bridge");
    std::fs::remove_file(&program).unwrap();
    stays(&line, "the new server cannot be started: No such file").await;
    std::fs::write(&program, "#!/bin/sh\necho not a server >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    stays(&line, "exited before it was ready").await;
    // It is found by its name, whatever file that is now.
    std::fs::remove_file(&program).unwrap();
    std::os::unix::fs::symlink(BINARY, &program).unwrap();
    let new = line.is_upgraded().await;
    eventually("the old server is gone", || line.servers() == [new]).await;
    assert!(line.path("proxy.sock").exists());
    assert_eq!(line.server.exit().await.code(), Some(0));
    line.ends_well().await;
}

/// A server whose new one waits while it starts its workers, until the returned file exists.
fn waiting() -> (Line, PathBuf) {
    let setup = worker();
    let gate = setup.path("gate");
    std::fs::write(&gate, "").unwrap();
    let line = Line::start(setup.env("BOOT_WAITS", gate.to_str().unwrap()));
    std::fs::remove_file(&gate).unwrap();
    (line, gate)
}

impl Line {
    /// Waits until a new server boots its workers; returns its pid.
    async fn booting(&self, old: u32) -> u32 {
        let mut new = 0;
        eventually("there is a new server", || {
            let others: Vec<u32> = self.servers().into_iter().filter(|pid| *pid != old).collect();
            new = others.first().copied().unwrap_or_default();
            others.len() == 1 && self.count_output("started to take over from another server") > 0
        })
        .await;
        new
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_upgrade_at_a_time_and_a_new_server_that_dies_is_no_loss() {
    let (line, gate) = waiting();
    let old = line.current();
    let first = line.begin_upgrade();
    // On this connection the old server goes on to answer.
    let mut caller = line.server.caller().await;
    let new = line.booting(old).await;
    let refused = caller.json("causeway.Upgrade", &true.into()).await;
    assert!(format!("{refused:?}").contains("another upgrade is under way"), "{refused:?}");
    kill(Pid::from_raw(new.cast_signed()), Signal::SIGKILL).unwrap();
    let output = tokio::task::spawn_blocking(|| first.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("exited before it was ready"), "{output:?}");
    line.goes_on(old).await;
    std::fs::write(gate, "").unwrap();
    line.is_upgraded().await;
    line.ends_well().await;
}

fn children(pid: u32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads
        .map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_an_upgrade_stops_both_servers() {
    for over_rpc in [false, true] {
        let (mut line, _gate) = waiting();
        let old = line.current();
        let upgrade = line.begin_upgrade();
        let new = line.booting(old).await;
        if over_rpc {
            // Its workers are started once RPC is the new server's.
            eventually("the new server has a worker", || !children(new).is_empty()).await;
            let stop = Command::new(BINARY)
                .args(["stop", "--address", "unix://rpc.sock"])
                .current_dir(line.folder.path())
                .output()
                .unwrap();
            assert!(stop.status.success(), "{stop:?}");
        } else {
            line.signal(Signal::SIGTERM);
        }
        assert_eq!(line.server.exit().await.code(), Some(0));
        let output = tokio::task::spawn_blocking(|| upgrade.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        eventually("nothing is left", || processes(&line.server).is_empty()).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_connect_over_a_socket_reach_their_own_server() {
    for relay in ["unix", "tcp://127.0.0.1:0"] {
        let setup = worker().relay(relay).pool("num_workers: 2");
        let line = Line::start(setup);
        for _ in 0..2 {
            let new = line.is_upgraded().await;
            line.is_served_by(new).await;
            // A worker that dies is replaced over the same socket.
            line.new_client().await.rpc("exit:3", "").await.unwrap_err();
            assert_eq!(line.new_client().await.rpc("echo", "1").await.unwrap(), "1");
            eventually("the old server is gone", || line.servers() == [new]).await;
        }
        line.ends_well().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_during_a_reset_ends_the_reset_and_takes_over() {
    let (line, gate) = waiting();
    let mut caller = line.server.caller().await;
    let reset = tokio::spawn(async move { caller.json("resetter.Reset", &"centrifuge".into()).await });
    let upgrade = line.begin_upgrade();
    line.booting(line.current()).await;
    std::fs::write(gate, "").unwrap();
    let output = tokio::task::spawn_blocking(|| upgrade.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    // It was done, or the server shut down before it was.
    let _ = reset.await.unwrap();
    line.is_served_by(line.current()).await;
    line.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_during_an_upgrade_ends_neither_server() {
    let (line, gate) = waiting();
    let old = line.current();
    let upgrade = line.begin_upgrade();
    let new = line.booting(old).await;
    for pid in [old, new] {
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGHUP).unwrap();
    }
    std::fs::write(gate, "").unwrap();
    let output = tokio::task::spawn_blocking(|| upgrade.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(line.current(), new);
    line.is_served_by(new).await;
    // It waited until there was something to reload.
    line.wait_for_output("configuration reloaded");
    line.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manager_is_notified_of_the_new_pid_before_the_new_server_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let line = Line::start(worker().env("NOTIFY_SOCKET", path.to_str().unwrap()));
    let mut messages = Vec::new();
    let mut wait_for = |begin: &str| {
        loop {
            let mut bytes = [0; 1024];
            let length =
                manager.recv(&mut bytes).unwrap_or_else(|error| panic!("{begin}: {error}: {messages:?}"));
            messages.push(String::from_utf8_lossy(&bytes[..length]).into_owned());
            if messages.last().unwrap().starts_with(begin) {
                return messages.clone();
            }
        }
    };
    wait_for("READY=1");
    // By signal, as from systemd.
    line.signal(Signal::SIGUSR2);
    let messages = wait_for("READY=1");
    let at = messages.iter().position(|message| message.starts_with("MAINPID=")).expect("a new main process");
    let pid = messages[at].lines().next().unwrap().strip_prefix("MAINPID=").unwrap().to_owned();
    assert_eq!(messages.iter().filter(|message| message.starts_with("READY=1")).count(), 2);
    assert!(!messages.iter().any(|message| message.starts_with("STOPPING=1")), "{messages:?}");
    assert_eq!(pid, line.current().to_string());
    line.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pid_one_follows_the_new_server() {
    let namespace =
        ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"];
    let setup = worker().more("rpc: {listen: unix://rpc.sock}\n");
    let mut server = setup.through(&namespace).start();
    let upgrade = Command::new(BINARY)
        .args(["upgrade", "--address", "unix://rpc.sock"])
        .current_dir(server.folder.path())
        .output()
        .unwrap();
    assert!(upgrade.status.success(), "{upgrade:?}");
    server.wait_for_output("handed over to a new server");
    server.wait_for_output("worker stopped");
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", server.pid())).unwrap();
    let init: i32 = children.trim().parse().unwrap();
    kill(Pid::from_raw(init), Signal::SIGTERM).unwrap();
    assert_eq!(server.exit().await.code(), Some(0));
}

/// Where workers note the calls that they have got.
fn runs(notes: &Path) -> BTreeMap<String, usize> {
    let mut runs = BTreeMap::new();
    for call in std::fs::read_to_string(notes).unwrap_or_default().lines() {
        *runs.entry(call.trim_matches('"').to_owned()).or_default() += 1;
    }
    runs
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_of_a_real_centrifugo_no_call_is_lost_or_run_twice() {
    let Some(binary) = binary() else { return };
    let setup = worker().pool("num_workers: 4");
    let notes = setup.path("notes");
    let line = Line::start(setup.env("NOTES", notes.to_str().unwrap()));
    let port = free_port();
    let config = json!({
        "http_server": {"address": HOST, "port": port.to_string()},
        "client": {"allowed_origins": ["*"], "allow_anonymous_connect_without_token": true},
        "rpc": {
            "proxy": {"endpoint": format!("grpc://{}", line.address), "timeout": "20s"},
            "without_namespace": {"proxy_enabled": true},
        },
    });
    let _centrifugo = RealCentrifugo::start_as(&binary, port, config).await;
    let mut load = Command::new(python())
        .arg(repository().join("tests/clients/steady.py"))
        .args(["note", "8", &format!("{HOST}:{port}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let goes_on = async || {
        let before = runs(&notes).len();
        eventually("calls go on", || runs(&notes).len() >= before + 100).await;
    };
    goes_on().await;
    for _ in 0..3 {
        let new = line.is_upgraded().await;
        goes_on().await;
        eventually("the old server is gone", || line.servers() == [new]).await;
    }
    goes_on().await;
    drop(load.stdin.take());
    let read = move || {
        let mut text = String::new();
        load.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(load.wait().unwrap().success(), "the clients failed");
        text
    };
    let seen: Value = serde_json::from_str(&tokio::task::spawn_blocking(read).await.unwrap()).unwrap();
    assert_eq!(seen["failed"], json!({}), "calls failed");
    let runs = runs(&notes);
    assert!(runs.values().all(|times| *times == 1), "calls ran twice");
    assert_eq!(runs.len(), seen["answered"].as_array().unwrap().len());
    std::fs::remove_file(notes).unwrap();
    line.ends_well().await;
}
