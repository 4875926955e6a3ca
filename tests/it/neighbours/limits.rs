//! Strangers at the limits of the listeners: docs/reference/limits.md.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use causeway::goridge::Flags;
use futures_util::future::join_all;
use h2::SendStream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::strangers::{HTTP2, get, small, soon, strangers};
use crate::support::frames::{
    AGAIN, CONTINUATION, END_HEADERS, END_STREAM, Frames, HEADERS, Raw, WINDOW_UPDATE, field, rpc,
};
use crate::support::neighbour::is_unharmed;
use crate::support::pki::Pki;
use crate::support::rpc::frame;
use crate::support::streams::Streams;
use crate::support::{PATIENCE, Server, Setup, worker};

/// How long an attack lasts that could last for ever.
const LASTS: Duration = Duration::from_secs(1);

/// More connections than one address may have.
const MANY: usize = 2200;

/// SETTINGS_INITIAL_WINDOW_SIZE.
const WINDOW: u16 = 4;

fn setup() -> Setup {
    worker()
        .pool("num_workers: 3")
        .rpc()
        .more("status: {address: '127.0.0.1:0'}\nmetrics: {address: '127.0.0.1:0'}\n")
}

/// Connects from another address of this machine.
async fn connect_from(address: [u8; 4], to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((Ipv4Addr::from(address), 0))).unwrap();
    socket.connect(to.trim_start_matches("tcp://").parse().unwrap()).await.unwrap()
}

/// Opens [`MANY`] connections from one address, each of which sends something.
async fn many(to: &str, says: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::new();
    for _ in 0..MANY {
        let mut stream = connect_from([127, 0, 0, 3], to).await;
        // The server may have closed it.
        let _ = stream.write_all(says).await;
        all.push(stream);
    }
    all
}

