//! Workers without protobuf.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use causeway::grpc::RawCodec;
use causeway::proto::proxy::{RpcRequest, SubscribeRequest};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use serde_json::{Value, json};
use tonic::{Code, Request, Status};

use crate::support::streams::{End, Streams};
use crate::support::{Client, Server, Setup, eventually, repository};

const SERVICE: &str = "centrifugal.centrifugo.proxy.CentrifugoProxy";

pub fn json_worker() -> Setup {
    Setup::new(&format!("python3 {}", repository().join("tests/workers/json_worker.py").display()))
}

/// Calls a method with the bytes of a message.
async fn call(client: &Client, method: &str, message: impl Into<Bytes>) -> Result<Bytes, Status> {
    let mut grpc = tonic::client::Grpc::new(client.channel.clone()).max_decoding_message_size(usize::MAX);
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let path = format!("/{SERVICE}/{method}").parse().unwrap();
    grpc.unary(Request::new(message.into()), path, RawCodec).await.map(tonic::Response::into_inner)
}

/// What workers got: types and bodies.
pub fn requests(server: &Server) -> Vec<(String, Value)> {
    let lines = std::fs::read_to_string(server.path("requests")).unwrap_or_default();
    let entry = |line: &str| {
        let (kind, body): (String, String) = serde_json::from_str(line).unwrap();
        (kind, serde_json::from_str(&body).unwrap())
    };
    lines.lines().map(entry).collect()
}

fn method_of(kind: &str) -> prost_reflect::MethodDescriptor {
    let service = causeway::proto::descriptors().get_service_by_name(SERVICE).unwrap();
    service.methods().find(|method| method.name().to_lowercase() == kind).unwrap()
}

#[derive(serde::Deserialize)]
struct Recorded {
    r#type: String,
    protobuf: String,
    #[serde(default)]
    json: String,
    #[serde(default)]
    error: bool,
}

