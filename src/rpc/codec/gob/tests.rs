use serde_json::{Value, json};

use super::super::tests::{hex, unhex};
use super::encode;
use crate::rpc::codec::{Items, Shape};

fn decode(shape: &Shape, bytes: &[u8]) -> Result<Value, String> {
    let decoded = super::decode(shape, bytes, Items::up_to(1_000_000));
    decoded.map_err(|error| crate::rpc::codec::Error::from(error).to_string())
}

/// A stream written by Go.
fn golden(name: &str) -> String {
    let vectors: Value = serde_json::from_str(include_str!("../../../../tests/vectors/gob.json")).unwrap();
    vectors["vectors"][name]["gob_hex"].as_str().unwrap().to_owned()
}

fn worker_list() -> Shape {
    let fields = [
        ("pid", "Pid", Shape::Int),
        ("status", "Status", Shape::Int),
        ("numExecs", "NumExecs", Shape::Uint),
        ("created", "Created", Shape::Int),
        ("memoryUsage", "MemoryUsage", Shape::Uint),
        ("CPUPercent", "CPUPercent", Shape::Float),
        ("command", "Command", Shape::Text),
        ("statusStr", "StatusStr", Shape::Text),
    ];
    let workers = Shape::list(Shape::structure("State", fields));
    Shape::structure("WorkerList", [("workers", "Workers", workers)])
}

fn two_workers() -> Value {
    json!({"workers": [
        {"pid": 4242, "status": 1, "numExecs": 17, "created": 1_763_850_000_123_456_789_i64,
            "memoryUsage": 25_690_112, "CPUPercent": 1.25, "statusStr": "ready"},
        {"pid": 70_000, "statusStr": "working"},
    ]})
}

#[test]
fn streams_of_go_are_decoded_and_encoded_byte_for_byte() {
    for (name, shape, value) in [
        ("true", Shape::Bool, json!(true)),
        ("false", Shape::Bool, json!(false)),
        ("str", Shape::Text, json!("centrifuge")),
        ("estr", Shape::Text, json!("")),
        ("strs", Shape::list(Shape::Text), json!(["centrifuge", "http"])),
        ("list", worker_list(), two_workers()),
        ("empty", worker_list(), json!({})),
    ] {
        let golden = golden(name);
        assert_eq!(decode(&shape, &unhex(&golden)), Ok(value.clone()), "{name}");
        // In the golden stream of a list other types came before, and structures have Go's package in their names.
        let expected = golden
            .replace("0cff85020102ff86", "0b7f020102ff80")
            .replace("14ff8600", "14ff8000")
            .replace("1cff83", "17ff83")
            .replace("0d5b5d2a6d61696e2e5374617465", "085b5d2a5374617465");
        assert_eq!(hex(&encode(&shape, &value).unwrap()), expected, "{name}");
    }
}

