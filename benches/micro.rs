//! The parts of a request that are Causeway's own: frames, the context's JSON, the idle units.
//!
//! Private modules are compiled into this program as they are, so that nothing has to be public for its sake.

#[allow(unreachable_pub, unused, reason = "it is public in the pool")]
#[path = "../src/pool/caller.rs"]
mod caller;
#[allow(unused, reason = "not all of it is measured")]
#[path = "../src/codec/mod.rs"]
mod codec;
#[allow(unused, reason = "not all of it is measured")]
#[path = "../src/proxy/context.rs"]
mod context;
#[allow(unused, reason = "not all of it is measured")]
#[path = "../src/pool/fair_queue.rs"]
mod fair_queue;
#[allow(unused, reason = "not all of it is measured")]
#[path = "../src/pool/idle.rs"]
mod idle;
#[allow(unused, reason = "not all of it is measured")]
#[path = "../src/pool/loads.rs"]
mod loads;
#[allow(unused, reason = "not all of it is measured")]
#[path = "../src/pool/permits.rs"]
mod permits;
#[allow(unreachable_pub, unused, reason = "it is public in `streams`")]
#[path = "../src/protobuf.rs"]
mod protobuf;
#[path = "../src/pool/sync.rs"]
mod sync;

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use causeway::goridge::{self, Decoder, Flags, Item, Options, StreamBits};
use causeway::pools::{Glob, Match, Routes};
#[allow(unused_imports, reason = "the tests of a module use it")]
use causeway::proto;
use causeway::proto::proxy::RpcRequest;
use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use http::HeaderMap;
use prost::Message as _;

fn main() {
    divan::main();
}

const SIZES: [usize; 3] = [100, 16 << 10, 1 << 20];

const CONTEXT: &[u8] = br#"{":authority":["127.0.0.1:10001"],"content-type":["application/grpc"],"type":["rpc"],"user-agent":["grpc-go/1.72.0"]}"#;

/// A request and its fence behind it, as they are written.
#[divan::bench(args = SIZES)]
fn encode_request(bencher: Bencher<'_, '_>, size: usize) {
    let (body, fence) = (vec![b'x'; size], goridge::pid_request(1234));
    let mut out = BytesMut::new();
    bencher.counter(BytesCount::new(size)).bench_local(|| {
        out.clear();
        let _ = goridge::request(&mut out, black_box(CONTEXT), black_box(&body));
        out.extend_from_slice(&fence);
    });
}

/// An answer and the echo behind it, as they are read.
#[divan::bench(args = SIZES)]
fn decode_answer(bencher: Bencher<'_, '_>, size: usize) {
    let mut frames = BytesMut::new();
    let options = Options::from_slice(&[0]).unwrap_or_default();
    let _ = goridge::encode(&mut frames, Flags::empty(), StreamBits::empty(), options, &[&vec![b'x'; size]]);
    frames.extend_from_slice(&goridge::pid_request(1234));
    let mut decoder = Decoder::lenient(64 << 20);
    bencher.counter(BytesCount::new(size)).with_inputs(|| frames.clone()).bench_local_values(|mut buffer| {
        while let Ok(Some(Item::Frame(frame))) = decoder.decode(&mut buffer) {
            let _ = black_box(goridge::classify(frame));
        }
        buffer
    });
}

/// The metadata of one of Centrifugo's calls.
#[divan::bench]
fn context_json(bencher: Bencher<'_, '_>) {
    let mut headers = HeaderMap::new();
    let sent = [
        ("content-type", "application/grpc"),
        ("user-agent", "grpc-go/1.72.0"),
        ("te", "trailers"),
        ("grpc-timeout", "999m"),
        ("x-forwarded-for", "203.0.113.7"),
        ("cookie", "session=8f7d3c21-9f60-4b7d-8c21-4f3a1c9e0000"),
    ];
    for (name, value) in sent {
        headers.insert(name, http::HeaderValue::from_static(value));
    }
    bencher.bench_local(|| context::build(black_box("rpc"), None, Some("127.0.0.1:10001"), &headers, None));
}

/// An RPC whose data has this size.
fn rpc(size: usize) -> RpcRequest {
    RpcRequest {
        client: "8f7d3c21-9f60-4b7d-8c21-4f3a1c9e0000".into(),
        transport: "websocket".into(),
        protocol: "json".into(),
        encoding: "json".into(),
        user: "42".into(),
        method: "sum".into(),
        data: json(size).into(),
        ..RpcRequest::default()
    }
}

/// JSON of about this size, as applications send it.
fn json(size: usize) -> String {
    let item = r#"{"id":12345,"name":"J\u00e4ger \"x\"","tags":["a","b"],"price":12.5,"ok":true}"#;
    format!("[{}]", vec![item; size.div_ceil(item.len())].join(","))
}

