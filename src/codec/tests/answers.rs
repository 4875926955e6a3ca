use prost::Message as _;

use super::super::error::Mistake;
use super::super::text::MAX_DEPTH;
use super::{LIMIT, answer, event, mistake};
use crate::proto::proxy::{RpcResponse, StreamSubscribeResponse};

#[test]
fn mistakes_in_answers_name_the_field_and_not_its_value() {
    for (json, message) in [
        ("", "it is empty"),
        ("[]", "expected an object at byte 0"),
        ("{}x", "unexpected data after it at byte 2"),
        ("{\"result\"", "unexpected end at byte 9"),
        ("{\"result\":{}", "unexpected end at byte 12"),
        ("{'result':{}}", "expected a string at byte 1"),
        (r#"{"result":"secret"}"#, "result: expected an object at byte 10"),
        (r#"{"result":{"user":1}}"#, "result.user: expected a string at byte 18"),
        (r#"{"result":{"expire_at":"secret"}}"#, "result.expire_at: expected an integer at byte 31"),
        (r#"{"result":{"expire_at":1.5}}"#, "result.expire_at: expected an integer at byte 26"),
        (r#"{"result":{"expire_at":1e300}}"#, "result.expire_at: expected an integer at byte 28"),
        (
            r#"{"result":{"expire_at":99999999999999999999}}"#,
            "result.expire_at: number out of range at byte 43",
        ),
        (r#"{"error":{"code":-1}}"#, "error.code: number out of range at byte 19"),
        (r#"{"error":{"temporary":0}}"#, "error.temporary: expected true or false at byte 22"),
        (r#"{"result":{"channels":{}}}"#, "result.channels: expected a list at byte 22"),
        (r#"{"result":{"subs":{"secret":1}}}"#, "result.subs: expected an object at byte 28"),
        (
            r#"{"result":{"subs":{"a":{"override":{"presence":true}}}}}"#,
            "result.subs.override.presence: expected an object at byte 47",
        ),
        (r#"{"result":{"user":"a","user":"b"}}"#, "result.user: given twice at byte 29"),
        (r#"{"result":{},"Result":{}}"#, "result: given twice at byte 22"),
        (r#"{"result":{"data":[1,]}}"#, "result.data: invalid JSON at byte 21"),
        (r#"{"result":{"user":"\q"}}"#, "result.user: invalid JSON at byte 19"),
        (r#"{"result":{"meta":"a"#, "result.meta: unexpected end at byte 20"),
    ] {
        assert_eq!(mistake(json), message, "{json}");
    }
    let error = event("connect").unwrap().answer.to_protobuf(b"{\"a\":\"\xff\"}").unwrap_err();
    assert_eq!((error.mistake, error.at), (Mistake::NotUtf8, 6));
}

#[test]
fn deep_answers_are_refused_without_recursion() {
    let too_deep = |json: String| assert!(mistake(&json).contains("nested too deeply"), "{}", mistake(&json));
    too_deep(format!(r#"{{"result":{{"data":{}"#, "[".repeat(4 << 20)));
    too_deep(format!(r#"{{"unknown":{}"#, r#"{"a":"#.repeat(1 << 20)));
    let filter = r#"{"nodes":["#.repeat(1 << 18);
    too_deep(format!(r#"{{"result":{{"subs":{{"a":{{"server_tags_filter":{filter}"#));
    let deepest = ["[".repeat(MAX_DEPTH - 2), "]".repeat(MAX_DEPTH - 2)].concat();
    answer("rpc", &format!(r#"{{"result":{{"data":{deepest}}}}}"#)).unwrap();
    too_deep(format!(r#"{{"result":{{"data":[{deepest}]}}}}"#));
}

#[test]
fn an_explicit_null_differs_from_an_absent_value_only_in_data() {
    let rpc = |json| RpcResponse::decode(&answer("rpc", json).unwrap()[..]).unwrap();
    assert_eq!(rpc(r#"{"result":{"data":null}}"#).result.unwrap().data, "null");
    assert_eq!(rpc(r#"{"result":{}}"#).result.unwrap().data, "");
    assert_eq!(rpc(r#"{"result":null}"#).result, None);
    assert_eq!(rpc("null"), RpcResponse::default());
}

#[test]
fn big_numbers_survive_as_numbers_and_as_strings() {
    for version in [r"18446744073709551615", r#""18446744073709551615""#] {
        let protobuf = answer("publish", &format!(r#"{{"result":{{"version":{version}}}}}"#)).unwrap();
        let json = event("publish").unwrap().answer.to_json(&protobuf, LIMIT).unwrap();
        assert_eq!(json, br#"{"result":{"version":18446744073709551615}}"#);
    }
    let scored = answer("mappublish", r#"{"result":{"score":-9223372036854775808}}"#).unwrap();
    let json = event("mappublish").unwrap().answer.to_json(&scored, LIMIT).unwrap();
    assert_eq!(json, br#"{"result":{"score":-9223372036854775808}}"#);
    for number in [r#""""#, r#""-""#, r#"" 1""#, r#""1.0""#] {
        answer("publish", &format!(r#"{{"result":{{"version":{number}}}}}"#)).unwrap_err();
    }
}

#[test]
fn binary_publications_of_a_stream_are_base64_in_json_only() {
    let part = event("subscribebidirectional").unwrap().part.unwrap();
    let read = |json: &str| {
        StreamSubscribeResponse::decode(&part.to_protobuf(json.as_bytes()).unwrap()[..]).unwrap()
    };
    let publication = read(r#"{"publication":{"b64data":"AP8=","tags":{"a":"1"}}}"#).publication.unwrap();
    assert_eq!(publication.data, &b"\0\xff"[..]);
    assert_eq!(publication.tags["a"], "1");
    assert_eq!(read(r#"{"publication":{"data":{"a":1}}}"#).publication.unwrap().data, r#"{"a":1}"#);
    assert!(read(r#"{"subscribe_response":{"result":{}}}"#).subscribe_response.unwrap().result.is_some());
    for (json, wrong) in [
        (r#"{"publication":{"b64data":"A"}}"#, "publication.b64data: invalid base64"),
        (r#"{"publication":{"data":1,"b64data":"AA=="}}"#, "publication.b64data: given twice"),
    ] {
        let error = part.to_protobuf(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

#[test]
fn unknown_types_have_no_messages() {
    for kind in ["", "connectx", "Connect", "futuremethod"] {
        assert!(event(kind).is_none());
    }
    let unary = [
        "connect",
        "refresh",
        "subscribe",
        "publish",
        "rpc",
        "subrefresh",
        "notifycacheempty",
        "notifychannelstate",
        "mappublish",
        "mapremove",
        "sharedpollrefresh",
    ];
    for kind in unary.into_iter().chain(["streampublish", "streamend"]) {
        assert!(event(kind).is_some_and(|event| event.part.is_none()), "{kind}");
    }
}
