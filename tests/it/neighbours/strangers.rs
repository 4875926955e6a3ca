//! Many peers that connect and do nothing: they lock no other peer out.

use std::collections::VecDeque;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use causeway::goridge::{Flags, pid_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::control::{make_metrics_large, scrape};
use crate::support::neighbour::is_unharmed;
use crate::support::rpc::frame;
use crate::support::{BINARY, PATIENCE, Server, Setup, json, worker};

/// More connections than any listener accepts.
const MANY: usize = 4200;

/// More connections than the listeners of [`small`] accept.
const ENOUGH: usize = 800;

/// How long an action may take beside strangers, including the start of a program.
const SOON: Duration = Duration::from_secs(4);

fn setup() -> Setup {
    worker()
        .pool("num_workers: 3")
        .rpc()
        .more("status: {address: '127.0.0.1:0'}\nmetrics: {address: '127.0.0.1:0'}\n")
}

/// With descriptors for 512 connections to RPC or the proxy.
pub(super) fn small() -> Setup {
    setup().through(&["sh", "-c", "ulimit -n 4096; exec \"$0\" \"$@\""])
}

/// Opens many connections, each of which sends something. Keeps those too that the server closes.
pub(super) async fn strangers(address: &str, number: usize, says: &[u8]) -> Vec<TcpStream> {
    let address = address.trim_start_matches("tcp://");
    let mut all = Vec::new();
    for _ in 0..number {
        let mut stream = timeout(PATIENCE, TcpStream::connect(address)).await.expect("in time").unwrap();
        let _ = stream.write_all(says).await;
        all.push(stream);
    }
    all
}

pub(super) async fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Runs a command beside the server's configuration, with the real address of RPC.
async fn command(server: &Server, words: &[&str]) -> String {
    let mut command = tokio::process::Command::new(BINARY);
    command.args(words).args(["--address", &server.rpc_address()]).current_dir(server.folder.path());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Checks that an action takes no longer than [`SOON`].
pub(super) async fn soon<T>(what: &str, done: impl Future<Output = T>) -> T {
    let begin = Instant::now();
    let result = timeout(PATIENCE, done).await.unwrap_or_else(|_| panic!("never: {what}"));
    assert!(begin.elapsed() < SOON, "{what} took {:?}", begin.elapsed());
    result
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_probe_is_answered_at_once_beside_silent_connections() {
    is_unharmed("silent connections to the pages", 64, setup, async |server| {
        let (status, metrics) = (server.listening("status"), server.listening("metrics"));
        for says in [&b""[..], b"GET /ready HTTP/1.1\r\nX-Slow: "] {
            let _silent = [strangers(&status, 300, says).await, strangers(&metrics, 300, says).await];
            let ready = soon("readiness", get(&status, "/ready?plugin=centrifuge")).await;
            assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
            let shown = soon("the metrics", get(&metrics, "/metrics")).await;
            assert!(shown.starts_with("HTTP/1.1 200"), "{shown}");
        }
    })
    .await;
}

/// Connects with so small a buffer that hardly anything fits into the kernel, sends a request and reads nothing.
async fn ask_and_read_nothing(address: &str, request: &[u8]) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn scrapers_that_read_nothing_do_not_lock_out_others() {
    is_unharmed("unread large pages", 128, setup, async |server| {
        // More than the kernel takes for a connection.
        make_metrics_large(server, "wide", 1000).await;
        let (status, metrics) = (server.listening("status"), server.listening("metrics"));
        let plain = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
        let packed = b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n";
        let mut unread = Vec::new();
        for _ in 0..3 {
            // One after the other, so that they do not share a page.
            for request in [&plain[..], packed] {
                unread.push(ask_and_read_nothing(&metrics, request).await);
                let ready = soon("readiness", get(&status, "/ready?plugin=centrifuge")).await;
                assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
            }
            let page = soon("a scrape", scrape(&metrics)).await;
            assert!(page.starts_with("HTTP/1.1 200") && page.len() > 10_000_000, "{} bytes", page.len());
        }
        server.caller().await.json("metrics.Unregister", &"wide".into()).await.unwrap();
    })
    .await;
}

/// The reply if a lock was taken or released.
const OK: &str = r#"{"ok":true}"#;

/// An argument about the lock that this file's tests take; waits in microseconds.
fn lock_request(id: &str, wait: u64) -> Vec<u8> {
    format!(r#"{{"resource":"held","id":"{id}","ttl":60000000,"wait":{wait}}}"#).into_bytes()
}

/// Strangers of one kind connect to RPC, with an operator beside them.
async fn operators_get_through(what: &str, says: &[u8]) {
    is_unharmed(what, 64, small, async |server| {
        let mut waiting = server.caller().await;
        let lock = lock_request("first", 0);
        assert_eq!(waiting.call(Flags::JSON, "lock.Lock", &lock).await.text(), OK);
        // A call that is in flight before they connect.
        let wait = lock_request("second", 60_000_000);
        let sequence = waiting.begin(Flags::JSON, "lock.Lock", &wait).await;
        let _strangers = strangers(&server.rpc_address(), ENOUGH, says).await;
        let shown = soon("workers", command(server, &["workers", "--json"])).await;
        assert!(json(&shown)["workers"].as_array().unwrap().len() >= 3, "{shown}");
        let mut other = server.caller().await;
        let release = lock_request("first", 0);
        assert_eq!(soon("a call", other.call(Flags::JSON, "lock.Release", &release)).await.text(), OK);
        let reply = soon("the call in flight", waiting.next()).await.expect("the server hung up");
        assert_eq!((reply.sequence, reply.text().as_str()), (sequence, OK));
        // A storm plays this several times on one server.
        assert_eq!(other.call(Flags::JSON, "lock.Release", &lock_request("second", 0)).await.text(), OK);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn idle_rpc_clients_do_not_lock_out_operators() {
    let idle = frame(Flags::JSON, 1, "rpc.Version", b"true");
    operators_get_through("idle callers of RPC", &idle).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn silent_rpc_clients_do_not_lock_out_operators() {
    operators_get_through("silent callers of RPC", b"").await;
    let begun = frame(Flags::JSON, 1, "rpc.Version", b"true");
    operators_get_through("unfinished calls of RPC", &begun[..begun.len() - 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn waiting_rpc_clients_do_not_lock_out_operators() {
    let waits =
        frame(Flags::JSON, 1, "lock.Lock", br#"{"resource":"held","id":"x","ttl":1,"wait":60000000}"#);
    operators_get_through("calls that wait", &waits).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_server_with_idle_rpc_clients_can_be_stopped() {
    let mut server = setup().start();
    let says = frame(Flags::JSON, 1, "rpc.Version", b"true");
    let _idle = strangers(&server.rpc_address(), MANY, &says).await;
    server.wait_for_output("connection limit reached");
    soon("stop", command(&server, &["stop"])).await;
    assert!(server.exit().await.success());
}

/// A worker dies, and another one starts. Only one, so that the well-behaved caller has another.
async fn a_dead_worker_is_replaced_soon(server: &Server) {
    server.client().await.rpc("exit:3", "").await.unwrap_err();
    let mut caller = server.caller().await;
    let three = async {
        loop {
            let workers = caller.json("informer.Workers", &"centrifuge".into()).await.unwrap();
            if workers["workers"].as_array().unwrap().len() == 3 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("new workers", three).await;
}

/// Strangers on a tcp relay each send something, and a worker dies.
async fn strangers_on_a_tcp_relay(what: &str, says: impl Fn(&Server) -> Vec<u8>) {
    is_unharmed(
        what,
        64,
        || setup().relay("tcp"),
        async |server| {
            let client = server.client().await;
            let relay = json(&client.rpc("env", "").await.unwrap())["RR_RELAY"].as_str().unwrap().to_owned();
            let _strangers = strangers(&relay, 1300, &says(server)).await;
            a_dead_worker_is_replaced_soon(server).await;
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn silent_strangers_on_a_tcp_relay_do_not_lock_out_a_new_worker() {
    strangers_on_a_tcp_relay("silent strangers on the relay", |_| Vec::new()).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn strangers_on_a_tcp_relay_that_claim_other_pids_do_not_lock_out_a_new_worker() {
    strangers_on_a_tcp_relay("liars on the relay", |_| pid_request(std::process::id()).into()).await;
    strangers_on_a_tcp_relay("the server's own pid", |server| pid_request(server.pid()).into()).await;
}

/// Connects to a socket in a loop until the attack is over, and keeps the last connections open.
async fn connect_beside<T>(server: &Server, socket: &str, keep: usize, attack: impl Future<Output = T>) -> T {
    let (path, is_over) = (server.folder.path().join(socket), Arc::new(AtomicBool::new(false)));
    let connecting = tokio::task::spawn_blocking({
        let is_over = Arc::clone(&is_over);
        move || {
            let mut open = VecDeque::new();
            while !is_over.load(Relaxed) {
                open.extend(std::os::unix::net::UnixStream::connect(&path));
                if open.len() > keep {
                    open.pop_front();
                }
            }
        }
    });
    let result = attack.await;
    is_over.store(true, Relaxed);
    connecting.await.unwrap();
    result
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn connections_in_a_loop_do_not_affect_others() {
    let unix = || worker().pool("num_workers: 3").relay("unix").more("rpc: {listen: unix://rpc.sock}\n");
    is_unharmed("connections in a loop", 64, unix, async |server| {
        for socket in ["rpc.sock", "relay.sock"] {
            connect_beside(server, socket, 0, tokio::time::sleep(Duration::from_secs(1))).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn silent_strangers_on_a_unix_relay_do_not_lock_out_a_new_worker() {
    let few = || setup().relay("unix").through(&["sh", "-c", "ulimit -n 1024; exec \"$0\" \"$@\""]);
    is_unharmed("strangers that evict each other", 64, few, async |server| {
        for _ in 0..3 {
            connect_beside(server, "relay.sock", 200, a_dead_worker_is_replaced_soon(server)).await;
        }
    })
    .await;
}

/// The beginning of HTTP/2 by a client: its preface and empty settings.
pub(super) const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn idle_connections_to_the_proxy_do_not_lock_out_callers() {
    for (what, says) in
        [("silent connections to the proxy", &b""[..]), ("idle connections to the proxy", HTTP2)]
    {
        is_unharmed(what, 64, small, async |server| {
            let client = server.client().await;
            let flag = server.folder.path().join("flag");
            let in_flight = client.spawn_rpc(&format!("wait:{}", flag.display()), "1");
            server.wait_for_output("it waits");
            let _strangers = strangers(server.address(), ENOUGH, says).await;
            let answered = async { server.client().await.rpc("echo", "2").await };
            assert_eq!(soon("a new caller", answered).await.unwrap(), "2");
            std::fs::write(&flag, "").unwrap();
            assert_eq!(soon("the call in flight", in_flight).await.unwrap().unwrap(), "1");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn running_out_of_descriptors_is_logged_in_few_lines_and_locks_no_operator_out() {
    let server = setup().through(&["sh", "-c", "ulimit -n 64; exec \"$0\" \"$@\""]).start();
    // These use up all descriptors, and no listener has reached its own limit.
    let mut all = Vec::new();
    for address in [server.address().to_owned(), server.rpc_address(), server.listening("status")] {
        all.push(strangers(&address, 15, b"").await);
    }
    server.wait_for_output("cannot accept connections");
    all.push(strangers(&server.rpc_address(), 40, b"").await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    soon("workers", command(&server, &["workers", "--json"])).await;
    drop(all);
    server.wait_for_output("accepting connections again");
    soon("workers", command(&server, &["workers", "--json"])).await;
    let lines = server.count_output("cannot accept connections");
    assert!(lines <= 6, "{lines} lines");
}
