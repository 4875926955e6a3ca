//! Callers who speak HTTP/2 slowly, half, or not at all.

use std::time::{Duration, Instant};

use bytes::{BufMut as _, Bytes, BytesMut};
use causeway::proto::proxy::{RpcRequest, RpcResponse};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, header};
use nix::sys::signal::Signal;
use prost::Message as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Server, worker};

const RPC: &str = "centrifugal.centrifugo.proxy.CentrifugoProxy/RPC";

/// What an idle server needs for its end on a busy machine; the grace period would be 30 s.
const SOON: Duration = Duration::from_secs(15);

/// A caller whose connection is read and written by its own task.
struct Caller {
    calls: SendRequest<Bytes>,
    address: String,
}

impl Caller {
    /// `window` is how many bytes of an answer it takes before it has to be asked to take more.
    async fn connect(server: &Server, window: u32) -> Self {
        let stream = TcpStream::connect(server.address()).await.unwrap();
        let (calls, connection) = Builder::new()
            .initial_window_size(window)
            // Answers that nothing reads are no reason for this side to disconnect.
            .data_frame_budget(usize::MAX)
            .handshake::<_, Bytes>(stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { calls, address: server.address().to_owned() }
    }

    /// The headers of a call.
    async fn begin(&mut self, path: &str, timeout: Option<&str>) -> (ResponseFuture, SendStream<Bytes>) {
        std::future::poll_fn(|cx| self.calls.poll_ready(cx)).await.unwrap();
        let mut request = Request::post(format!("http://{}/{path}", self.address))
            .header(header::CONTENT_TYPE, "application/grpc")
            .header(header::TE, "trailers");
        if let Some(timeout) = timeout {
            request = request.header("grpc-timeout", timeout);
        }
        self.calls.send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// A whole call; gives the body of the answer, of which nothing was taken yet.
    async fn call(&mut self, path: &str, message: &impl prost::Message) -> RecvStream {
        let (response, mut body) = self.begin(path, None).await;
        body.send_data(framed(message), true).unwrap();
        response.await.unwrap().into_body()
    }
}

/// A message behind gRPC's prefix.
fn framed(message: &impl prost::Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(message.encoded_len().try_into().unwrap());
    message.encode(&mut bytes).unwrap();
    bytes.freeze()
}

fn echo(data: &str) -> RpcRequest {
    RpcRequest { method: "echo".into(), data: data.as_bytes().to_vec().into(), ..RpcRequest::default() }
}

/// Reads an answer, with a pause after each piece. Returns the data of the result.
async fn take(mut body: RecvStream, rest: Duration) -> Bytes {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        bytes.extend_from_slice(&piece);
        tokio::time::sleep(rest).await;
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    RpcResponse::decode(bytes.split_off(5)).unwrap().result.unwrap().data
}

async fn ends_soon(server: Server) {
    server.signal(Signal::SIGTERM);
    has_ended_soon(server).await;
}

/// After the stop signal.
async fn has_ended_soon(mut server: Server) {
    let begin = Instant::now();
    assert_eq!(server.exit().await.code(), Some(0));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_never_get_to_a_call_do_not_delay_the_end() {
    let server = worker().start();
    let mut silent = Vec::new();
    for begin in [&b""[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04"] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(begin).await.unwrap();
        silent.push(stream);
    }
    // Accepted after those, in whatever state they are.
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
    ends_soon(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_is_frozen_does_not_delay_the_end_when_nothing_is_left_for_it() {
    let server = worker().start();
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let (mut calls, mut connection) = h2::client::handshake(stream).await.unwrap();
    let request = Request::get(format!("http://{}/", server.address())).body(()).unwrap();
    let (response, _) = calls.send_request(request, true).unwrap();
    // From the answer on, the connection is not read.
    tokio::select! {
        response = response => assert_eq!(response.unwrap().status(), 405),
        _ = &mut connection => unreachable!("the connection has ended"),
    }
    ends_soon(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_watches_the_health_does_not_delay_the_end() {
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    struct State {
        #[prost(int32, tag = "1")]
        status: i32,
    }
    let server = worker().start();
    let mut caller = Caller::connect(&server, 65_535).await;
    let mut states = caller.call("grpc.health.v1.Health/Watch", &State::default()).await;
    assert_eq!(states.data().await.unwrap().unwrap(), framed(&State { status: 1 }));
    server.signal(Signal::SIGTERM);
    assert_eq!(states.data().await.unwrap().unwrap(), framed(&State { status: 2 }));
    has_ended_soon(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_caller_takes_slowly_arrives_whole_after_the_stop_signal_too() {
    let mut server = worker().start();
    let mut caller = Caller::connect(&server, 4096).await;
    let data = "0123456789abcdef".repeat(8192);
    let answer = caller.call(RPC, &echo(&data)).await;
    server.signal(Signal::SIGTERM);
    server.wait_for_output("draining connections");
    // Much longer than what a server allows connections that have nothing left to say.
    assert_eq!(take(answer, Duration::from_millis(50)).await, data);
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_its_caller_does_not_take_holds_no_worker() {
    let server = worker().start();
    let client = server.client().await;
    for size in [100, 100_000] {
        let mut caller = Caller::connect(&server, 0).await;
        let data = "x".repeat(size);
        let answer = caller.call(RPC, &echo(&data)).await;
        for _ in 0..3 {
            assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
        }
        drop(answer);
        assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    }
    ends_soon(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_does_not_come_to_its_end_holds_no_worker_and_fails_at_its_deadline() {
    let server = worker().start();
    let client = server.client().await;
    let mut caller = Caller::connect(&server, 65_535).await;
    let message = framed(&echo("never"));
    let mut half = Vec::new();
    for sent in [0, 3, message.len() - 1] {
        let (response, mut body) = caller.begin(RPC, Some("300m")).await;
        body.send_data(message.slice(..sent), false).unwrap();
        half.push((response, body));
    }
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    for (response, _body) in half {
        let response = tokio::time::timeout(PATIENCE, response).await.unwrap().unwrap();
        assert_eq!(response.headers()["grpc-status"], "4", "DEADLINE_EXCEEDED");
    }
    ends_soon(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_breaks_off_is_an_error_of_its_call_alone() {
    let server = worker().start();
    let mut caller = Caller::connect(&server, 65_535).await;
    let message = framed(&echo("half"));
    for (sent, words) in [(0, "Missing request message"), (message.len() - 1, "Unexpected EOF")] {
        let (response, mut body) = caller.begin(RPC, None).await;
        body.send_data(message.slice(..sent), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["grpc-status"], "13", "INTERNAL");
        let text = response.headers()["grpc-message"].to_str().unwrap().replace("%20", " ");
        assert!(text.contains(words), "{text}");
    }
    assert_eq!(take(caller.call(RPC, &echo("1")).await, Duration::ZERO).await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_cancelled_calls_do_not_affect_the_others() {
    let server = worker().pool("num_workers: 2").start();
    let mut caller = Caller::connect(&server, 65_535).await;
    let message = framed(&echo("taken back"));
    for n in 0..20_000 {
        let (_, mut body) = caller.begin(RPC, None).await;
        // With nothing sent but headers, with half a message, and with all of it.
        match n % 3 {
            0 => {}
            1 => body.send_data(message.slice(..8), false).unwrap(),
            _ => body.send_data(message.clone(), true).unwrap(),
        }
        body.send_reset(Reason::CANCEL);
    }
    assert_eq!(take(caller.call(RPC, &echo("1")).await, Duration::ZERO).await, "1");
    assert_eq!(server.client().await.rpc("echo", "2").await.unwrap(), "2");
    ends_soon(server).await;
}
