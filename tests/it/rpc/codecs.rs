//! GOB and MessagePack, as Go programs and PHP clients of old speak them.

use bytes::Bytes;
use causeway::goridge::Flags;
use serde_json::json;

use super::centrifuge::{bridge, methods};
use crate::support::centrifugo::FakeApi;
use crate::support::worker;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn go_s_command_line_is_answered_in_its_own_codec() {
    let server = worker().rpc().start();
    let mut caller = server.caller().await;
    for (method, argument, expected) in [
        ("informer.List", "03020001", "0b7f020102ff8000010c00000fff8000010a63656e74726966756765"),
        ("resetter.Reset", "0d0c000a63656e74726966756765", "03020001"),
        ("rpc.Version", "03020001", "0c0c0009323032352e312e3135"),
    ] {
        let reply = caller.call(Flags::GOB, method, &unhex(argument)).await;
        assert_eq!((reply.flags, &reply.payload[..]), (Flags::GOB.bits(), &unhex(expected)[..]), "{method}");
    }
    let error = caller.call(Flags::GOB, "informer.Workers", &unhex("0304000a")).await;
    assert_eq!(error.flags, (Flags::GOB | Flags::ERROR).bits());
    assert_eq!(
        error.text(),
        "goridge_read_request_body: gob: decoding into local type *string, received remote type int"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_known_method_of_centrifugo_can_be_called_in_every_codec() {
    let centrifugo = FakeApi::builder().answer(|_| Ok(Bytes::new())).start().await;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    for method in methods() {
        for codec in [Flags::GOB, Flags::MSGPACK] {
            let reply = caller.call(codec, &format!("centrifuge.{method}"), b"").await;
            assert_eq!(reply.flags, codec.bits(), "{method}: {}", reply.text());
            assert!(!reply.payload.is_empty());
        }
    }
    assert_eq!(centrifugo.seen().len(), 2 * methods().len());
}

/// Arguments as a Go program wrote them, `PublishRequest{Channel: "facts", Data: ...}`.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_reaches_centrifugo_with_the_fields_that_were_sent() {
    // The bytes of a recorded answer: offset 5, epoch "zCaNMVq".
    let answer = |_: &_| Ok(Bytes::from_static(b"\x12\x0b\x08\x05\x12\x07zCaNMVq"));
    let centrifugo = FakeApi::builder().answer(answer).start().await;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    let gob = "31ff8f0301010e5075626c6973685265717565737401ff9000010201074368616e6e656c010c00010444617461010a000000\
               13ff900105666163747301077b2267223a317d00";
    let msgpack = "82a76368616e6e656ca56661637473a464617461c4077b2267223a317d";
    for (codec, argument) in [(Flags::GOB, gob), (Flags::MSGPACK, msgpack)] {
        let reply = caller.call(codec, "centrifuge.Publish", &unhex(argument)).await;
        assert_eq!(reply.flags, codec.bits(), "{}", reply.text());
        assert!(reply.text().contains("zCaNMVq"));
        let seen = centrifugo.seen().pop().unwrap();
        assert_eq!(seen.message, b"\x0a\x05facts\x12\x07{\"g\":1}"[..]);
    }
    let error = caller.call(Flags::MSGPACK, "centrifuge.NotDefined", b"\x80").await;
    assert_eq!(error.text(), "rpc: can't find method centrifuge.NotDefined");
    assert_eq!(caller.json("rpc.Version", &json!(true)).await, Ok(json!("2025.1.15")));
}
