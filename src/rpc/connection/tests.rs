//! Whatever a caller sends, in whatever pieces: the connection ends, and each reply is for a call that was made.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use bolero::TypeGenerator;
use bytes::{Bytes, BytesMut};
use futures_util::poll;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot, watch};

use super::calls::{CALL, Done};
use super::replies::MAX_UNSENT;
use super::{CANCELLED, Call, Connection, FREE, Fault, READ, Running, Share, TURN, serve};
use crate::api;
use crate::compat::Compat;
use crate::goridge::{Decoder, Flags, Item, Options, StreamBits, encode};
use crate::net::Registration;
use crate::overview::{About, Overview, Sources};
use crate::pools::UpcomingPools;
use crate::rpc::envelope;
use crate::rpc::memory::MAX_TOTAL;
use crate::rpc::router::Router;
use crate::rpc::services::Services;

/// What a caller sends next.
#[derive(Debug, Clone, TypeGenerator)]
enum Piece {
    Call {
        method: u8,
        flags: u8,
        argument: Vec<u8>,
    },
    /// A well-formed argument.
    Json {
        method: u8,
        argument: u8,
    },
    Wrong {
        flags: u8,
        options: Vec<u32>,
        payload: Vec<u8>,
    },
    Bytes(Vec<u8>),
}

/// Methods that need neither workers nor Centrifugo, and some that do not exist.
const METHODS: [&str; 14] = [
    "rpc.Version",
    "rpc.Config",
    "informer.List",
    "informer.Jobs",
    "resetter.List",
    "status.Ready",
    "metrics.Declare",
    "metrics.Add",
    "metrics.Observe",
    "lock.Lock",
    "lock.Release",
    "nope.Nope",
    "rpc.",
    "",
];

const ARGUMENTS: [&str; 6] = [
    "true",
    "\"centrifuge\"",
    r#"{"plugin":"centrifuge"}"#,
    r#"{"name":"x","value":1,"labels":[],"collector":{"type":"counter","help":"h"}}"#,
    r#"{"resource":"r","id":"a","ttl":1000,"wait":1000}"#,
    "[[[[",
];

fn frame(flags: Flags, options: &[u32], payload: &[&[u8]]) -> Vec<u8> {
    let mut bytes = BytesMut::new();
    let options = Options::from_slice(&options[..options.len().min(10)]).unwrap();
    encode(&mut bytes, flags, StreamBits::empty(), options, payload).unwrap();
    bytes.to_vec()
}

fn bytes(piece: &Piece, sequence: u32) -> Vec<u8> {
    let call = |flags: Flags, method: u8, argument: &[u8]| {
        let method = METHODS[usize::from(method) % METHODS.len()];
        frame(flags, &[sequence, u32::try_from(method.len()).unwrap()], &[method.as_bytes(), argument])
    };
    match piece {
        Piece::Call { method, flags, argument } => call(Flags::from_bits_retain(*flags), *method, argument),
        Piece::Json { method, argument } => {
            call(Flags::JSON, *method, ARGUMENTS[usize::from(*argument) % ARGUMENTS.len()].as_bytes())
        }
        Piece::Wrong { flags, options, payload } => {
            frame(Flags::from_bits_retain(*flags), options, &[payload])
        }
        Piece::Bytes(bytes) => bytes.clone(),
    }
}

fn router() -> Router {
    let (stop, _) = mpsc::channel(1);
    let (upgrade, _) = mpsc::channel(1);
    let (pools, serving, compat) = (UpcomingPools::new(&[]), watch::channel(true).1, Compat::default());
    let about = About::new(compat, "{}", &[]);
    let overview = Overview::new(Sources { pools: pools.clone(), serving: serving.clone(), about });
    Router::new(Arc::new(Services {
        api: api::Client::new(&api::Config::default()).unwrap(),
        pools,
        overview,
        streams: crate::streams::Streams::unhandled(),
        config: arc_swap::ArcSwap::from_pointee(Bytes::from_static(b"{}")),
        serving,
        metrics: Arc::default(),
        locks: crate::rpc::Locks::in_memory(crate::compat::Compat::default()),
        stop,
        upgrade,
        reload: mpsc::channel(1).0,
        compat,
    }))
}