/// Reads until these bytes have come, whatever comes before.
async fn reads(stream: &mut TcpStream, expected: &[u8]) {
    let mut read = Vec::new();
    while !read.windows(expected.len()).any(|bytes| bytes == expected) {
        let more = timeout(PATIENCE, stream.read_buf(&mut read)).await.expect("it comes in time");
        assert!(more.expect("it is open") > 0, "closed after {read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn handshakes_that_are_never_complete_do_not_lock_out_callers() {
    is_unharmed("handshakes byte by byte", 64, setup, async |server| {
        let (proxy, status) = (server.address().to_owned(), server.listening("status"));
        let mut slow = strangers(&proxy, 300, b"").await;
        slow.extend(strangers(&status, 100, b"").await);
        for byte in &HTTP2[..10] {
            for stream in &mut slow {
                // The server may have closed it.
                let _ = stream.write_all(&[*byte]).await;
            }
            let answered = async { server.client().await.rpc("echo", "1").await };
            assert_eq!(soon("a new caller", answered).await.unwrap(), "1");
            let ready = soon("readiness", get(&status, "/ready?plugin=centrifuge")).await;
            assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_ends_with_its_time_on_each_listener() {
    let server = setup().more("causeway: {limits: {handshake_timeout: 500ms}}\n").start();
    for address in [server.address().to_owned(), server.listening("status"), server.listening("metrics")] {
        for sent in [&b""[..], &HTTP2[..10]] {
            let begin = Instant::now();
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            // The proxy sends its settings first. Whether the end is a reset does not matter.
            let _ = timeout(PATIENCE, stream.read_to_end(&mut Vec::new())).await.expect("it is closed");
            assert!(begin.elapsed() >= Duration::from_millis(500));
        }
    }
    // A caller that is through with it stays.
    let client = server.client().await;
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.rpc("echo", "2").await.unwrap(), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_gets_a_goaway_and_its_caller_another_one() {
    let server = worker().more("causeway: {limits: {idle_timeout: 400ms}}\n").start();
    let mut idle = TcpStream::connect(server.address()).await.unwrap();
    idle.write_all(HTTP2).await.unwrap();
    let client = server.client().await;
    let call = client.spawn_rpc("sleep:3", "1");
    // GOAWAY, with the highest number of a stream: what was sent meanwhile is answered.
    reads(&mut idle, b"\0\0\x08\x07\0\0\0\0\0\x7f\xff\xff\xff").await;
    assert_eq!(call.await.unwrap().unwrap(), "1", "a call in flight is no silence");
    for round in 0..3 {
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(client.rpc("echo", &round.to_string()).await.unwrap(), round.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn connections_of_one_address_cost_another_address_none() {
    for (what, says) in [("silent connections of one address", &b""[..]), ("idle connections", HTTP2)] {
        is_unharmed(what, 96, small, async |server| {
            // The first ones to be evicted, if all addresses were the same.
            let mut other = connect_from([127, 0, 0, 2], server.address()).await;
            other.write_all(HTTP2).await.unwrap();
            let mut operator = connect_from([127, 0, 0, 2], &server.rpc_address()).await;
            let _strangers = many(server.address(), says).await;
            let idle = frame(Flags::JSON, 1, "rpc.Version", b"true");
            let _callers = many(&server.rpc_address(), &idle).await;
            other.write_all(b"\0\0\x08\x06\0\0\0\0\0a ping..").await.unwrap();
            reads(&mut other, b"\0\0\x08\x06\x01\0\0\0\0a ping..").await;
            operator.write_all(&idle).await.unwrap();
            reads(&mut operator, b"\"2025.1.15\"").await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_do_not_share_the_limit_of_one_address() {
    let limits = "causeway: {limits: {connections_per_address: 4}}\n";
    let server = worker().rpc().more(limits).start();
    let call = frame(Flags::JSON, 1, "rpc.Version", b"true");
    let mut workers = strangers(&server.rpc_address(), 70, b"").await;
    for _ in 0..2 {
        for worker in &mut workers {
            worker.write_all(&call).await.unwrap();
        }
        for worker in &mut workers {
            reads(worker, b"\"2025.1.15\"").await;
        }
    }
}

/// Reads frames until the server closes the connection. Returns the types and flags of them, with the last 4 bytes of each payload.
async fn frames_of(mut stream: impl tokio::io::AsyncRead + Unpin) -> Vec<(u8, [u8; 4])> {
    let (mut bytes, mut frames) = (Vec::new(), Vec::new());
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let mut rest = &bytes[..];
    while let [l0, l1, l2, kind, _, _, _, _, _, ..] = rest {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let Some(payload) = rest.get(9..9 + length) else { break };
        frames.push((*kind, payload.first_chunk().copied().unwrap_or_default()));
        rest = &rest[9 + length..];
    }
    frames
}

/// Opens and cancels calls until the server closes the connection, or for [`PATIENCE`]. Returns how many, and whether it was closed.
async fn cancel(server: &Server) -> (u32, bool) {
    let mut caller = Raw::connect(server, &[]).await.drained();
    let (begin, mut sent) = (Instant::now(), 0);
    while begin.elapsed() < PATIENCE {
        let mut frames = Frames::default();
        for _ in 0..500 {
            let id = caller.open();
            frames.call(id, 0).reset(id);
        }
        if !caller.send(&frames).await {
            return (sent, true);
        }
        sent += 500;
    }
    (sent, false)
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_flood_of_cancelled_calls_ends_with_its_connection() {
    is_unharmed("rapid reset", 64, setup, async |server| {
        let begin = Instant::now();
        let (sent, is_closed) = cancel(server).await;
        println!("{sent} calls in {:?}", begin.elapsed());
        if is_closed {
            server.wait_for_output("too many cancelled calls, connection closed");
        } else {
            // On a busy machine it may be slower than what is allowed continuously.
            let rate = f64::from(sent) / begin.elapsed().as_secs_f64();
            assert!(rate < 13_000.0, "{rate} calls per second");
        }
    })
    .await;
}

/// RPC, and with TLS for operators. The key is the slowest that is common.
pub(super) fn rpc_with_tls(setup: Setup) -> Setup {
    let request = "req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.pem";
    let folder = setup.folder.path();
    let made = std::process::Command::new("openssl").args(request.split(' ')).current_dir(folder).output();
    if !made.is_ok_and(|output| output.status.success()) {
        Pki::new(folder, &["server"]);
    }
    let operators = "listen: tcp://127.0.0.1:0, tls: {cert: server.pem, key: server.key}";
    setup.more(&format!("rpc: {{listen: tcp://127.0.0.1:0, operators: {{{operators}}}}}\n"))
}

/// The first message of a TLS client.
fn client_hello() -> Vec<u8> {
    let config = ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn a_flood_of_tls_handshakes_does_not_delay_others() {
    let setup = || rpc_with_tls(worker()).pool("num_workers: 3");
    is_unharmed("a flood of TLS handshakes", 96, setup, async |server| {
        let line = server.wait_for_output("rpc.operators");
        let (_, address) = line.split_once("tcp://").unwrap();
        let address = address.split(['"', ' ']).next().unwrap();
        // The server signs its answer to it, which costs the client nothing.
        let hello = client_hello();
        let flood = async || {
            let (end, mut open, mut sent) = (Instant::now() + LASTS, VecDeque::new(), 0);
            while Instant::now() < end {
                let mut stream = TcpStream::connect(address).await.unwrap();
                // The server may have closed it.
                let _ = stream.write_all(&hello).await;
                open.push_back(stream);
                open.drain(..open.len().saturating_sub(200));
                sent += 1;
            }
            sent
        };
        let sent: usize = join_all((0..4).map(|_| flood())).await.into_iter().sum();
        println!("{sent} handshakes");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn calls_beyond_what_a_connection_may_have_open_are_refused() {
    /// RST_STREAM, with REFUSED_STREAM.
    const REFUSED: (u8, [u8; 4]) = (3, [0, 0, 0, 7]);
    is_unharmed("20,000 open calls", 128, setup, async |server| {
        let Raw { stream, mut next } = Raw::connect(server, &[]).await;
        let (read, mut write) = stream.into_split();
        let reading = tokio::spawn(frames_of(read));
        for _ in 0..20 {
            let mut frames = Frames::default();
            for _ in 0..1000 {
                frames.call(next, 0);
                next += 2;
            }
            write.write_all(&frames.0).await.unwrap();
        }
        tokio::time::sleep(LASTS).await;
        write.shutdown().await.unwrap();
        let refused = reading.await.unwrap().into_iter().filter(|frame| *frame == REFUSED).count();
        // What is announced is 11,000, and calls that have ended count for a moment.
        assert!((7_500..=9_000).contains(&refused), "{refused}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn header_lists_that_are_too_long() {
    is_unharmed("header lists of 75 KB", 64, setup, async |server| {
        let mut caller = Raw::connect(server, &[]).await.drained();
        // A literal that does not go into the table.
        let mut more = field(0, "x", &[b'x'; 15_000]);
        more[0] = 0;
        let begin = Instant::now();
        let mut sent = 0;
        while begin.elapsed() < LASTS {
            let (mut frames, id) = (Frames::default(), caller.open());
            frames.add(HEADERS, END_STREAM, id, &AGAIN);
            for number in 1..=5 {
                frames.add(CONTINUATION, if number == 5 { END_HEADERS } else { 0 }, id, &more);
            }
            assert!(caller.send(&frames).await, "the connection goes on");
            sent += 1;
        }
        println!("{sent} calls");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn messages_that_are_held_on_many_connections_are_bounded_in_total() {
    // 336 MB, of which 256 may be held.
    is_unharmed("14 of 15 MB on each of 24 connections", 400, setup, async |server| {
        let message = Bytes::from(rpc("echo", &vec![b'1'; 15 << 20]));
        let mut held = Vec::new();
        for _ in 0..24 {
            let (mut caller, half) = (Streams::connect(server).await, message.slice(..14 << 20));
            held.push(tokio::spawn(async move {
                let (response, mut body) = caller.begin("RPC").await;
                let _ = timeout(8 * LASTS, send(&mut body, half)).await;
                (caller, response, body)
            }));
        }
        let mut kept = Vec::new();
        for caller in held {
            kept.push(caller.await.unwrap());
        }
        tokio::time::sleep(LASTS).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn answers_that_are_read_byte_by_byte() {
    is_unharmed("300 answers of 20 KB, byte by byte", 96, setup, async |server| {
        let message = rpc("echo", &vec![b'1'; 20_000]);
        let mut caller = Raw::connect(server, &[(WINDOW, 0)]).await.drained();
        let mut calls = Vec::new();
        for _ in 0..300 {
            let (mut frames, id) = (Frames::default(), caller.open());
            caller.send(frames.call(id, 0).message(id, &message)).await;
            calls.push(id);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let begin = Instant::now();
        while begin.elapsed() < LASTS {
            let mut frames = Frames::default();
            for id in &calls {
                frames.add(WINDOW_UPDATE, 0, *id, &1_u32.to_be_bytes());
            }
            assert!(caller.send(&frames).await, "the connection goes on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

/// Sends these bytes of a message as its window allows, some megabytes per second, unless the call has ended.
async fn send(body: &mut SendStream<Bytes>, mut bytes: Bytes) {
    while !bytes.is_empty() {
        body.reserve_capacity(bytes.len());
        let Some(Ok(room)) = poll_fn(|cx| body.poll_capacity(cx)).await else { return };
        if body.send_data(bytes.split_to(room.min(bytes.len()).min(64 << 10)), false).is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Asks for something again and again, and reads a byte of the answers now and then.
async fn sip(address: String, request: Vec<u8>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address.trim_start_matches("tcp://").parse().unwrap()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let sending = async { while writer.write_all(&request).await.is_ok() {} };
    let reading = async {
        while let Ok(1..) = reader.read(&mut [0; 1]).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _ = timeout(LASTS, async { tokio::join!(sending, reading) }).await;
}

#[tokio::test(flavor = "multi_thread")]
pub(super) async fn readers_of_single_bytes_on_each_listener() {
    is_unharmed("slow readers of all listeners", 96, setup, async |server: &Server| {
        let call = frame(Flags::RAW, 1, "rpc.Config", b"").to_vec();
        let page = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
        let (rpc, metrics) = (server.rpc_address(), server.listening("metrics"));
        let slow: Vec<_> = (0..40)
            .flat_map(|_| [(rpc.clone(), call.clone()), (metrics.clone(), page.clone())])
            .map(|(address, request)| tokio::spawn(sip(address, request)))
            .collect();
        for reader in slow {
            reader.await.unwrap();
        }
    })
    .await;
}
