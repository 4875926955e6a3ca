//! Whatever a worker sends, in whatever pieces: each request ends, with its own answer or with none.

use std::sync::Arc;
use std::time::Duration;

use bolero::TypeGenerator;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::budget::Share;
use super::connection::Connection;
use super::exchange::Exchange;
use super::fence::{Fence, Order};
use super::in_hand::Tag;
use super::outcome::{Fault, Outcome};
use super::status::Status;
use crate::goridge::{Codec, Flags, Options, StreamBits, encode};
use crate::net::Stream;
use crate::relay::Relay;
use crate::request_type::RequestType;

/// What a worker sends next.
#[derive(Debug, Clone, TypeGenerator)]
enum Piece {
    Answer(u8),
    Error(u8),
    Echo,
    EchoOfAnother,
    Stop,
    Chunk,
    Text(Vec<u8>),
    Wrong {
        flags: u8,
        options: Vec<u32>,
        payload: Vec<u8>,
    },
    /// Its caller goes to the next request.
    Next,
    /// The same, but an answer has begun to arrive before that request, and ends behind it.
    NextInAnAnswer(u8),
}

const PID: u32 = 7;

/// What an answer holds that no request has asked for.
const STRAY: u8 = 255;

fn bytes(piece: &Piece) -> Vec<u8> {
    let frame = |flags: Flags, stream: StreamBits, options: &[u32], payload: &[u8]| {
        let mut bytes = BytesMut::new();
        let options = Options::from_slice(&options[..options.len().min(10)]).unwrap();
        encode(&mut bytes, flags, stream, options, &[payload]).unwrap();
        bytes.to_vec()
    };
    let plain = StreamBits::empty();
    let pid = |pid: u32| frame(Flags::CONTROL, plain, &[], format!("{{\"pid\":{pid}}}").as_bytes());
    match piece {
        Piece::Answer(token) => frame(Flags::empty(), plain, &[0], &[*token]),
        Piece::Error(token) => frame(Flags::ERROR, plain, &[], &[*token]),
        Piece::Echo => pid(PID),
        Piece::EchoOfAnother => pid(PID + 1),
        Piece::Stop => frame(Flags::empty(), plain, &[13], b"{\"stop\":true}"),
        Piece::Chunk => frame(Flags::empty(), StreamBits::STREAM, &[0], b"x"),
        Piece::Text(text) => text.clone(),
        Piece::Wrong { flags, options, payload } => {
            frame(Flags::from_bits_retain(*flags), plain, options, payload)
        }
        Piece::Next => Vec::new(),
        Piece::NextInAnAnswer(at) => halves(*at)[1].clone(),
    }
}

/// An answer to no request, in two halves.
fn halves(at: u8) -> [Vec<u8>; 2] {
    let all = bytes(&Piece::Answer(STRAY));
    let (first, rest) = all.split_at(1 + usize::from(at) % (all.len() - 1));
    [first.to_vec(), rest.to_vec()]
}

/// Plays a worker that sends all this; what it sends behind a `Next` it sends when the next request is in hand.
async fn play(pieces: &[Piece]) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (status, order) = (Arc::new(Status::new(PID, Arc::default())), Order::new(true));
    let fence = Fence::new(Arc::clone(&order));
    let mut connection = Connection::new(status, Relay::Socket(Stream::Unix(ours)), fence, 1000);
    let requests = pieces.chunk_by(|_, next| !matches!(next, Piece::Next | Piece::NextInAnAnswer(_)));
    let mut ignored = [0_u8; 4096];
    for sent in requests {
        if let Some(Piece::NextInAnAnswer(at)) = sent.first() {
            if theirs.write_all(&halves(*at)[0]).await.is_err() {
                return;
            }
            // The runtime hears of what has arrived.
            tokio::task::yield_now().await;
        }
        if connection.drop_leftovers().await.is_err() {
            return;
        }
        let is_fenced = order.is_fenced();
        connection.begin(Codec::Proto, b"{}", Bytes::from_static(b"request"), false, Tag::any()).unwrap();
        let all: Vec<u8> = sent.iter().flat_map(bytes).collect();
        if theirs.write_all(&all).await.is_err() {
            return;
        }
        let answered = tokio::time::timeout(Duration::from_secs(2), connection.answer()).await;
        if let Ok(Ok(Outcome::Answer(body))) = &answered {
            let is_from_here = sent.iter().any(|piece| match piece {
                Piece::Answer(token) => body[..] == [*token],
                // Text may hold a frame.
                Piece::Text(_) | Piece::Wrong { .. } => true,
                // Without a fence nothing tells the two apart.
                Piece::NextInAnAnswer(_) => !is_fenced && body[..] == [STRAY],
                _ => false,
            });
            assert!(is_from_here, "{body:?} is of no request's worker");
        }
        if matches!(answered, Ok(Err(_))) {
            return;
        }
        // A worker that is not done by then is given up.
        if !matches!(tokio::time::timeout(Duration::from_secs(2), connection.settle()).await, Ok(Ok(()))) {
            return;
        }
        let _ = theirs.try_read(&mut ignored);
    }
    drop(connection);
    let _ = theirs.read(&mut ignored).await;
}

