use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;

use super::super::error::{InvalidRequest, Malformed};
use super::super::text::MAX_DEPTH;
use super::{LIMIT, event, request};
use crate::proto::proxy::{
    ChannelEvent, NotifyChannelStateRequest, PublishRequest, RpcRequest, SubscribeRequest,
};

#[test]
fn requests_have_the_order_of_the_fields() {
    let message = RpcRequest {
        client: "c".into(),
        encoding: "json".into(),
        method: "sum".into(),
        data: r#"{"a": 1}"#.into(),
        ..RpcRequest::default()
    };
    assert_eq!(
        request("rpc", &message),
        r#"{"client":"c","encoding":"json","user":"","method":"sum","data":{"a": 1}}"#
    );
}

#[test]
fn data_that_is_not_json_is_base64_and_cannot_be_mistaken_for_fields() {
    let deep = [b"[".repeat(MAX_DEPTH), b"]".repeat(MAX_DEPTH)].concat();
    for data in [&br#"1,"user":"admin""#[..], b"{", b"\"\xff\"", b"1 2", b"\xef\xbb\xbf1", b" ", b"\0", &deep]
    {
        let message =
            RpcRequest { data: data.to_vec().into(), meta: data.to_vec().into(), ..RpcRequest::default() };
        let base64 = STANDARD.encode(data);
        assert_eq!(
            request("rpc", &message),
            format!(r#"{{"user":"","b64data":"{base64}","b64meta":"{base64}"}}"#)
        );
    }
    let just_right = [b"[".repeat(MAX_DEPTH - 1), b"]".repeat(MAX_DEPTH - 1)].concat();
    let message = RpcRequest { data: just_right.into(), ..RpcRequest::default() };
    assert!(request("rpc", &message).contains(r#""data":[[["#));
}

#[test]
fn data_of_a_binary_request_is_base64_even_if_it_is_json() {
    let message = PublishRequest {
        encoding: "binary".into(),
        data: "1".into(),
        meta: "{}".into(),
        ..PublishRequest::default()
    };
    assert_eq!(
        request("streampublish", &message),
        r#"{"encoding":"binary","user":"","b64data":"MQ==","meta":{}}"#
    );
}

#[test]
fn base64_of_the_bridge_never_meets_base64_of_centrifugo() {
    let message = RpcRequest { data: "{".into(), b64data: "AA==".into(), ..RpcRequest::default() };
    let error = event("rpc").unwrap().request.to_json(&message.encode_to_vec(), LIMIT).unwrap_err();
    assert_eq!(error, InvalidRequest::Malformed { message: "RPCRequest", cause: Malformed::NotJson("data") });
    // Both of them as Centrifugo sent them.
    let message = RpcRequest { data: "1".into(), b64data: "AA==".into(), ..RpcRequest::default() };
    assert_eq!(request("rpc", &message), r#"{"user":"","data":1,"b64data":"AA=="}"#);
}

#[test]
fn of_a_field_that_occurs_more_than_once_the_last_value_counts() {
    let first =
        RpcRequest { user: "a".into(), method: "x".into(), data: "1".into(), ..RpcRequest::default() };
    let second = RpcRequest { user: "b".into(), data: "2".into(), ..RpcRequest::default() };
    let both = [first.encode_to_vec(), second.encode_to_vec()].concat();
    let json = event("rpc").unwrap().request.to_json(&both, LIMIT).unwrap();
    assert_eq!(json, br#"{"user":"b","method":"x","data":2}"#);
}

#[test]
fn lists_in_pieces_are_put_together_and_maps_hold_each_key_once() {
    let labels = |pairs: &[(&str, &str)]| SubscribeRequest {
        labels: pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        ..SubscribeRequest::default()
    };
    let twice = [labels(&[("b", "1")]), labels(&[("a", "2")]), labels(&[("b", "3")])];
    let protobuf = twice.map(|message| message.encode_to_vec()).concat();
    let json = event("subscribe").unwrap().request.to_json(&protobuf, LIMIT).unwrap();
    assert_eq!(json, br#"{"user":"","labels":{"a":"2","b":"3"}}"#);

    let event_of = |channel: &str| NotifyChannelStateRequest {
        events: vec![ChannelEvent { channel: channel.into(), ..ChannelEvent::default() }],
    };
    let protobuf = [event_of("a"), event_of("b")].map(|message| message.encode_to_vec()).concat();
    let json = event("notifychannelstate").unwrap().request.to_json(&protobuf, LIMIT).unwrap();
    assert_eq!(json, br#"{"events":[{"channel":"a"},{"channel":"b"}]}"#);
}

#[test]
fn messages_that_occur_more_than_once_are_merged() {
    let part = event("subscribeunidirectional").unwrap().part.unwrap();
    // subscribe_response with the error's code, then with its message.
    let protobuf = [0x0a, 4, 0x12, 2, 0x08, 7, 0x0a, 5, 0x12, 3, 0x12, 1, b'm'];
    let json = part.to_json(&protobuf, LIMIT).unwrap();
    assert_eq!(json, br#"{"subscribe_response":{"error":{"code":7,"message":"m"}}}"#);
}

#[test]
fn broken_requests_are_refused() {
    let rpc = event("rpc").unwrap().request;
    for protobuf in [
        &[0x0a][..],
        &[0x0a, 5, b'a'],
        &[0x80],
        &[0],
        &[0x0b, 0x0c],
        &[0x0f],
        &[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        &[9, 1, 2],
        &[0xf8, 0xff, 0xff, 0xff, 0x1f, 0],
        &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
    ] {
        let malformed = InvalidRequest::Malformed { message: "RPCRequest", cause: Malformed::Wire };
        assert_eq!(rpc.to_json(protobuf, LIMIT).unwrap_err(), malformed, "{protobuf:?}");
    }
    let error = rpc.to_json(&[10 << 3 | 2, 2, b'a', 0xff], LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "the request is not a valid RPCRequest: user is not UTF-8");
    // Unknown fields, and known ones of another type, are left out.
    let json = rpc.to_json(&[0xfa, 7, 1, b'x', 10 << 3, 1, 11 << 3 | 5, 1, 2, 3, 4, 0x0a, 1, b'c'], LIMIT);
    assert_eq!(json.unwrap(), br#"{"client":"c","user":""}"#);
}

#[test]
fn a_map_of_very_many_entries_is_refused() {
    // Entries with an empty key and value, in two bytes each.
    let labels = |entries| [15 << 3 | 2, 0].repeat(entries);
    let rpc = event("rpc").unwrap().request;
    assert_eq!(rpc.to_json(&labels(65_536), LIMIT).unwrap(), br#"{"user":"","labels":{"":""}}"#);
    let error = rpc.to_json(&labels(65_537), LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "the request is not a valid RPCRequest: labels has too many entries");
}

#[test]
fn a_request_may_not_grow_beyond_the_limit() {
    let rpc = event("rpc").unwrap().request;
    for message in [
        RpcRequest { user: "\u{1}".repeat(100), ..RpcRequest::default() },
        RpcRequest { data: vec![0xff; 400].into(), ..RpcRequest::default() },
        RpcRequest { data: "1".repeat(500).into(), ..RpcRequest::default() },
        RpcRequest {
            labels: (0..100).map(|n| (n.to_string(), String::new())).collect(),
            ..RpcRequest::default()
        },
    ] {
        let error = rpc.to_json(&message.encode_to_vec(), 512).unwrap_err();
        assert_eq!(error, InvalidRequest::TooLarge { limit: 512 });
        let json = rpc.to_json(&message.encode_to_vec(), 4096).unwrap();
        assert_eq!(rpc.to_json(&message.encode_to_vec(), json.len()).unwrap(), json);
        rpc.to_json(&message.encode_to_vec(), json.len() - 1).unwrap_err();
    }
}
