//! Whatever a worker sends, in whatever pieces: each request ends, with its own answer or with none.

use std::future::poll_fn;
use std::sync::Arc;

use bolero::TypeGenerator;
use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::super::numbers::Numbers;
use super::super::requests::{LAST_NUMBERS, Requests};
use super::*;
use crate::goridge::{Decoder, Flags, Item, Options, encode};
use crate::net::Stream;
use crate::worker::in_hand::Tag;
use crate::worker::outcome::{Outcome, Received};

const PID: u32 = 7;

/// Requests in flight.
const REQUESTS: u32 = 3;

/// What a worker sends next.
#[derive(Debug, Clone, TypeGenerator)]
enum Piece {
    Answer(u8),
    Error(u8),
    Stop(u8),
    Chunk(u8),
    Last(u8),
    Credit(u8),
    Window(u8),
    Ping,
    Pid(bool),
    Text(Vec<u8>),
    Wrong { flags: u8, options: Vec<u32>, payload: Vec<u8> },
}

/// Its count, now and then one of no request.
fn id(byte: u8) -> u32 {
    u32::from(byte) % (REQUESTS + 2)
}

fn frame(flags: Flags, stream: StreamBits, options: &[u32], payload: &[u8]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let options = Options::from_slice(&options[..options.len().min(10)]).unwrap();
    encode(&mut bytes, flags, stream, options, &[payload]).unwrap();
    bytes.to_vec()
}