/// Sends these pieces, then nothing more, and checks the replies.
async fn play(pieces: &[Piece]) {
    let (ours, theirs) = tokio::io::duplex(256);
    let router = router();
    let (theirs_read, theirs_write) = tokio::io::split(theirs);
    let registration = Registration::alone();
    let serving = serve(theirs_read, theirs_write, &registration, &router);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let sending = async {
        for (sequence, piece) in (0..).zip(pieces) {
            // The connection may be closed already.
            if writer.write_all(&bytes(piece, sequence)).await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    };
    let receiving = async {
        let (mut decoder, mut buffer) = (Decoder::strict(usize::MAX), BytesMut::new());
        let mut replies: HashMap<u32, usize> = HashMap::new();
        while let Ok(1..) = reader.read_buf(&mut buffer).await {
            while let Some(Item::Frame(frame)) = decoder.decode(&mut buffer).unwrap() {
                let &[sequence, length] = frame.options.as_slice() else { panic!("{frame:?}") };
                assert!(length as usize <= frame.payload.len());
                *replies.entry(sequence).or_default() += 1;
            }
        }
        assert!(buffer.is_empty());
        replies
    };
    let (_, (), replies) = tokio::join!(serving, sending, receiving);
    let is_orderly = |piece: &Piece| matches!(piece, Piece::Call { .. } | Piece::Json { .. });
    let orderly = pieces.iter().take_while(|piece| is_orderly(piece)).count();
    for (sequence, _) in (0..).zip(&pieces[..orderly]) {
        let waits = matches!(&pieces[sequence as usize], Piece::Call { method, .. } | Piece::Json { method, .. }
            if METHODS[usize::from(*method) % METHODS.len()] == "lock.Lock");
        // A caller that waits for a lock and disconnects is not answered.
        assert!(waits || replies.get(&sequence).is_some_and(|count| *count >= 1), "{sequence} of {pieces:?}");
    }
}

#[test]
fn each_call_is_answered_and_the_connection_ends_whatever_is_sent() {
    // The clock stands still while any task can go on, and jumps when all of them wait.
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    bolero::check!()
        .with_type::<Vec<Piece>>()
        .with_iterations(3_000)
        .for_each(|pieces| runtime.block_on(play(pieces)));
}

/// Bytes that a caller has sent and the server has not read, at most.
const PIPE: usize = 256 << 10;

/// Serves a caller that sends `calls` again and again and reads nothing, until no more are read from it. Returns the bytes that it could
/// send.
async fn taken_without_reading(calls: &[u8]) -> usize {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (theirs_read, theirs_write) = tokio::io::split(theirs);
    let (router, registration) = (router(), Registration::alone());
    let (_unread, mut writer) = tokio::io::split(ours);
    let mut sent = 0;
    let flood = async {
        loop {
            sent += writer.write(&calls[sent % calls.len()..]).await.unwrap();
        }
    };
    tokio::select! {
        _ = serve(theirs_read, theirs_write, &registration, &router) => unreachable!("it has not hung up"),
        // The clock jumps once neither side can go on.
        _ = tokio::time::timeout(Duration::from_secs(1), flood) => {}
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn no_calls_are_read_ahead_of_those_that_are_answered() {
    let reply = frame(Flags::JSON, &[1, 11], &[b"rpc.Version", b"\"2025.1.15\""]).len();
    let call = frame(Flags::JSON, &[1, 11], &[b"rpc.Version", b"true"]);
    let sent = taken_without_reading(&call.repeat(1000)).await;
    // In both directions, PIPE bytes are on their way.
    let answered = (MAX_UNSENT + PIPE) / reply * call.len();
    assert!(sent <= answered + PIPE + 4 * READ, "{sent} bytes of calls");
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_keep_nothing_that_was_read_with_them() {
    let (router, registration) = (router(), Registration::alone());
    let mut connection = Connection::new(&registration, &router);
    for sequence in 0..3 {
        connection.input.extend_from_slice(&bytes(&Piece::Json { method: 9, argument: 4 }, sequence));
    }
    let capacity = connection.input.capacity();
    connection.start_calls().unwrap();
    assert_eq!((connection.calls.len(), connection.input.len()), (3, 0));
    assert!(connection.input.try_reclaim(capacity), "a call shares the buffer");
}

#[tokio::test]
async fn a_call_that_is_costly_to_decode_is_counted_before_another_is_started() {
    let command = r#"{"publish":{"channel":"a","data":1}}"#;
    let argument = format!("{{\"commands\":[{}]}}", vec![command; 300].join(","));
    let call = frame(Flags::JSON, &[1, 16], &[b"centrifuge.Batch", argument.as_bytes()]);
    let (router, registration) = (router(), Registration::alone());
    let mut connection = Connection::new(&registration, &router);
    connection.input.extend_from_slice(&call.repeat(2));
    assert!(connection.start_calls().unwrap(), "the second one remains");
    assert_eq!(connection.calls.len(), 1);
    assert!(connection.work >= TURN, "{} units of work", connection.work);
}

#[tokio::test]
async fn many_calls_that_end_with_their_caller_are_cancelled_in_turns() {
    let (router, registration) = (router(), Registration::alone());
    let mut connection = Connection::new(&registration, &router);
    for sequence in 0..200 {
        connection.input.extend_from_slice(&bytes(&Piece::Json { method: 9, argument: 4 }, sequence));
    }
    while connection.start_calls().unwrap() {}
    assert_eq!(connection.calls.until_hangup.len(), 200);
    let mut cancelled = pin!(connection.cancel_waiting());
    for _ in 0..200 / CANCELLED {
        assert!(poll!(cancelled.as_mut()).is_pending());
        tokio::task::yield_now().await;
    }
    assert!(poll!(cancelled).is_ready());
}

#[test]
fn a_collector_with_all_its_series_is_removed_beside_the_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let router = router();
        let call = |method: &'static str, argument: &'static str| Call {
            sequence: 1,
            method: Bytes::from_static(method.as_bytes()),
            argument: Bytes::from_static(argument.as_bytes()),
            flags: Flags::JSON,
        };
        router.answer(&call("metrics.Declare", ARGUMENTS[3])).await.unwrap();
        // The only other thread is busy until `free` is dropped.
        let (free, busy) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || busy.recv());
        let unregister = call("metrics.Unregister", "\"x\"");
        let mut removed = pin!(router.answer(&unregister));
        assert!(poll!(removed.as_mut()).is_pending());
        drop(free);
        assert_eq!(removed.await.unwrap(), "true");
        let error = router.answer(&unregister).await.unwrap_err().to_string();
        assert_eq!(error, "metrics_plugin_unregister: undefined collector x");
    });
}