fn recorded(section: &str) -> Vec<Recorded> {
    let all: Value = serde_json::from_str(include_str!("../vectors/centrifugo-http-proxy.json")).unwrap();
    serde_json::from_value(all[section].clone()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_reaches_a_json_worker_as_centrifugo_s_http_proxy_would_send_it() {
    let server = json_worker().start();
    let client = server.client().await;
    let mut expected = Vec::new();
    for event in recorded("requests").into_iter().filter(|event| !event.error) {
        let message = STANDARD.decode(&event.protobuf).unwrap();
        let answer = call(&client, method_of(&event.r#type).name(), message).await.unwrap();
        assert_eq!(answer, "", "an empty object is an empty message");
        expected.push((event.r#type, serde_json::from_str::<Value>(&event.json).unwrap()));
    }
    assert!(expected.len() > 20);
    assert_eq!(requests(&server), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_of_a_json_worker_means_what_it_means_to_centrifugo_s_http_proxy() {
    let server = json_worker().start();
    let client = server.client().await;
    for answer in recorded("answers") {
        std::fs::write(server.path("answer"), &answer.json).unwrap();
        let method = method_of(&answer.r#type);
        let result = call(&client, method.name(), Bytes::new()).await;
        if answer.error {
            // The one that is accepted here: a 64-bit integer as a string.
            assert_eq!(result.is_ok(), answer.json.contains(r#""7""#), "{}", answer.json);
            continue;
        }
        let read = |bytes: &[u8]| DynamicMessage::decode(method.output(), bytes).unwrap();
        let expected = read(&STANDARD.decode(&answer.protobuf).unwrap());
        assert!(read(&result.unwrap()) == expected, "{}", answer.json);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_s_codec_is_for_workers_that_name_none_and_requests_say_that_they_are_json() {
    for relay in ["pipes", "unix"] {
        let setup = json_worker().pool("num_workers: 1, codec: json").relay(relay);
        let server = setup.env("SAYS_NOTHING", "1").start();
        let client = server.client().await;
        assert_eq!(client.rpc("echo", r#"{"a": 1}"#).await.unwrap(), r#"{"a": 1}"#);
        assert_eq!(client.rpc("flags", "").await.unwrap(), r#"{"flags": 8}"#);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_with_and_without_protobuf_serve_side_by_side() {
    let command = format!("python3 {}", repository().join("tests/workers/worker.py").display());
    let pools =
        format!("pools: {{proto: {{match: {{methods: ['p.*']}}, command: \"{command}\", num_workers: 1}}}}");
    let server = json_worker().centrifuge(&pools).start();
    let client = server.client().await;
    for _ in 0..3 {
        assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
        assert!(client.rpc("p.x", "1").await.unwrap_err().message().contains("no behaviour p.x"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_protocol_2_answers_many_requests_in_json() {
    for relay in ["pipes", "tcp"] {
        let server = json_worker().relay(relay).env("CONCURRENCY", "4").start();
        let client = server.client().await;
        let calls: Vec<_> = (0..8).map(|number| client.spawn_rpc("echo", &number.to_string())).collect();
        for (number, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await.unwrap().unwrap(), number.to_string());
        }
        // A wrong answer among right ones.
        let mixed: Vec<_> =
            ["repeat:1", "echo", "echo", "echo"].map(|method| client.spawn_rpc(method, r#""x""#)).into();
        let mut ends = Vec::new();
        for call in mixed {
            ends.push(call.await.unwrap().map_err(|status| status.code()));
        }
        let right = || Ok(r#""x""#.to_owned());
        assert_eq!(ends, [Err(Code::Internal), right(), right(), right()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_no_messages_fail_their_request_alone() {
    let server = json_worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    let answers: [(&[u8], &str); 12] = [
        (b"", "it is empty"),
        (b"secret", "expected an object at byte 0"),
        (b"{\"result\":{\"data\":\"\xff\"}}", "invalid UTF-8 at byte 19"),
        (br#"{"result":{"data":secret}}"#, "result.data: invalid JSON at byte 18"),
        (br#"{"result":"secret"}"#, "result: expected an object"),
        (br#"{"result":{"b64data":1}}"#, "result.b64data: expected a string"),
        (br#"{"result":{"data":1},"result":{}}"#, "result: given twice"),
        (br#"{"error":{"code":4294967296}}"#, "error.code: number out of range"),
        (br#"{"error":{"code":1e2}}"#, "error.code: expected an integer"),
        (br#"{"error":{"message":"secret"#, "error.message: unexpected end"),
        (br#"{"result":{}} {"result":{}}"#, "unexpected data after it"),
        (b"{\"result\":{\"data\":\"a\0b\"}}", "result.data: invalid JSON"),
    ];
    for (answer, reason) in answers {
        std::fs::write(server.path("answer"), answer).unwrap();
        let status = client.rpc("any", "").await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
        let text = "the worker's answer is not a valid RPCResponse: ";
        assert!(status.message().starts_with(text) && status.message().contains(reason), "{status}");
        server.wait_for_output(reason);
    }
    assert_eq!(client.worker_pid().await, pid, "the worker goes on");
    assert!(!server.output().contains("secret"), "values are not logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_and_huge_answers_fail_their_request_alone() {
    let server = json_worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    for (data, megabytes) in [("[", 60), ("{\"a\":", 6), ("{\"result\":", 6), (" ", 6)] {
        let (times, data) = ((megabytes << 20) / data.len(), json!(data).to_string());
        let status = client.rpc(&format!("repeat:{times}"), &data).await.unwrap_err();
        assert_eq!(status.code(), Code::Internal, "{status}");
    }
    assert_eq!(client.worker_pid().await, pid, "the worker goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_no_messages_never_reach_a_json_worker() {
    let server = json_worker().start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    let before = requests(&server).len();
    for message in [&b"\x0a"[..], b"\x0b\x0c", b"\x52\x02a\xff", &[0x80; 11], &vec![0x0a; 40_000]] {
        let status = call(&client, "RPC", message.to_vec()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with("the request is not a valid RPCRequest: "), "{status}");
    }
    let status = call(&client, "NotYetInvented", Bytes::new()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented, "{status}");
    assert!(status.message().contains("`notyetinvented`"), "{status}");
    assert_eq!(requests(&server).len(), before);
    assert_eq!(client.worker_pid().await, pid);
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_cannot_break_the_json_of_a_request() {
    let server = json_worker().start();
    let client = server.client().await;
    let hostile = |text: &str| SubscribeRequest {
        channel: text.into(),
        data: text.to_owned().into(),
        meta: text.to_owned().into(),
        labels: [(text.to_owned(), text.to_owned())].into(),
        ..SubscribeRequest::default()
    };
    let deep = "[".repeat(100_000);
    for text in [
        "\",\"user\":\"admin",
        "}\n{\"user\":\"admin\"}",
        "\\",
        "\u{0}",
        "\u{2028}",
        "1,\"user\":\"admin\"",
        &deep,
    ] {
        call(&client, "Subscribe", hostile(text).encode_to_vec()).await.unwrap();
        let (kind, body) = requests(&server).pop().unwrap();
        let base64 = STANDARD.encode(text);
        let expected = json!({
            "user": "", "channel": text, "b64data": base64, "b64meta": base64, "labels": {text: text},
        });
        assert_eq!((kind.as_str(), body), ("subscribe", expected), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_pass_and_those_that_grow_beyond_the_limit_are_refused() {
    let server = json_worker().pool("num_workers: 2").centrifuge("max_message_size: 4MB").start();
    let client = server.client().await;
    for size in [20_000, 200_000, 3_900_000] {
        let data = format!("\"{}\"", "x".repeat(size));
        assert_eq!(client.rpc("echo", &data).await.unwrap(), data);
    }
    // Base64 takes a third more than what is binary.
    let binary =
        |size| RpcRequest { method: "echo".into(), data: vec![0xff; size].into(), ..RpcRequest::default() };
    let answer = call(&client, "RPC", binary(2_900_000).encode_to_vec()).await.unwrap();
    let result = causeway::proto::proxy::RpcResponse::decode(answer).unwrap().result.unwrap();
    assert_eq!(result.b64data, STANDARD.encode(vec![0xff; 2_900_000]));
    let status = call(&client, "RPC", binary(3_900_000).encode_to_vec()).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("centrifuge.max_message_size"), "{status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_may_replace_workers_with_protobuf_by_workers_without() {
    let proto = format!("exec python3 {}", repository().join("tests/workers/worker.py").display());
    let json = format!("exec python3 {}", repository().join("tests/workers/json_worker.py").display());
    let setup = Setup::new("sh ./app").pool("num_workers: 2").rpc();
    std::fs::write(setup.path("app"), &proto).unwrap();
    let server = setup.start();
    let client = server.client().await;
    let calls = tokio::spawn({
        let client = client.clone();
        async move {
            loop {
                assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
                if client.rpc("flags", "").await.unwrap().contains(" 8") {
                    return;
                }
            }
        }
    });
    std::fs::write(server.path("app"), &json).unwrap();
    server.caller().await.json("resetter.Reset", &json!("centrifuge")).await.unwrap();
    calls.await.unwrap();
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_server_holds_are_opened_used_and_ended_in_json() {
    let server = json_worker().start();
    let mut streams = Streams::connect(&server).await;
    let mut stream = streams.open_bidirectional("room").await.accepted().await;
    stream.publish(r#"{"a":[1]}"#).await;
    stream.publish("not JSON").await;
    eventually("both are handled", || requests(&server).len() == 3).await;
    stream.leave();
    eventually("the end is handled", || requests(&server).len() == 4).await;
    let about = |mut more: Value| {
        let client = json!({"client": "client", "transport": "websocket", "protocol": "json", "encoding": "json",
            "user": "42", "channel": "room"});
        more.as_object_mut().unwrap().extend(client.as_object().unwrap().clone());
        more
    };
    let expected = [
        ("subscribebidirectional", about(json!({"data": {}}))),
        ("streampublish", about(json!({"data": {"a": [1]}}))),
        ("streampublish", about(json!({"b64data": STANDARD.encode("not JSON")}))),
        ("streamend", about(json!({"data": {}}))),
    ];
    assert_eq!(requests(&server), expected.map(|(kind, body)| (kind.to_owned(), body)));

    let answers = [
        (r#"{"error":{"code":403,"message":"no"}}"#, End::Status(0, String::new())),
        (
            r#"{"result":[]}"#,
            End::Status(
                13,
                "the worker's answer is not a valid SubscribeResponse: result: expected an object at byte 10"
                    .into(),
            ),
        ),
    ];
    for (answer, end) in answers {
        std::fs::write(server.path("answer.subscribeunidirectional"), answer).unwrap();
        assert_eq!(streams.open("room").await.end().await, end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_of_a_json_worker_are_converted_message_by_message() {
    for concurrency in [None, Some("1")] {
        let setup = json_worker().pool("num_workers: 1");
        let setup = if let Some(number) = concurrency { setup.env("CONCURRENCY", number) } else { setup };
        let server = setup.start();
        let client = server.client().await;
        let pid = client.worker_pid().await;
        let mut streams = Streams::connect(&server).await;
        let lines = [
            r#"{"subscribe_response":{"result":{"data":{"a":1}}}}"#,
            r#"{"publication":{"data":[1,null],"tags":{"x":"y"}}}"#,
            r#"{"publication":{"b64data":"AP8="}}"#,
        ];
        std::fs::write(server.path("answer.subscribeunidirectional.good.stream"), lines.join("\n")).unwrap();
        let mut stream = streams.open("good").await;
        let first = stream.next().await.unwrap().subscribe_response.unwrap().result.unwrap();
        assert_eq!(first.data, r#"{"a":1}"#);
        let publication = stream.next().await.unwrap().publication.unwrap();
        assert_eq!((&publication.data[..], &publication.tags["x"][..]), (&b"[1,null]"[..], "y"));
        assert_eq!(stream.next().await.unwrap().publication.unwrap().data, &b"\0\xff"[..]);
        assert_eq!(stream.next().await, Err(End::Status(0, String::new())));

        let lines = [lines[0], r#"{"publication":{"data":}}"#];
        std::fs::write(server.path("answer.subscribeunidirectional.bad.stream"), lines.join("\n")).unwrap();
        let mut stream = streams.open("bad").await.accepted().await;
        let end = stream.end().await;
        assert!(
            matches!(&end, End::Status(13, text) if text.contains("publication.data: invalid JSON")),
            "{end:?}"
        );
        assert_eq!(client.worker_pid().await, pid, "the worker goes on");
    }
}

/// The first block of code of a language on a page.
fn code<'a>(page: &'a str, language: &str) -> &'a str {
    let after = page.split(&format!("```{language}\n")).nth(1).unwrap();
    after.split("```").next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_of_the_guide_works_as_it_is() {
    let page = std::fs::read_to_string(repository().join("docs/guide/json.md")).unwrap();
    let setup = Setup::new("python3 app.py").pool("num_workers: 2");
    std::fs::write(setup.path("app.py"), code(&page, "python")).unwrap();
    let server = setup.start();
    let client = server.client().await;
    assert_eq!(client.rpc("sum", "[1, 2, 3]").await.unwrap(), "6");
    let status = client.rpc("sum", "[1, null]").await.unwrap_err();
    assert!(status.message().contains("TypeError"), "{status}");
    let answer = call(&client, "Connect", Bytes::new()).await.unwrap();
    let result = causeway::proto::proxy::ConnectResponse::decode(answer).unwrap().result.unwrap();
    assert_eq!(
        (&*result.user, &result.data[..], &result.channels[..]),
        ("42", &br#"{"hello": "world"}"#[..], &["news".to_owned()][..])
    );
}