#[test]
fn messages_are_encoded_as_in_roadrunner_s_replies() {
    // `centrifuge.Publish`, ids apart.
    let reply = "34ff810301010f5075626c697368526573706f6e736501ff8200010201054572726f7201ff84000106526573756c7401ff86\
        00000028ff83030101054572726f7201ff840001020104436f646501060001074d657373616765010c00000030ff850301010d5075626c\
        697368526573756c7401ff8600010201064f6666736574010600010545706f6368010c00000011ff820201060108637a43614e4d56710000";
    let shape = Shape::message("centrifugal.centrifugo.api.PublishResponse");
    let value = json!({"result": {"offset": 6, "epoch": "czCaNMVq"}});
    assert_eq!(decode(&shape, &unhex(reply)), Ok(value.clone()));
    let written = hex(&encode(&shape, &value).unwrap());
    let renumbered = |text: &str| {
        ["ff81", "ff82", "ff83", "ff84", "ff85", "ff86"]
            .iter()
            .zip(["7f", "ff80", "ff81", "ff82", "ff83", "ff84"])
            .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    assert_eq!(written, renumbered(reply).replacen("347f", "337f", 1));
}

#[test]
fn arguments_of_go_programs_are_read() {
    let metric = Shape::structure(
        "Metric",
        [
            ("name", "Name", Shape::Text),
            ("value", "Value", Shape::Float),
            ("labels", "Labels", Shape::list(Shape::Text)),
        ],
    );
    let add = "327f030101064d657472696301ff8000010301044e616d65010c00010556616c756501080001064c6162656c7301ff82000000\
        16ff81020101085b5d737472696e6701ff8200010c000017ff80010866616374735f636c01fef83f01020161016200";
    let value = json!({"name": "facts_cl", "value": 1.5, "labels": ["a", "b"]});
    assert_eq!(decode(&metric, &unhex(add)), Ok(value.clone()));
    assert_eq!(hex(&encode(&metric, &value).unwrap()), add);
    // What the shape does not have is skipped, even a list.
    let name = Shape::structure("Metric", [("name", "Name", Shape::Text)]);
    assert_eq!(decode(&name, &unhex(add)), Ok(json!({"name": "facts_cl"})));

    let lock = "3eff8b0301010b4c6f636b5265717565737401ff8c00010401085265736f75726365010c0001024964010c00010354746c0104\
        00010457616974010400000012ff8c0103726573010369643101fd1e848000";
    let value = json!({"resource": "res", "id": "id1", "ttl": 1_000_000});
    assert_eq!(decode(&Shape::message("causeway.rpc.LockRequest"), &unhex(lock)), Ok(value));

    let publish = "31ff8f0301010e5075626c6973685265717565737401ff9000010201074368616e6e656c010c00010444617461010a000000\
        13ff900105666163747301077b2267223a317d00";
    let value = json!({"channel": "facts", "data": "eyJnIjoxfQ=="});
    assert_eq!(
        decode(&Shape::message("centrifugal.centrifugo.api.PublishRequest"), &unhex(publish)),
        Ok(value)
    );
}

#[test]
fn keys_that_are_numbers_become_text() {
    let objectives = Shape::Map(Box::new(Shape::Float));
    let shape = Shape::structure("Collector", [("objectives", "Objectives", objectives)]);
    let floats = "2f7f03010109436f6c6c6563746f7201ff80000102010454797065010c00010a4f626a6563746976657301ff8200000023ff\
        81040101136d61705b666c6f617436345d666c6f6174363401ff82000108010800001aff80010773756d6d6172790101fee03ff89a9999\
        999999a93f00";
    assert_eq!(decode(&shape, &unhex(floats)), Ok(json!({"objectives": {"0.5": 0.05}})));
    let shape = Shape::structure("Counts", [("items", "Items", Shape::Map(Box::new(Shape::Uint)))]);
    let ints = "1fff8303010106436f756e747301ff8400010101054974656d7301ff8600000020ff85040101106d61705b696e7436345d7569\
        6e74363401ff860001040106000007ff8401010d0300";
    assert_eq!(decode(&shape, &unhex(ints)), Ok(json!({"items": {"-7": 3}})));
}

fn refused(shape: &Shape, stream: &str) -> String {
    decode(shape, &unhex(stream)).unwrap_err()
}

#[test]
fn mismatches_are_refused_in_the_words_of_go() {
    assert_eq!(
        refused(&Shape::Text, "0304000a"),
        "goridge_read_request_body: gob: decoding into local type *string, received remote type int"
    );
    assert_eq!(
        refused(&Shape::Bool, &golden("strs")),
        "goridge_read_request_body: gob: decoding into local type *bool, received remote type "
    );
    assert_eq!(
        refused(&Shape::list(Shape::Int), &golden("strs")),
        "goridge_read_request_body: gob: decoding into local type *[]int64, received remote type "
    );
    assert_eq!(
        refused(&worker_list(), "03020001"),
        "goridge_read_request_body: gob: type mismatch in decoder: want struct type WorkerList; got non-struct"
    );
    assert_eq!(
        refused(&Shape::message("causeway.rpc.StatusRequest"), &golden("list")),
        "goridge_read_request_body: gob: type mismatch: no fields matched compiling decoder for StatusRequest"
    );
    let text_pid = Shape::list(Shape::structure("State", [("pid", "Pid", Shape::Text)]));
    assert_eq!(
        refused(&Shape::structure("WorkerList", [("workers", "Workers", text_pid)]), &golden("list")),
        "goridge_read_request_body: gob: wrong type (string) for received field .Pid"
    );
}

#[test]
fn truncated_streams_and_false_counts_are_refused() {
    let list = unhex(&golden("list"));
    for length in 0..list.len() {
        let error = decode(&worker_list(), &list[..length]).unwrap_err();
        assert_eq!(error, "goridge_read_request_body: unexpected EOF", "{length} bytes");
    }
    for stream in ["fc7fffffff0c", &"ff".repeat(40), "2263656e74", "0a0c00f8ffffffffffffffff"] {
        assert_eq!(refused(&Shape::Text, stream), "goridge_read_request_body: unexpected EOF", "{stream}");
    }
    let strings = "0b7f020102ff8000010c00000eff8000f8ffffffffffffffff0161";
    assert!(refused(&Shape::list(Shape::Text), strings).contains("length exceeds input size"));
    assert!(refused(&Shape::Text, "097fff0c00").contains("EOF"));
    assert!(refused(&Shape::Text, "f7010203040506070809").contains("out of range"));
}

/// A type `T{Next T; Unknown interface{}}` and a value of this depth.
fn nested(depth: usize) -> Vec<u8> {
    let mut stream = unhex("1b7f030101015401ff8000010201044e65787401ff80000101580110000000");
    stream[0] = u8::try_from(stream.len() - 1).unwrap();
    let mut value = unhex("ff80");
    value.extend(vec![1; depth]);
    value.extend(vec![0; depth + 1]);
    super::wire::put_bytes(&mut stream, &value);
    stream
}

#[test]
fn nesting_is_bounded_in_known_and_unknown_fields() {
    let next = Shape::structure("Next", [("x", "X", Shape::Int)]);
    let shape = Shape::structure("T", [("next", "Next", next)]);
    decode(&shape, &nested(90)).unwrap();
    let error = decode(&shape, &nested(100_000)).unwrap_err();
    assert_eq!(error, "goridge_read_request_body: gob: invalid nesting depth");
}

#[test]
fn an_interface_is_refused() {
    let shape = Shape::structure("T", [("next", "Next", Shape::structure("Next", []))]);
    let mut stream = nested(0);
    let length = stream.len();
    stream.truncate(length - 4);
    stream.extend(unhex("05ff80020100"));
    let error = decode(&shape, &stream).unwrap_err();
    assert_eq!(error, "goridge_read_request_body: gob: interfaces cannot be read here");
}

#[test]
fn definitions_are_bounded_in_number() {
    let mut stream = Vec::new();
    for id in 64..2_000 {
        let mut definition = Vec::new();
        super::wire::put_int(&mut definition, -id);
        definition.extend([2, 1, 0, 1, 12, 0, 0]);
        super::wire::put_bytes(&mut stream, &definition);
    }
    let error = decode(&Shape::Text, &stream).unwrap_err();
    assert_eq!(error, "goridge_read_request_body: gob: more than 1000 types");
}