#[test]
fn a_call_in_flight_takes_no_more_memory_than_it_counts_as() {
    let router = router();
    let call = Call {
        sequence: 1,
        method: Bytes::from_static(b"centrifuge.Publish"),
        argument: Bytes::new(),
        flags: Flags::PROTO,
    };
    let size = size_of_val(&router.answer(&call));
    assert!(size + size_of::<Done>() + 256 <= CALL, "{size}");
}

/// A call that ends when the sender is used or dropped, and sets the flag.
fn slow_call() -> (oneshot::Sender<()>, Arc<AtomicBool>, Running<'static>) {
    let (end, ended) = oneshot::channel();
    let is_finished = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&is_finished);
    let call = Box::pin(async move {
        let _ = ended.await;
        flag.store(true, Relaxed);
        Done::refused(Flags::JSON, 1, Bytes::new(), String::new())
    });
    (end, is_finished, call)
}

#[tokio::test(start_paused = true)]
async fn a_call_is_finished_though_its_connection_is_closed_for_a_fault() {
    let (router, registration) = (router(), Registration::alone());
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (theirs_read, theirs_write) = tokio::io::split(theirs);
    let (_reader, mut writer) = tokio::io::split(ours);
    let half = frame(Flags::JSON, &[1, 11], &[b"rpc.Version", b"true"]);
    writer.write_all(&half[..20]).await.unwrap();
    let mut connection = Connection::new(&registration, &router);
    let (end, is_finished, call) = slow_call();
    connection.calls.remote.push(call);
    let fault = connection.run(theirs_read, theirs_write).await.unwrap_err();
    assert!(matches!(fault, Fault::IncompleteCall), "{fault}");
    let mut unfinished = connection.into_unfinished();
    assert!(poll!(pin!(unfinished.finish())).is_pending());
    end.send(()).unwrap();
    unfinished.finish().await;
    assert!(is_finished.load(Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_peer_may_connect_long_before_its_first_call() {
    let (ours, theirs) = tokio::io::duplex(PIPE);
    let (theirs_read, theirs_write) = tokio::io::split(theirs);
    let (mut reader, mut writer) = tokio::io::split(ours);
    let (router, registration) = (router(), Registration::alone());
    let call = frame(Flags::JSON, &[1, 11], &[b"rpc.Version", b"true"]);
    let late = async {
        tokio::time::sleep(Duration::from_hours(24)).await;
        writer.write_all(&call).await.unwrap();
        reader.read_u8().await.unwrap();
    };
    tokio::select! {
        _ = serve(theirs_read, theirs_write, &registration, &router) => panic!("the connection was closed"),
        () = late => {}
    }
}

#[tokio::test]
async fn no_lock_is_granted_without_memory_for_the_reply() {
    let (router, registration) = (router(), Registration::alone());
    let mut connection = Connection::new(&registration, &router);
    assert!(connection.may_grant());
    // Another connection holds all memory, and this one has unread replies.
    let mut other = Share::new(Arc::clone(router.memory()));
    assert!(other.cover(MAX_TOTAL + FREE));
    let unread = Ok(Bytes::from(vec![b'x'; FREE]));
    envelope::reply(&mut connection.output, Flags::JSON, 1, b"", &unread);
    assert!(!connection.may_grant());
    drop(other);
    assert!(connection.may_grant());
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_ended_keeps_the_memory_of_its_calls_only_and_no_place_in_the_queue() {
    let (registration, router) = (Registration::alone(), router());
    let (end, _, call) = slow_call();
    let mut connection = Connection::new(&registration, &router);
    connection.calls.local.push(call);
    assert!(connection.share.cover(FREE + MAX_TOTAL / 2));
    let [mut other, mut next] = [(); 2].map(|()| Share::new(Arc::clone(router.memory())));
    assert!(other.cover(FREE + MAX_TOTAL / 2));
    connection.share.wait_for(FREE + MAX_TOTAL);
    assert!(!connection.share.granted().await, "there is no memory");
    // It is evicted, and its call goes on.
    let mut unfinished = connection.into_unfinished();
    next.wait_for(FREE + MAX_TOTAL / 2);
    assert!(next.granted().await);
    end.send(()).unwrap();
    unfinished.finish().await;
}