/// The payload of what belongs to a request is its count.
fn bytes(piece: &Piece, numbers: Numbers) -> Vec<u8> {
    let number = |byte| numbers.number(id(byte));
    let of = |flags, stream, byte: u8| {
        frame(flags, stream, &[0, number(byte)], &[u8::try_from(id(byte)).unwrap()])
    };
    let control = |text: String| frame(Flags::CONTROL, StreamBits::empty(), &[], text.as_bytes());
    match piece {
        Piece::Answer(byte) => of(Flags::empty(), StreamBits::empty(), *byte),
        Piece::Error(byte) => of(Flags::ERROR, StreamBits::empty(), *byte),
        Piece::Stop(byte) => {
            frame(Flags::empty(), StreamBits::empty(), &[13, number(*byte)], br#"{"stop":true}"#)
        }
        Piece::Chunk(byte) => of(Flags::empty(), StreamBits::STREAM, *byte),
        Piece::Last(byte) => of(Flags::empty(), StreamBits::STREAM | StreamBits::STOP, *byte),
        Piece::Credit(credit) => control(format!("{{\"credit\":{credit}}}")),
        Piece::Window(byte) => control(format!("{{\"window\":{},\"messages\":1}}", number(*byte))),
        Piece::Ping => frame(Flags::empty(), StreamBits::PING, &[], &[]),
        Piece::Pid(own) => control(format!("{{\"pid\":{}}}", if *own { PID } else { PID + 1 })),
        Piece::Text(text) => text.clone(),
        Piece::Wrong { flags, options, payload } => {
            frame(Flags::from_bits_retain(*flags), StreamBits::empty(), options, payload)
        }
    }
}

/// A connection, and the worker's end of it.
fn connect() -> (Driver, Numbered, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let status = Arc::new(Status::new(PID, Arc::default()));
    let incoming = Incoming::new(Arc::clone(&status), 1000, READING);
    let (driver, unit) = Driver::new(status, Codec::Proto, Relay::Socket(Stream::Unix(ours)), incoming);
    (driver, unit, theirs)
}

fn begin(unit: &Numbered, may_stream: bool) -> Numbered {
    let mut another = unit.another();
    another.begin(b"{}", Bytes::from_static(b"request"), may_stream, Tag::any()).unwrap();
    another
}

/// Takes everything that comes for a request, which all has to be its own; whether its text or broken frames may hold anything.
async fn take_all(mut unit: Numbered, id: u32, is_own: impl Fn(&[u8]) -> bool) {
    match poll_fn(|cx| unit.poll_answer(cx)).await {
        Ok(Outcome::Answer(body)) => assert!(is_own(&body), "{body:?} is not of {id}"),
        Ok(Outcome::Error(text)) => assert!(is_own(text.as_bytes()), "{text:?} is not of {id}"),
        Ok(Outcome::Streaming) => {
            while let Ok(Received::Message(message)) = poll_fn(|cx| unit.poll_message(cx)).await {
                assert!(is_own(&message), "{message:?} is not of {id}");
            }
        }
        Ok(Outcome::Streamed | Outcome::Stop | Outcome::Nothing) | Err(_) => {}
    }
    let _ = unit.release(|| Cancel::Gone);
    let _ = poll_fn(|cx| unit.poll_settled(cx)).await;
}

/// Plays a worker that sends all this, after it was given its requests, and then closes its side.
async fn play(pieces: &[Piece]) {
    let (mut driver, unit, mut theirs) = connect();
    // Text and broken frames may hold any frame.
    let is_clear = !pieces.iter().any(|piece| matches!(piece, Piece::Text(_) | Piece::Wrong { .. }));
    let holders: Vec<_> = (1..=REQUESTS)
        .map(|id| {
            let unit = begin(&unit, id % 2 == 0);
            let is_own = move |body: &[u8]| !is_clear || body == [u8::try_from(id).unwrap()];
            tokio::spawn(take_all(unit, id, is_own))
        })
        .collect();
    let numbers = driver.shared.numbers;
    let sent: Vec<u8> = pieces.iter().flat_map(|piece| bytes(piece, numbers)).collect();
    let worker = tokio::spawn(async move {
        let _ = theirs.write_all(&sent).await;
        let mut read = vec![0; 1 << 16];
        let _ = timeout(Duration::from_secs(1), theirs.read(&mut read)).await;
    });
    while !matches!(driver.next().await, Notice::Ended(_) | Notice::Left) {}
    for holder in holders {
        timeout(Duration::from_secs(10), holder).await.expect("a request never ends").unwrap();
    }
    worker.await.unwrap();
    assert_eq!(driver.in_hand(), 0);
}

#[test]
fn whatever_a_worker_sends_its_requests_end_and_get_nothing_from_elsewhere() {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    bolero::check!()
        .with_type::<Vec<Piece>>()
        .with_iterations(3_000)
        .for_each(|pieces| runtime.block_on(play(pieces)));
}

/// The frames that a worker reads: their flags, options and payloads.
async fn read_frames(theirs: &mut UnixStream, count: usize) -> Vec<(u8, Vec<u32>, Vec<u8>)> {
    let (mut decoder, mut buffer, mut frames) = (Decoder::strict(1 << 20), BytesMut::new(), Vec::new());
    while frames.len() < count {
        match decoder.decode(&mut buffer).unwrap() {
            Some(Item::Frame(frame)) => {
                let options = frame.options.as_slice().to_vec();
                frames.push((frame.flags.bits() | frame.stream.bits() << 1, options, frame.payload.to_vec()));
            }
            _ => assert!(theirs.read_buf(&mut buffer).await.unwrap() > 0),
        }
    }
    assert!(buffer.is_empty());
    frames
}

#[tokio::test]
async fn requests_that_become_ready_together_are_written_together() {
    let (mut driver, unit, mut theirs) = connect();
    let units: Vec<_> = (0..20).map(|_| begin(&unit, false)).collect();
    let driving = tokio::spawn(async move { driver.next().await });
    theirs.readable().await.unwrap();
    let mut read = vec![0; 1 << 16];
    let bytes = theirs.read(&mut read).await.unwrap();
    let one = frame(Flags::PROTO, StreamBits::empty(), &[2, 1], b"{}request").len();
    assert_eq!(bytes, 20 * one, "in one write");
    drop(units);
    driving.abort();
}

#[tokio::test]
async fn a_request_that_is_given_up_before_it_was_written_never_is() {
    let (mut driver, unit, mut theirs) = connect();
    let [one, three] = [1, 3].map(|count| driver.shared.numbers.number(count));
    let [mut first, mut second, mut third] = [(); 3].map(|()| begin(&unit, false));
    assert!(second.release(|| Cancel::Gone).is_ready());
    let driving = tokio::spawn(async move { driver.next().await });
    let frames = read_frames(&mut theirs, 2).await;
    let request = |number| (0x80, vec![2, number], b"{}request".to_vec());
    assert_eq!(frames, [request(one), request(three)]);
    // One that was written is cancelled, once.
    assert!(first.release(|| Cancel::Deadline).is_pending());
    assert!(first.release(|| Cancel::Gone).is_pending());
    assert!(third.release(|| Cancel::ExecTtl).is_pending());
    let texts: Vec<_> =
        read_frames(&mut theirs, 2).await.into_iter().map(|(_, _, payload)| payload).collect();
    let cancel = |number, reason| format!("{{\"cancel\":{number},\"reason\":\"{reason}\"}}").into_bytes();
    assert_eq!(texts, [cancel(one, "deadline"), cancel(three, "exec_ttl")]);
    theirs.write_all(&answer(one, b"late")).await.unwrap();
    assert!(poll_fn(|cx| first.poll_settled(cx)).await.is_ok());
    driving.abort();
}

#[tokio::test]
async fn the_stop_frame_comes_last_and_the_answers_before_it_arrive() {
    let (mut driver, unit, mut theirs) = connect();
    let first = driver.shared.numbers.number(1);
    let mut request = begin(&unit, false);
    unit.drain();
    unit.drain();
    let farewell = tokio::spawn(unit.another().say_farewell());
    let driving = tokio::spawn(async move { driver.next().await });
    let texts: Vec<_> =
        read_frames(&mut theirs, 3).await.into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(texts, [br#"{"drain":true}"#.to_vec(), b"{}request".to_vec(), br#"{"stop":true}"#.to_vec()]);
    theirs.write_all(&answer(first, b"last")).await.unwrap();
    assert!(
        matches!(poll_fn(|cx| request.poll_answer(cx)).await, Ok(Outcome::Answer(body)) if body == "last")
    );
    drop(theirs);
    assert!(farewell.await.unwrap());
    assert!(matches!(driving.await.unwrap(), Notice::Left));
    let mut late = begin(&unit, false);
    assert!(matches!(poll_fn(|cx| late.poll_answer(cx)).await, Err(Fault::Unsent)));
}

#[tokio::test]
async fn the_pool_hears_once_that_numbers_run_out_and_until_there_are_none_requests_are_served() {
    let (mut driver, unit, mut theirs) = connect();
    driver.shared.lock().requests = Requests::after(LAST_NUMBERS - 1);
    let mut request = begin(&unit, false);
    assert!(matches!(driver.next().await, Notice::NumbersUsedUp));
    let driving = tokio::spawn(async move { driver.next().await });
    let number = read_frames(&mut theirs, 1).await[0].1[1];
    theirs.write_all(&answer(number, b"x")).await.unwrap();
    drop(theirs);
    // It is not said again.
    assert!(matches!(driving.await.unwrap(), Notice::Ended(_)));
    assert!(matches!(poll_fn(|cx| request.poll_answer(cx)).await, Ok(Outcome::Answer(body)) if body == "x"));
}

#[tokio::test]
async fn without_a_number_a_request_goes_to_another_worker() {
    let (driver, unit, _theirs) = connect();
    driver.shared.lock().requests = Requests::after(u32::MAX);
    let mut request = begin(&unit, false);
    assert!(!request.has_begun());
    assert!(matches!(poll_fn(|cx| request.poll_answer(cx)).await, Err(Fault::Unsent)));
}

fn answer(number: u32, body: &[u8]) -> Vec<u8> {
    frame(Flags::empty(), StreamBits::empty(), &[0, number], body)
}

fn credit(credit: u32) -> Vec<u8> {
    frame(Flags::CONTROL, StreamBits::empty(), &[], format!("{{\"credit\":{credit}}}").as_bytes())
}

#[tokio::test(start_paused = true)]
async fn a_worker_is_not_silent_while_a_large_answer_arrives() {
    let (mut driver, unit, mut theirs) = connect();
    let answer = answer(driver.shared.numbers.number(1), &[b'x'; 900]);
    let mut request = begin(&unit, false);
    let worker = tokio::spawn(async move {
        for piece in answer.chunks(100) {
            sleep(Duration::from_millis(700)).await;
            theirs.write_all(piece).await.unwrap();
        }
    });
    assert!(matches!(driver.next().await, Notice::Ended(_)), "it is heard all the time");
    assert!(matches!(poll_fn(|cx| request.poll_answer(cx)).await, Ok(Outcome::Answer(_))));
    worker.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_wants_less_after_a_silence_is_back_all_the_same() {
    let (mut driver, unit, mut theirs) = connect();
    let _request = begin(&unit, false);
    assert!(matches!(driver.next().await, Notice::Silent));
    theirs.write_all(&credit(3)).await.unwrap();
    assert!(matches!(driver.next().await, Notice::Back));
    assert!(matches!(driver.next().await, Notice::Credit(3)));
}

#[tokio::test]
async fn of_what_a_worker_wants_in_quick_succession_the_last_counts() {
    let (mut driver, _unit, mut theirs) = connect();
    let all: Vec<u8> = (0..200).flat_map(|number| credit(number % 7)).collect();
    theirs.write_all(&all).await.unwrap();
    drop(theirs);
    let mut seen = Vec::new();
    let end = loop {
        match driver.next().await {
            Notice::Credit(credit) => seen.push(credit),
            other => break other,
        }
    };
    assert!(matches!(end, Notice::Ended(_)));
    assert!(seen.len() <= 1, "{seen:?}");
}