/// A request for a worker without protobuf.
#[divan::bench(args = SIZES)]
fn request_as_json(bencher: Bencher<'_, '_>, size: usize) {
    let (Some(event), body) = (codec::event("rpc"), rpc(size).encode_to_vec()) else { return };
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| event.request.to_json(black_box(&body), 64 << 20));
}

/// An answer of such a worker.
#[divan::bench(args = SIZES)]
fn answer_from_json(bencher: Bencher<'_, '_>, size: usize) {
    let Some(event) = codec::event("rpc") else { return };
    let body = format!(r#"{{"result":{{"data":{}}}}}"#, json(size));
    bencher
        .counter(BytesCount::new(body.len()))
        .bench_local(|| event.answer.to_protobuf(black_box(body.as_bytes())));
}

/// Taking a unit out of the idle ones and putting it back, among this number of workers.
#[divan::bench(args = [4, 500])]
fn idle_take_and_put(bencher: Bencher<'_, '_>, workers: usize) {
    let idle = idle::Idle::new();
    for slot in 0..workers {
        idle.put(slot, Box::new(slot));
    }
    bencher.bench_local(|| {
        if let Some(unit) = idle.try_take() {
            idle.put(*unit, unit);
        }
    });
}

/// Taking one of several units and giving it back, among this number of workers, which have one request in hand already.
#[divan::bench(args = [4, 500])]
fn one_of_several_take_and_give(bencher: Bencher<'_, '_>, workers: usize) {
    let idle = idle::Idle::new();
    for slot in 0..workers {
        let another = |slot: &usize| Some(Box::new(*slot));
        let units =
            loads::Several { template: Box::new(slot), another, rest: |_| {}, credit: |_| 64, most: 64 };
        idle.open(slot, units, u64::MAX);
    }
    let _taken: Vec<_> = (0..workers).map(|_| idle.try_take()).collect();
    bencher.bench_local(|| {
        if let Some(slot) = idle.try_take() {
            idle.give(*slot, loads::Use::Done);
        }
    });
}

/// The same by several threads at once.
#[divan::bench(threads = [1, 2, 4])]
fn idle_under_contention(bencher: Bencher<'_, '_>) {
    let idle = idle::Idle::new();
    for slot in 0..8 {
        idle.put(slot, Box::new(slot));
    }
    bencher.bench(|| {
        if let Some(unit) = idle.try_take() {
            idle.put(*unit, unit);
        }
    });
}

/// Handing a unit over to the next of this number of waiters, of one caller or of eight.
#[divan::bench(args = [1, 31, 1000], consts = [1, 8])]
fn idle_hand_over<const CALLERS: usize>(bencher: Bencher<'_, '_>, waiters: usize) {
    let idle = idle::Idle::new();
    let callers: [caller::Caller; CALLERS] = std::array::from_fn(|_| caller::Caller::unique());
    let mut context = Context::from_waker(Waker::noop());
    let mut wait = |number: usize| {
        let mut waiting = Box::pin(idle.take(callers[number % CALLERS]));
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        waiting
    };
    let mut queue: VecDeque<_> = (0..waiters).map(&mut wait).collect();
    let (mut unit, mut number) = (Some(Box::new(0)), waiters);
    let mut context = Context::from_waker(Waker::noop());
    bencher.bench_local(|| {
        let (Some(given), Some(mut next)) = (unit.take(), queue.pop_front()) else { return };
        queue.push_back(wait(number));
        number += 1;
        idle.put(0, given);
        if let Poll::Ready(Ok(taken)) = next.as_mut().poll(&mut context) {
            unit = Some(taken);
        }
    });
    assert!(unit.is_some());
}

/// Finding the pool of an RPC, which the last of this number of routes matches.
#[divan::bench(args = [0, 1, 10])]
fn route(bencher: Bencher<'_, '_>, routes: usize) {
    let globs = |texts: &[&str]| texts.iter().filter_map(|text| Glob::new(text).ok()).collect();
    let mut matches: Vec<Match> = (1..routes)
        .map(|number| Match {
            types: globs(&["rpc"]),
            methods: globs(&[&format!("service{number}.*"), &format!("other{number}")]),
            channels: Vec::new(),
        })
        .collect();
    if routes > 0 {
        matches.push(Match { methods: globs(&["e*"]), ..Match::default() });
    }
    let routes = Routes::new(matches);
    let data = vec![b'x'; SIZES[0]].into();
    let request = RpcRequest { user: "42".into(), method: "echo".into(), data, ..RpcRequest::default() };
    let message = request.encode_to_vec();
    bencher.bench_local(|| routes.pool(black_box("rpc"), black_box(&message)));
}
