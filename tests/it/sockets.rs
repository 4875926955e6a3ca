//! The files by which others find a server: unix sockets and `.pid`. Their owners, their permissions, and who removes them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::support::{BINARY, Server, Setup, eventually, json, worker};

/// A server whose proxy listens on `proxy.sock`.
fn on_a_socket(setup: Setup) -> Setup {
    setup.through(&["sh", "-c", "exec \"$0\" \"$@\" -o centrifuge.proxy_address=unix://proxy.sock -p"])
}

/// A call over the socket of the proxy, as Centrifugo would make it.
fn call(folder: &Path, method: &str) -> Child {
    Command::new(BINARY)
        .args([
            "call",
            "rpc",
            "--method",
            method,
            "--data",
            "1",
            "--timeout",
            "30s",
            "--address",
            "unix://proxy.sock",
        ])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn succeeds(call: Child) {
    let output = call.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_server_keeps_the_socket_and_the_pid_file_of_its_successor() {
    let mut old = on_a_socket(worker()).start();
    let folder = old.folder.path().to_owned();
    let flag = folder.join("flag");
    let in_flight = call(&folder, &format!("wait:{}", flag.display()));
    old.wait_for_output("it waits");
    old.signal(Signal::SIGTERM);
    old.wait_for_output("draining connections");
    let mut new = on_a_socket(worker().beside(&old)).start();
    succeeds(call(&folder, "echo"));
    std::fs::write(flag, "").unwrap();
    succeeds(in_flight);
    assert!(old.exit().await.success());
    // The old one is gone, and has removed nothing.
    succeeds(call(&folder, "echo"));
    assert_eq!(std::fs::read_to_string(folder.join(".pid")).unwrap(), new.pid().to_string());
    new.signal(Signal::SIGTERM);
    assert!(new.exit().await.success());
    assert!(!folder.join("proxy.sock").exists() && !folder.join(".pid").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pid_file_that_is_a_symlink_is_replaced() {
    let setup = on_a_socket(worker());
    let precious = setup.path("precious");
    std::fs::write(&precious, "kept").unwrap();
    std::os::unix::fs::symlink(&precious, setup.path(".pid")).unwrap();
    let mut server = setup.start();
    let file = server.folder.path().join(".pid");
    assert!(std::fs::symlink_metadata(&file).unwrap().is_file());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), server.pid().to_string());
    server.signal(Signal::SIGTERM);
    assert!(server.exit().await.success());
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "kept");
    assert!(!file.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_have_their_modes_regardless_of_the_umask() {
    for umask in ["000", "022", "077"] {
        for (setting, expected) in
            [("", 0o660), ("socket_mode: '0666'", 0o666), ("socket_mode: '0600'", 0o600)]
        {
            let script =
                format!("umask {umask}; exec \"$0\" \"$@\" -o centrifuge.proxy_address=unix://proxy.sock");
            let setup = worker().relay("unix").more("rpc: {listen: unix://rpc.sock}\n").centrifuge(setting);
            let server = setup.through(&["sh", "-c", &script]).start();
            for (name, mode_of_it) in [("proxy.sock", expected), ("rpc.sock", 0o660), ("relay.sock", 0o600)] {
                assert_eq!(mode(&server.folder.path().join(name)), mode_of_it, "{name}, umask {umask}");
            }
        }
    }
}

/// Only root can run workers as another user.
fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// A server whose workers run as another user, in a folder that this user may enter.
fn as_nobody(lines: &str) -> Server {
    let setup = worker().relay("unix").more("rpc: {listen: unix://rpc.sock}\n").server(lines);
    std::fs::set_permissions(setup.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    setup.start()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_of_another_user_can_use_their_sockets() {
    if !is_root() {
        return;
    }
    let nobody = nix::unistd::User::from_name("nobody").unwrap().expect("there is a user nobody");
    let group = nix::unistd::Group::from_gid(nobody.gid).unwrap().expect("nobody has a group").name;
    let (user, group) = ("  user: nobody\n".to_owned(), format!("  group: {group}\n"));
    for (lines, uid, gid, relay_mode) in
        [(user, nobody.uid.as_raw(), 0, 0o600), (group, 0, nobody.gid.as_raw(), 0o660)]
    {
        let server = as_nobody(&lines);
        let client = server.client().await;
        assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
        for (name, mode_of_it) in [("relay.sock", relay_mode), ("rpc.sock", 0o660)] {
            let path = server.folder.path().join(name);
            let metadata = std::fs::metadata(&path).unwrap();
            assert_eq!((metadata.uid(), metadata.gid(), mode(&path)), (uid, gid, mode_of_it), "{name}");
        }
        // A worker that dies is replaced over the same socket.
        let pid = client.worker_pid().await;
        client.rpc("exit:3", "").await.unwrap_err();
        assert_ne!(client.worker_pid().await, pid);
        let process = json(&client.rpc("process", "").await.unwrap());
        let owner = std::fs::metadata(format!("/proc/{}", process["pid"])).unwrap();
        assert_eq!(owner.uid(), uid);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_have_the_groups_of_their_user_those_that_are_set_and_no_others() {
    if !is_root() {
        return;
    }
    // The groups that initgroups(3) gives to the user.
    let id = std::process::Command::new("id").args(["-G", "nobody"]).output().unwrap();
    let numbers = String::from_utf8(id.stdout).unwrap();
    let mut groups: Vec<u32> = numbers.split_whitespace().map(|gid| gid.parse().unwrap()).collect();
    groups.sort_unstable();
    let daemon =
        nix::unistd::Group::from_name("daemon").unwrap().expect("there is a group daemon").gid.as_raw();
    let with_daemon = |groups: &[u32]| {
        let mut groups = [groups, &[daemon]].concat();
        groups.sort_unstable();
        groups
    };
    let own: Vec<u32> = nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
    for (lines, uid, expected) in [
        ("  user: nobody\n", 65534, groups.clone()),
        ("  user: nobody\n  groups: [daemon]\n", 65534, with_daemon(&groups)),
        ("  group: daemon\n", 0, vec![daemon]),
        ("  groups: daemon\n", 0, with_daemon(&own)),
    ] {
        let server = as_nobody(lines);
        let found = json(&server.client().await.rpc("credentials", "").await.unwrap());
        assert_eq!((&found["uid"], &found["groups"]), (&uid.into(), &expected.into()), "{lines}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_and_on_init_have_the_umask_that_is_set() {
    let on_init = "  on_init: {command: \"sh -c 'umask > umask'\"}\n";
    for (setting, expected) in [("", "0022"), ("  umask: '0027'\n", "0027"), ("  umask: '077'\n", "0077")] {
        let setup = worker().server(&format!("{setting}{on_init}"));
        let server = setup.through(&["sh", "-c", "umask 022; exec \"$0\" \"$@\""]).start();
        let found = json(&server.client().await.rpc("credentials", "").await.unwrap());
        assert_eq!(found["umask"], expected, "{setting}");
        assert_eq!(std::fs::read_to_string(server.path("umask")).unwrap().trim(), expected);
        assert_eq!(
            std::fs::read_to_string(format!("/proc/{}/status", server.pid()))
                .unwrap()
                .lines()
                .find_map(|line| line.strip_prefix("Umask:\t")),
            Some("0022"),
            "that of the server stays"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_killed_server_are_replaced_by_the_next_one() {
    let mut old = on_a_socket(worker().relay("unix").more("rpc: {listen: unix://rpc.sock}\n")).start();
    let folder = old.folder.path().to_owned();
    old.signal(Signal::SIGKILL);
    old.exit().await;
    let names = ["proxy.sock", "relay.sock", "rpc.sock", ".pid"];
    assert!(names.iter().all(|name| folder.join(name).exists()));
    let mut new =
        on_a_socket(worker().relay("unix").more("rpc: {listen: unix://rpc.sock}\n").beside(&old)).start();
    succeeds(call(&folder, "echo"));
    new.signal(Signal::SIGTERM);
    assert!(new.exit().await.success());
    eventually("nothing is left", || names.iter().all(|name| !folder.join(name).exists())).await;
    let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [".rr.yaml"]);
}
