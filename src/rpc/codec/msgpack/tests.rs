use serde_json::{Value, json};

use super::super::tests::{hex, unhex};
use super::encode;
use crate::rpc::codec::{Items, Shape};

fn decode(shape: &Shape, bytes: &[u8]) -> Result<Value, String> {
    let decoded = super::decode(shape, bytes, Items::up_to(1_000_000));
    decoded.map_err(|error| crate::rpc::codec::Error::from(error).to_string())
}

fn text(text: &str) -> String {
    hex(text.as_bytes())
}

#[test]
fn names_are_those_of_go_or_of_json_in_any_case() {
    let shape = Shape::message("centrifugal.centrifugo.api.SubscribeRequest");
    for name in ["expire_at", "ExpireAt", "expireAt", "EXPIRE_AT"] {
        let bytes = format!("82{:02x}{}05a3{}91c0", 0xa0 + name.len(), text(name), text("new"));
        assert_eq!(decode(&shape, &unhex(&bytes)), Ok(json!({"expire_at": 5})), "{name}");
    }
}

#[test]
fn a_reply_has_all_fields_with_the_widths_of_roadrunner() {
    let reply = "81a7576f726b6572739188a3506964d30000000000007155a6537461747573d30000000000000001a84e756d4578656373cf00\
        00000000000000a743726561746564d318eab7eef37b84cbab4d656d6f72795573616765cf0000000000df0000aa43505550657263656e\
        74cb40002ccee6dc2a43a7436f6d6d616e64a0a9537461747573537472a57265616479";
    let table = crate::rpc::methods::table();
    let shape = &table["informer.Workers"].result;
    let value = decode(shape, &unhex(reply)).unwrap();
    assert_eq!(value["workers"][0]["pid"], 29013);
    assert_eq!(hex(&encode(shape, &value).unwrap()), reply);
}

#[test]
fn a_message_left_out_is_nil() {
    let shape = Shape::message("centrifugal.centrifugo.api.PublishResponse");
    let bytes = encode(&shape, &json!({"error": {"message": "bad request"}})).unwrap();
    let expected = format!(
        "82a5{}82a4{}cf0000000000000000a7{}ab{}a6{}c0",
        text("Error"),
        text("Code"),
        text("Message"),
        text("bad request"),
        text("Result")
    );
    assert_eq!(hex(&bytes), expected);
}

#[test]
fn an_embedded_structure_may_be_flat() {
    let collector = [("type", "Type", Shape::Text), ("help", "Help", Shape::Text)];
    let collector = Shape::structure("Collector", collector);
    let shape = Shape::structure(
        "NamedCollector",
        [("name", "Name", Shape::Text), ("collector", "Collector", collector)],
    );
    let flat = "83a44e616d65a966616374735f6d7032a454797065a56761756765a448656c70a168";
    let value = json!({"name": "facts_mp2", "collector": {"type": "gauge", "help": "h"}});
    assert_eq!(decode(&shape, &unhex(flat)), Ok(value.clone()));
    assert_eq!(decode(&shape, &encode(&shape, &value).unwrap()), Ok(value));
}

#[test]
fn keys_that_are_numbers_become_text() {
    let shape = Shape::Map(Box::new(Shape::Float));
    let bytes = unhex("84cb3fe000000000000001ff02ccc803a17804");
    assert_eq!(decode(&shape, &bytes), Ok(json!({"0.5": 1.0, "-1": 2.0, "200": 3.0, "x": 4.0})));
}

#[test]
fn integers_of_any_width_are_read_within_their_range() {
    for (bytes, value) in
        [("05", 5), ("fb", -5), ("cc80", 128), ("d080", -128), ("cf0000000000000007", 7), ("c0", 0)]
    {
        assert_eq!(decode(&Shape::Int, &unhex(bytes)), Ok(json!(value)), "{bytes}");
    }
    assert_eq!(
        decode(&Shape::Int, &unhex("cfffffffffffffffff")).unwrap_err(),
        "msgpack: invalid code=cf decoding int64"
    );
    assert_eq!(decode(&Shape::Uint, &unhex("ff")).unwrap_err(), "msgpack: invalid code=ff decoding uint64");
    assert_eq!(decode(&Shape::Float, &unhex("ca3fc00000")), Ok(json!(1.5)));
    assert_eq!(decode(&Shape::Float, &unhex("03")), Ok(json!(3.0)));
    assert_eq!(decode(&Shape::Float, &unhex("cb7ff0000000000000")), Ok(json!("Infinity")));
}

#[test]
fn mismatches_are_refused_in_the_words_of_roadrunner() {
    let refused = |shape: &Shape, bytes: &str| decode(shape, &unhex(bytes)).unwrap_err();
    assert_eq!(refused(&Shape::Text, "05"), "msgpack: invalid code=5 decoding string/bytes length");
    assert_eq!(refused(&Shape::Text, "daff"), "unexpected EOF");
    assert_eq!(refused(&Shape::Text, "dbffffffff"), "EOF");
    assert_eq!(refused(&Shape::list(Shape::Text), "ddffffffff"), "EOF");
    assert_eq!(refused(&Shape::list(Shape::Text), "05"), "msgpack: invalid code=5 decoding array length");
    assert_eq!(
        refused(&Shape::message("causeway.rpc.LockRequest"), "05"),
        "msgpack: unexpected code=5 decoding map length"
    );
}

#[test]
fn nesting_of_decoded_values_is_bounded() {
    let shape = Shape::message("centrifugal.centrifugo.api.FilterNode");
    let deep = |levels: usize| unhex(&(format!("81a5{}91", text("nodes")).repeat(levels) + "80"));
    decode(&shape, &deep(40)).unwrap();
    assert_eq!(decode(&shape, &deep(100_000)).unwrap_err(), "msgpack: invalid nesting depth");
    let skipped = unhex(&format!("82a178{}c0a26f70a161", "91".repeat(1_000_000)));
    assert_eq!(decode(&shape, &skipped), Ok(json!({"op": "a"})));
}
