//! How a connection is drained, frame by frame: the client speaks HTTP/2 by hand, so that it answers PINGs when the test wants it to.

use std::time::Duration;

use h2::Reason;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Backend;
use super::call::tests::{NoBackend, Silent, service};
use super::connection::{LATE_HANDSHAKE, Lifetime, serve};
use super::lifetime::{MaxAge, ON_THEIR_WAY};
use crate::net::{Accepted, Stream};

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// The last id of a GOAWAY that refuses no call.
const ANY: u32 = u32::MAX >> 1;

const AGE: Duration = Duration::from_mins(10);

#[derive(Debug, PartialEq, Eq)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

struct Client {
    stream: UnixStream,
    server: JoinHandle<()>,
    closing: CancellationToken,
}

impl Client {
    /// A client that is connected and has sent nothing.
    fn silent<B: Backend>(backend: B, max_age: MaxAge) -> Self {
        let (near, stream) = UnixStream::pair().unwrap();
        let accepted = Accepted::alone(Stream::Unix(near));
        let closing = CancellationToken::new();
        let lifetime = Lifetime { max_age, idle_timeout: Duration::ZERO };
        let serving = serve(accepted, service(backend), closing.clone(), lifetime);
        let server = tokio::spawn(async { _ = serving.await });
        Self { stream, server, closing }
    }

    async fn connect<B: Backend>(backend: B, max_age: MaxAge) -> Self {
        let mut client = Self::silent(backend, max_age);
        client.begin().await;
        client
    }

    /// Sends what a connection begins with.
    async fn begin(&mut self) {
        self.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        self.send(SETTINGS, 0, 0, b"").await;
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.stream.write_all(&frame).await.unwrap();
    }

    /// Sends a call.
    async fn call(&mut self, stream: u32) {
        // POST, http, and fields without Huffman's code, whose names are in HPACK's static table.
        let mut block = vec![0x83, 0x86];
        for (name, value) in [
            (&b"\x04"[..], "/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC"),
            (b"\x01", "x"),
            (b"\x0f\x10", "application/grpc"),
        ] {
            block.extend(name);
            block.push(value.len().try_into().unwrap());
            block.extend(value.as_bytes());
        }
        self.send(HEADERS, END_HEADERS, stream, &block).await;
        self.send(DATA, END_STREAM, stream, &[0; 5]).await;
    }

    /// The next frame apart from those about settings and windows; `None` at the end of the connection.
    async fn next(&mut self) -> Option<Frame> {
        loop {
            let mut head = [0; 9];
            self.stream.read_exact(&mut head).await.ok()?;
            let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, l0, l1, l2]) as usize];
            self.stream.read_exact(&mut payload).await.ok()?;
            if ![SETTINGS, WINDOW_UPDATE].contains(&kind) {
                return Some(Frame { kind, flags, stream: u32::from_be_bytes([s0, s1, s2, s3]), payload });
            }
        }
    }

    /// Takes a GOAWAY without an error, with this id of the last call.
    async fn goaway(&mut self, last: u32) {
        let payload = [last.to_be_bytes(), [0; 4]].concat();
        assert_eq!(self.next().await, Some(Frame { kind: GOAWAY, flags: 0, stream: 0, payload }));
    }

    /// Takes the first GOAWAY and the PING behind it, whose payload it returns.
    async fn drained(&mut self) -> Vec<u8> {
        self.goaway(ANY).await;
        let ping = self.next().await.unwrap();
        assert_eq!((ping.kind, ping.flags), (PING, 0));
        ping.payload
    }

    /// Takes an answer without a message.
    async fn answered(&mut self, stream: u32) {
        let answer = self.next().await.unwrap();
        assert_eq!((answer.kind, answer.stream), (HEADERS, stream));
        assert_eq!(answer.flags & END_STREAM, END_STREAM, "an answer without a message is trailers-only");
    }

    async fn ended(mut self) {
        assert_eq!(self.next().await, None);
        self.server.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn calls_on_their_way_at_shutdown_are_accepted_and_answered() {
    let mut client = Client::connect(NoBackend, MaxAge::default()).await;
    client.call(1).await;
    client.answered(1).await;
    client.closing.cancel();
    let ping = client.drained().await;
    // It was sent before the client had read that.
    client.call(3).await;
    client.send(PING, ACK, 0, &ping).await;
    client.goaway(3).await;
    client.answered(3).await;
    client.ended().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_closes_at_shutdown_as_soon_as_its_client_has_heard_of_it() {
    let begin = Instant::now();
    let mut client = Client::connect(NoBackend, MaxAge::default()).await;
    client.closing.cancel();
    let ping = client.drained().await;
    client.send(PING, ACK, 0, &ping).await;
    client.goaway(0).await;
    client.ended().await;
    assert!(begin.elapsed() < ON_THEIR_WAY);
}

#[tokio::test(start_paused = true)]
async fn a_call_of_a_client_that_does_not_hear_is_refused_as_not_seen() {
    let mut client = Client::connect(NoBackend, MaxAge::default()).await;
    client.closing.cancel();
    client.drained().await;
    tokio::time::sleep(ON_THEIR_WAY + Duration::from_millis(1)).await;
    client.call(1).await;
    let refused = client.next().await.unwrap();
    let code = u32::from(Reason::REFUSED_STREAM).to_be_bytes().to_vec();
    assert_eq!(refused, Frame { kind: RST_STREAM, flags: 0, stream: 1, payload: code });
}

#[tokio::test(start_paused = true)]
async fn a_call_sent_together_with_the_handshake_is_answered_during_the_shutdown() {
    let mut client = Client::silent(NoBackend, MaxAge::default());
    client.closing.cancel();
    client.begin().await;
    client.call(1).await;
    let mut kinds = Vec::new();
    while kinds.len() < 3 {
        kinds.push(client.next().await.unwrap().kind);
    }
    kinds.sort_unstable();
    assert_eq!(kinds, [HEADERS, PING, GOAWAY]);
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_a_handshake_is_not_waited_for_long() {
    let begin = Instant::now();
    let client = Client::silent(NoBackend, MaxAge::default());
    client.closing.cancel();
    client.ended().await;
    assert_eq!(begin.elapsed(), LATE_HANDSHAKE);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_drained_and_its_calls_are_cut_off_after_the_grace() {
    let begin = Instant::now();
    let mut client = Client::connect(Silent, MaxAge { age: Some(AGE), grace: Some(AGE) }).await;
    client.call(1).await;
    let (drained, age) = loop {
        let frame = client.next().await.unwrap();
        match frame.kind {
            // The server's own, which ask whether the client is there.
            PING => client.send(PING, ACK, 0, &frame.payload).await,
            GOAWAY => break (Instant::now(), begin.elapsed()),
            _ => panic!("{frame:?}"),
        }
    };
    assert!(age >= AGE.mul_f64(0.9) && age <= AGE.mul_f64(1.1), "{age:?}");
    while let Some(frame) = client.next().await {
        if frame.kind == PING {
            client.send(PING, ACK, 0, &frame.payload).await;
        }
    }
    assert!(drained.elapsed().abs_diff(AGE) < Duration::from_secs(1), "{:?}", drained.elapsed());
    client.server.await.unwrap();
}
