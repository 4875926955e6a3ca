//! Standard streams that are closed, full, or on a full disk: neither a server nor a command waits for them, or dies of them.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;

use crate::support::{BINARY, Server, json, worker};

/// How long an end may take for which nothing is to be waited.
const SOON: Duration = Duration::from_secs(10);

/// A full pipe that is not read.
fn full_pipe() -> (io::PipeReader, Stdio) {
    let (reader, mut writer) = io::pipe().unwrap();
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    while writer.write(&[b'x'; 4096]).is_ok() {}
    while writer.write(b"x").is_ok() {}
    fcntl(&writer, FcntlArg::F_SETFL(OFlag::empty())).unwrap();
    (reader, OwnedFd::from(writer).into())
}

/// A pipe whose reader is gone.
fn broken_pipe() -> Stdio {
    let (_, writer) = io::pipe().unwrap();
    OwnedFd::from(writer).into()
}

fn full_disk() -> Stdio {
    File::options().write(true).open("/dev/full").unwrap().into()
}

/// The address of a server, by what it prints on the stream that is left.
fn address(server: &Server) -> String {
    let line = server.wait_for_output("address: ");
    line.rsplit_once("address: ").unwrap().1.to_owned()
}

/// Stops a server by a signal while a call is in flight, which is still answered.
async fn ends_well(mut server: Server, address: &str) {
    let client = Server::client_of(address).await;
    let flag = server.folder.path().join("flag");
    let call = client.spawn_rpc(&format!("wait:{}", flag.display()), "1");
    while client.rpc("echo", "1").await.is_err() {}
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.signal(Signal::SIGTERM);
    tokio::time::sleep(Duration::from_millis(100)).await;
    std::fs::write(flag, "").unwrap();
    let begun = Instant::now();
    assert_eq!(call.await.unwrap().unwrap(), "1");
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(!server.output().contains("panicked"), "{}", server.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_unread_output_shuts_down_normally() {
    let (reader, full) = full_pipe();
    for stdout in [broken_pipe(), full, full_disk()] {
        let server = worker().pool("num_workers: 2").spawn_onto(stdout, Stdio::piped());
        let address = server.listening("centrifuge");
        ends_well(server, &address).await;
    }
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_an_unread_log_serves_and_shuts_down_normally() {
    let (reader, full) = full_pipe();
    for stderr in [broken_pipe(), full, full_disk()] {
        let server = worker().pool("num_workers: 2").spawn_onto(Stdio::piped(), stderr);
        let address = address(&server);
        let client = Server::client_of(&address).await;
        assert_eq!(client.rpc("lines:10000", "1").await.unwrap(), "1");
        ends_well(server, &address).await;
    }
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_writes_to_the_log_does_not_wait_for_its_reader() {
    let (_reader, full) = full_pipe();
    let server = worker().pool("num_workers: 2").rpc().spawn_onto(Stdio::piped(), full);
    let address = address(&server);
    let client = Server::client_of(&address).await;
    let env = json(&client.rpc("env", "").await.unwrap());
    let mut caller = crate::support::rpc::Caller::connect(env["RR_RPC"].as_str().unwrap(), &server).await;
    for method in ["app.Log", "app.Info", "app.Error"] {
        let begun = Instant::now();
        assert_eq!(caller.json(method, &"x".into()).await, Ok(true.into()));
        assert!(begun.elapsed() < Duration::from_secs(2), "{method}: {:?}", begun.elapsed());
    }
    ends_well(server, &address).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_start_exits_even_if_its_error_is_not_read() {
    let (reader, full) = full_pipe();
    for stderr in [broken_pipe(), full, full_disk()] {
        let begun = Instant::now();
        let mut server = worker().command("false").spawn_onto(Stdio::piped(), stderr);
        assert_eq!(server.exit().await.code(), Some(1));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    drop(reader);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_exit_quietly_when_their_output_is_closed() {
    let server = worker().rpc().start();
    for words in [
        &["check"][..],
        &["workers"],
        &["workers", "--json"],
        &["rpc", "informer.List", "true"],
        &["completion", "bash"],
        &["--help"],
        &["--version"],
        &["reset"],
        &["call", "rpc", "--method", "echo", "--data", "1"],
        &["serve", "x.yaml"],
    ] {
        for stdout in [broken_pipe(), full_disk()] {
            let ran = Command::new(BINARY)
                .args(words)
                .current_dir(server.folder.path())
                .stdin(Stdio::null())
                .stdout(stdout)
                .output()
                .unwrap();
            let errors = String::from_utf8(ran.stderr).unwrap();
            assert!(!errors.contains("panicked"), "{words:?}: {errors}");
            assert!(matches!(ran.status.code(), Some(0..=2)), "{words:?}: {:?}: {errors}", ran.status);
        }
        let ran = Command::new(BINARY)
            .args(words)
            .current_dir(server.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(broken_pipe())
            .status()
            .unwrap();
        assert!(matches!(ran.code(), Some(0..=2)), "{words:?}: {ran:?}");
    }
}