#[test]
fn whatever_a_worker_sends_its_requests_end_and_get_nothing_from_elsewhere() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    bolero::check!()
        .with_type::<Vec<Piece>>()
        .with_iterations(5_000)
        .for_each(|pieces| runtime.block_on(play(pieces)));
}

#[tokio::test(start_paused = true)]
async fn while_an_answer_waits_for_memory_its_time_does_not_pass() {
    const ALL: usize = 128 << 20;
    // With so many connections each has a small part, and one has all of the rest.
    let mut others: Vec<_> = (0..2000).map(|_| Share::new(ALL)).collect();
    std::future::poll_fn(|cx| others[0].poll_cover(cx, ALL, ALL)).await;
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (status, relay) = (Arc::new(Status::new(PID, Arc::default())), Relay::Socket(Stream::Unix(ours)));
    let mut exchange =
        Exchange::single(Connection::new(status, relay, Fence::new(Order::new(true)), ALL), Codec::Proto);
    let mut large = BytesMut::new();
    let options = Options::from_slice(&[0]).unwrap();
    encode(&mut large, Flags::empty(), StreamBits::empty(), options, &[&vec![b'x'; 1 << 20]]).unwrap();
    exchange.begin(b"{}", Bytes::from_static(b"request"), false, Tag::any()).unwrap();
    let answered = tokio::spawn(async move {
        let answer = exchange.answer_by(Instant::now() + Duration::from_mins(1)).await;
        (answer, exchange.abandon_by(Instant::now() + Duration::from_mins(1)).await.is_none())
    });
    let sender = tokio::spawn(async move {
        theirs.write_all(&large).await.unwrap();
        theirs
    });
    tokio::time::sleep(Duration::from_mins(10)).await;
    drop(others);
    let (answer, is_overdue) = answered.await.unwrap();
    assert!(matches!(answer, Some(Ok(Outcome::Answer(body))) if body.len() == 1 << 20));
    assert!(is_overdue, "there is no echo");
    drop(sender.await);
}

#[tokio::test]
async fn a_second_large_answer_fails_before_it_is_read() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (status, relay) = (Arc::new(Status::new(PID, Arc::default())), Relay::Socket(Stream::Unix(ours)));
    let mut connection = Connection::new(status, relay, Fence::new(Order::new(true)), 1 << 20);
    // An unrequested answer: from now on others are held until their echo.
    theirs.write_all(&bytes(&Piece::Answer(STRAY))).await.unwrap();
    tokio::task::yield_now().await;
    connection.drop_leftovers().await.unwrap();
    connection.begin(Codec::Proto, b"{}", Bytes::from_static(b"request"), false, Tag::any()).unwrap();
    let mut large = BytesMut::new();
    let options = Options::from_slice(&[0]).unwrap();
    encode(&mut large, Flags::empty(), StreamBits::empty(), options, &[&vec![b'x'; 1 << 19]]).unwrap();
    // The answer to the fence in front of the request, the answer, and the beginning of another one.
    let sent = [bytes(&Piece::Echo), bytes(&Piece::Answer(1)), large[..100].to_vec()].concat();
    theirs.write_all(&sent).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(20), connection.answer()).await.unwrap();
    assert!(matches!(answer, Err(Fault::OutOfStep)), "{answer:?}");
}

