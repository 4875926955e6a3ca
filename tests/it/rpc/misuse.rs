//! What clients can do wrong, deliberately or not; no other client notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use causeway::goridge::{Flags, Options, StreamBits, encode};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::support::rpc::{Caller, frame};
use crate::support::{Server, worker};

/// A frame with these options.
fn with_options(options: &[u32], payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    let options = Options::from_slice(options).unwrap();
    encode(&mut out, Flags::JSON, StreamBits::empty(), options, &[payload]).unwrap();
    out.freeze()
}

/// Callers that behave, and what they got while others did not.
struct Bystanders {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Bystanders {
    async fn start(server: &Server) -> Self {
        let (stop, answers) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut caller = server.caller().await;
        let client = server.client().await;
        // Once both have been answered, their connections are among the descriptors that the server has.
        caller.json("informer.List", &json!(true)).await.unwrap();
        client.rpc("echo", "first").await.unwrap();
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answers));
        let rpc = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                assert_eq!(caller.json("informer.List", &json!(true)).await, Ok(json!(["centrifuge"])));
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&answers));
        let proxy = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let token = count.fetch_add(1, Ordering::Relaxed).to_string();
                assert_eq!(client.rpc("echo", &token).await.unwrap(), token);
            }
        });
        Self { stop, answers, tasks: vec![rpc, proxy] }
    }

    async fn noticed_nothing(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        assert!(self.answers.load(Ordering::Relaxed) > 1);
    }
}

/// Resident memory of the server in bytes.
fn memory(server: &Server) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_call_with_a_sequence_number_is_answered_and_the_connection_stays_open() {
    let server = worker().rpc().start();
    let mut caller = server.caller().await;
    let expected = [
        (frame(Flags::JSON, 9, "nope.X", b"1"), "rpc: can't find service nope.X"),
        (frame(Flags::JSON, 9, "rpc.Nope", b"1"), "rpc: can't find method rpc.Nope"),
        (frame(Flags::JSON, 9, "rpc", b"1"), "rpc: service/method request ill-formed: rpc"),
        (
            frame(Flags::empty(), 9, "rpc.Version", b"1"),
            "goridge_read_request_body: unknown decoder used in frame",
        ),
        (
            frame(Flags::PROTO, 9, "rpc.Version", b""),
            "goridge_read_request_body: message type is not a proto",
        ),
        (frame(Flags::RAW, 9, "resetter.Reset", b"centrifuge"), "unknown Raw payload type"),
        (with_options(&[9, 12], b"rpc.Version"), "method name of 12 bytes in a payload of 11"),
        (with_options(&[9, u32::MAX], b""), "method name of 4294967295 bytes in a payload of 0"),
    ];
    for (call, text) in expected {
        caller.send(&call).await;
        let reply = caller.next().await.unwrap();
        assert_eq!((reply.sequence, reply.is_error(), reply.text().as_str()), (9, true, text));
    }
    assert_eq!(caller.json("informer.List", &json!(true)).await, Ok(json!(["centrifuge"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_call_closes_its_connection_after_earlier_ones_are_answered() {
    let server = worker().rpc().start();
    let mut wrong_checksum = frame(Flags::JSON, 1, "rpc.Version", b"true").to_vec();
    wrong_checksum[6] ^= 1;
    let huge = [&[0x15, 8, 0xff, 0xff, 0xff, 0xff][..], &[0; 14]].concat();
    let mut claims_too_much = huge.clone();
    let checksum = crc32fast_of(&huge[..6]);
    claims_too_much[6..10].copy_from_slice(&checksum.to_le_bytes());
    for garbage in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        wrong_checksum,
        claims_too_much,
        with_options(&[], b"rpc.Version").to_vec(),
        with_options(&[1], b"rpc.Version").to_vec(),
        with_options(&[1, 11, 0], b"rpc.Versiontrue").to_vec(),
        with_options(&[0; 10], b"rpc.Version").to_vec(),
        vec![0x1f; 64],
    ] {
        let mut caller = server.caller().await;
        caller.begin(Flags::JSON, "rpc.Version", b"true").await;
        caller.send(&garbage).await;
        assert_eq!(caller.next().await.unwrap().method, "rpc.Version");
        assert_eq!(caller.next().await, None);
    }
    server.wait_for_output("connection closed");
}

/// The checksum of goridge: CRC-32 (IEEE), bit by bit.
fn crc32fast_of(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    };
    !bytes.iter().fold(!0, step)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_mutated_frames_do_not_affect_other_clients() {
    let server = worker().rpc().start();
    let bystanders = Bystanders::start(&server).await;
    let mut runner = TestRunner::deterministic();
    let calls = [
        "rpc.Version",
        "informer.Workers",
        "status.Status",
        "centrifuge.Publish",
        "metrics.Add",
        "lock.Lock",
    ];
    let strategy = (
        0..calls.len(),
        proptest::num::u8::ANY,
        proptest::collection::vec(proptest::num::u8::ANY, 0..64),
        proptest::collection::vec((proptest::num::usize::ANY, proptest::num::u8::ANY), 0..4),
        proptest::bool::ANY,
    );
    let mut caller = server.caller().await;
    for _ in 0..10_000 {
        let (call, flags, argument, changes, repair) = strategy.new_tree(&mut runner).unwrap().current();
        let mut bytes = frame(Flags::from_bits_retain(flags), 1, calls[call], &argument).to_vec();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        if repair {
            let checksum = crc32fast_of(&bytes[..6]);
            bytes[6..10].copy_from_slice(&checksum.to_le_bytes());
        }
        caller.send(&bytes).await;
        // Whether it was a call can be seen by what follows it; a connection that is over is replaced.
        if !caller.still_answers().await {
            caller = server.caller().await;
        }
    }
    bystanders.noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_connections_come_and_go() {
    let server = worker().rpc().start();
    let bystanders = Bystanders::start(&server).await;
    let address = server.rpc_address();
    let fds = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = fds();
    for round in 0..1000 {
        let mut caller = Caller::connect(&address, &server).await;
        match round % 4 {
            0 => {}
            1 => caller.send(b"\x15\x08").await,
            2 => drop(caller.begin(Flags::JSON, "informer.Workers", b"\"centrifuge\"").await),
            _ => drop(caller.call(Flags::JSON, "rpc.Version", b"true").await),
        }
    }
    crate::support::eventually("their descriptors are closed", || fds() <= before + 2).await;
    bystanders.noticed_nothing().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_never_read_or_claim_large_frames_hold_little_memory() {
    let server = worker().rpc().start();
    let bystanders = Bystanders::start(&server).await;
    let before = memory(&server);
    let mut callers = Vec::new();
    for _ in 0..16 {
        let mut deaf = server.caller().await;
        let calls = frame(Flags::RAW, 1, "rpc.Config", b"").repeat(20_000);
        // The server stops reading at some point, and this would wait for ever.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(200), deaf.send(&calls)).await;
        let mut boaster = server.caller().await;
        let mut claim = frame(Flags::JSON, 1, "rpc.Version", b"true").to_vec();
        claim[2..6].copy_from_slice(&(60_u32 << 20).to_le_bytes());
        let checksum = crc32fast_of(&claim[..6]);
        claim[6..10].copy_from_slice(&checksum.to_le_bytes());
        boaster.send(&claim).await;
        callers.push((deaf, boaster));
    }
    let grown = memory(&server).saturating_sub(before);
    assert!(grown < 64 << 20, "{} MB more", grown >> 20);
    bystanders.noticed_nothing().await;
}
