//! Centrifugo's API over RPC.

use bytes::Bytes;
use causeway::goridge::Flags;
use serde_json::json;

use crate::support::centrifugo::FakeApi;
use crate::support::{Server, repository, worker};

/// A server whose Centrifugo is this one.
pub(super) fn bridge(centrifugo: &FakeApi) -> Server {
    worker().rpc().centrifuge(&format!("grpc_api_address: {}", centrifugo.address)).start()
}

pub(super) fn methods() -> Vec<String> {
    let table =
        std::fs::read_to_string(repository().join("tests/vectors/centrifugo-api-methods.tsv")).unwrap();
    table.lines().skip(1).map(|line| line.split('\t').nth(2).unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_are_passed_on_for_every_method_including_unknown_ones() {
    let centrifugo = FakeApi::start().await;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    for method in methods().iter().map(String::as_str).chain(["NotYetInvented"]) {
        let message = Bytes::from(format!("\u{0}{method}"));
        let reply = caller.call(Flags::PROTO, &format!("centrifuge.{method}"), &message).await;
        assert_eq!((reply.flags, reply.payload), (Flags::PROTO.bits(), message));
    }
    assert_eq!(centrifugo.seen().len(), 41);
    for name in ["", "publish", "Publish/x", "Pub lish", "Ä"] {
        let reply = caller.call(Flags::PROTO, &format!("centrifuge.{name}"), b"").await;
        assert_eq!(reply.text(), format!("rpc: can't find method centrifuge.{name}"));
    }
    assert_eq!(centrifugo.seen().len(), 41, "what can be no method is not asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_known_method_can_be_called_with_json() {
    let centrifugo = FakeApi::builder().answer(|_| Ok(Bytes::new())).start().await;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    for method in methods() {
        assert_eq!(caller.json(&format!("centrifuge.{method}"), &json!({})).await, Ok(json!({})));
        let reply = caller.call(Flags::JSON, &format!("centrifuge.{method}"), b"").await;
        assert_eq!(reply.text(), "{}");
        assert_eq!(caller.json(&format!("centrifuge.{method}"), &json!([])).await, Ok(json!({})));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_is_json_or_base64_and_the_answer_is_json() {
    // The bytes of a recorded answer: offset 5, epoch "zCaNMVq".
    let answer = |_: &_| Ok(Bytes::from_static(b"\x12\x0b\x08\x05\x12\x07zCaNMVq"));
    let centrifugo = FakeApi::builder().answer(answer).start().await;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    for data in [json!({"n": 1}), json!("eyJuIjoxfQ==")] {
        let argument = json!({"channel": "facts", "data": data});
        let answer = caller.json("centrifuge.Publish", &argument).await.unwrap();
        assert_eq!(answer, json!({"result": {"offset": 5, "epoch": "zCaNMVq"}}));
        let seen = centrifugo.seen().pop().unwrap();
        assert_eq!(seen.message, b"\x0a\x05facts\x12\x07{\"n\":1}"[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_in_an_answer_is_a_result_and_a_mistake_in_an_argument_is_named() {
    let answer = |_: &_| Ok(Bytes::from_static(b"\x0a\x0f\x08\x6b\x12\x0bbad request"));
    let centrifugo = FakeApi::builder().answer(answer).start().await;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    let error = caller.json("centrifuge.Publish", &json!({})).await.unwrap();
    assert_eq!(error, json!({"error": {"code": 107, "message": "bad request"}}));
    let error = caller.json("centrifuge.NotDefined", &json!({})).await.unwrap_err();
    assert_eq!(error, "rpc: can't find method centrifuge.NotDefined");
    for argument in [r#"{"chanel":"x"}"#, "{", "[1]", "7"] {
        let reply = caller.call(Flags::JSON, "centrifuge.Publish", argument.as_bytes()).await;
        assert!(reply.is_error());
        assert!(reply.text().starts_with("centrifuge.Publish: cannot decode the argument"), "{reply:?}");
    }
    assert_eq!(centrifugo.seen().len(), 1, "no mistake reaches Centrifugo");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_centrifugo_is_down_each_call_fails_and_the_first_one_after_succeeds() {
    let centrifugo = FakeApi::start().await;
    let address = centrifugo.address;
    let server = bridge(&centrifugo);
    let mut caller = server.caller().await;
    assert!(!caller.call(Flags::PROTO, "centrifuge.Info", b"").await.is_error());
    centrifugo.stop().await;
    for _ in 0..3 {
        let reply = caller.call(Flags::PROTO, "centrifuge.Info", b"").await;
        assert_eq!(reply.flags, (Flags::PROTO | Flags::ERROR).bits());
        assert!(reply.text().starts_with("rpc error: code = Unavailable desc = "), "{}", reply.text());
    }
    let _back = FakeApi::builder().start_at(address).await;
    assert!(!caller.call(Flags::PROTO, "centrifuge.Info", b"").await.is_error());
}