#[tokio::test]
async fn what_an_idle_worker_goes_on_sending_does_not_hold_up_its_next_request() {
    for endless in [b"\x15".repeat(1000), b"y\n".repeat(1000), bytes(&Piece::Answer(1)).repeat(100)] {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(&endless).await.unwrap();
        ours.readable().await.unwrap();
        let status = Arc::new(Status::new(PID, Arc::default()));
        let mut connection =
            Connection::new(status, Relay::Socket(Stream::Unix(ours)), Fence::new(Order::new(true)), 1000);
        let sending = tokio::spawn(async move { while theirs.write_all(&endless).await.is_ok() {} });
        tokio::time::timeout(Duration::from_secs(20), connection.drop_leftovers()).await.unwrap().unwrap();
        // A fence of its own separates the request's answer from what still comes.
        connection.begin(Codec::Proto, b"{}", Bytes::from_static(b"request"), false, Tag::any()).unwrap();
        let answer = tokio::time::timeout(Duration::from_millis(300), connection.answer()).await;
        assert!(answer.is_err(), "nothing of this is its answer: {answer:?}");
        sending.abort();
    }
}

/// Sends these pieces after a request, which they leave settled or not. Returns the connection and what its answer was.
async fn answered_by(pieces: &[Piece], fenced: bool) -> (Connection, UnixStream, Result<Outcome, Fault>) {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let fence = Fence::new(Order::new(fenced));
    let mut connection = Connection::new(
        Arc::new(Status::new(PID, Arc::default())),
        Relay::Socket(Stream::Unix(ours)),
        fence,
        1000,
    );
    connection.begin(Codec::Proto, b"{}", Bytes::from_static(b"request"), false, Tag::any()).unwrap();
    theirs.write_all(&pieces.iter().flat_map(bytes).collect::<Vec<_>>()).await.unwrap();
    let answer = connection.answer().await;
    (connection, theirs, answer)
}

#[tokio::test(start_paused = true)]
async fn without_a_fence_a_streamed_answer_is_over_with_its_end_and_not_with_its_first_message() {
    let (mut connection, mut theirs, answer) = answered_by(&[Piece::Chunk], false).await;
    assert!(matches!(answer, Ok(Outcome::Streamed)));
    let wait = tokio::time::timeout(Duration::from_secs(2), connection.settle());
    assert!(wait.await.is_err(), "its end has not come");
    theirs
        .write_all(&[Piece::Chunk, Piece::Answer(STRAY)].map(|piece| bytes(&piece)).concat())
        .await
        .unwrap();
    assert!(connection.settle().await.is_ok());
    connection.begin(Codec::Proto, b"{}", Bytes::from_static(b"next"), false, Tag::any()).unwrap();
    theirs.write_all(&bytes(&Piece::Answer(1))).await.unwrap();
    assert!(matches!(connection.answer().await, Ok(Outcome::Answer(body)) if body[..] == [1]));
}

#[tokio::test(start_paused = true)]
async fn a_streamed_answer_by_which_a_worker_is_found_to_read_ahead_ends_the_connection() {
    let (_connection, _theirs, answer) = answered_by(&[Piece::Echo, Piece::Chunk], true).await;
    assert!(matches!(answer, Err(Fault::OutOfStep)));
}

#[tokio::test]
async fn an_unrequested_answer_is_taken_for_one_to_the_last_request_that_its_worker_can_have_read() {
    let request = |kind| Tag { kind: RequestType::of(kind), ..Tag::any() };
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let (status, relay) = (Arc::new(Status::new(PID, Arc::default())), Relay::Socket(Stream::Unix(ours)));
    let mut connection = Connection::new(status, relay, Fence::new(Order::new(true)), 1000);
    let body = || Bytes::from_static(b"request");
    connection.begin(Codec::Proto, b"{}", body(), false, request("connect")).unwrap();
    let sent = [Piece::Answer(1), Piece::Answer(STRAY), Piece::Echo].map(|piece| bytes(&piece));
    theirs.write_all(&sent.concat()).await.unwrap();
    assert!(matches!(connection.answer().await, Ok(Outcome::Answer(_))));
    connection.settle().await.unwrap();
    assert_eq!(connection.owner(), Some(RequestType::of("connect")));
    // Since one was dropped, the next request has a fence in front of it: what comes before its echo is older.
    connection.begin(Codec::Proto, b"{}", body(), false, request("publish")).unwrap();
    assert_eq!(connection.owner(), Some(RequestType::of("connect")));
    let sent = [Piece::Answer(STRAY), Piece::Echo, Piece::Answer(2), Piece::Echo].map(|piece| bytes(&piece));
    theirs.write_all(&sent.concat()).await.unwrap();
    assert!(matches!(connection.answer().await, Ok(Outcome::Answer(body)) if body[..] == [2]));
    assert_eq!(connection.owner(), Some(RequestType::of("publish")));
}
