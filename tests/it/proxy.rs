//! What callers see of gRPC.

use std::time::{Duration, Instant};

use causeway::proto::proxy::RpcRequest;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{BinaryMetadataValue, MetadataValue};
use tonic::{Code, Request};

use crate::support::{json, worker};

fn context_request() -> Request<RpcRequest> {
    Request::new(RpcRequest { method: "context".into(), ..RpcRequest::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_unary_method_is_served_with_its_name_in_lower_case_as_type() {
    let server = worker().start();
    let client = server.client().await;
    for method in [
        "Connect",
        "RPC",
        "SubRefresh",
        "NotifyCacheEmpty",
        "MapPublish",
        "SharedPollRefresh",
        "NotYetInvented",
    ] {
        let response = client.call(method, context_request()).await.unwrap();
        let context = json(std::str::from_utf8(&response.result.unwrap().data).unwrap());
        assert_eq!(context["type"], serde_json::json!([method.to_lowercase()]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_reach_the_worker_and_a_header_named_type_does_not() {
    let server = worker().start();
    let mut request = context_request();
    let metadata = request.metadata_mut();
    metadata.insert("type", MetadataValue::from_static("refresh"));
    metadata.append("x-twice", MetadataValue::from_static("a"));
    metadata.append("x-twice", MetadataValue::from_static("b<"));
    metadata.insert_bin("x-raw-bin", BinaryMetadataValue::from_bytes(&[0, 255, b'a']));
    request.set_timeout(Duration::from_secs(5));
    let response = server.client().await.call("Connect", request).await.unwrap();
    let data = response.result.unwrap().data;
    let text = std::str::from_utf8(&data).unwrap();
    let user_agent = json(text)["user-agent"][0].clone();
    let expected = format!(
        r#"{{":authority":["{}"],"content-type":["application/grpc"],"type":["connect"],"user-agent":[{user_agent}],"x-raw-bin":["\u0000\ufffda"],"x-twice":["a","b\u003c"]}}"#,
        server.address()
    );
    assert_eq!(text, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_of_a_request_reach_the_worker_and_those_of_an_answer_the_caller() {
    use causeway::proto::proxy::{ConnectRequest, ConnectResponse};
    // A method whose messages the bridge would know differently: it must not look.
    let server = worker().start();
    let client = server.client().await;
    let mut grpc = tonic::client::Grpc::new(client.channel.clone());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<RpcRequest, ConnectResponse>::default();
    let path = "/centrifugal.centrifugo.proxy.CentrifugoProxy/Connect".parse().unwrap();
    let message = RpcRequest { method: "echo".into(), data: b"7"[..].into(), ..RpcRequest::default() };
    let response = grpc.unary(Request::new(message), path, codec).await.unwrap().into_inner();
    assert_eq!(
        response.result.unwrap().user,
        "7",
        "field 1 of the result is whatever the worker wrote there"
    );
    drop(ConnectRequest::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_may_be_compressed() {
    let server = worker().start();
    let client = server.client().await;
    let mut grpc = tonic::client::Grpc::new(client.channel.clone())
        .send_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Gzip);
    grpc.ready().await.unwrap();
    let data = "compress me ".repeat(10_000);
    let message = RpcRequest { method: "echo".into(), data: data.clone().into(), ..RpcRequest::default() };
    let path = "/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC".parse().unwrap();
    let codec = tonic_prost::ProstCodec::<RpcRequest, causeway::proto::proxy::RpcResponse>::default();
    let response = grpc.unary(Request::new(message), path, codec).await.unwrap();
    assert_eq!(response.metadata().get("grpc-encoding").unwrap(), "gzip");
    assert_eq!(response.into_inner().result.unwrap().data, data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_over_the_limit_is_refused() {
    let server = worker().centrifuge("max_message_size: 1MB").start();
    let client = server.client().await;
    let status = client.rpc("echo", &"x".repeat(2 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("centrifuge.max_message_size"), "{status}");
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_is_answered_in_time() {
    let server = worker().pool("num_workers: 2").start();
    let client = server.client().await;
    let calls: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                let begin = Instant::now();
                let status = client.rpc_within("sleep:8", "", Duration::from_millis(200)).await.unwrap_err();
                (status.code(), begin.elapsed())
            })
        })
        .collect();
    for call in calls {
        let (code, elapsed) = call.await.unwrap();
        assert_eq!(code, Code::DeadlineExceeded);
        // Well before the worker would have answered.
        assert!(elapsed < Duration::from_secs(6), "{elapsed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_concurrent_calls_on_one_connection_get_their_own_answers() {
    let server = worker().pool("num_workers: 4").start();
    let client = server.client().await;
    let calls: Vec<_> = (0..1000).map(|n| client.spawn_rpc("echo", &n.to_string())).collect();
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), n.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_cancelled_calls_do_not_close_the_connection() {
    let server = worker().pool("num_workers: 1").start();
    let client = server.client().await;
    for _ in 0..5 {
        let calls: Vec<_> = (0..300).map(|_| client.spawn_rpc("sleep:0.01", "1")).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        calls.iter().for_each(tokio::task::JoinHandle::abort);
        assert_eq!(client.rpc("echo", "2").await.unwrap(), "2");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_and_protocols_get_clear_answers() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let server = worker().start();
    let client = server.client().await;
    for (path, words) in [
        ("/nope.Service/X", "unknown service nope.Service"),
        ("/nopath", "malformed method name: \"/nopath\""),
        ("/grpc.health.v1.Health/Nope", "unknown method Nope"),
    ] {
        let mut grpc = tonic::client::Grpc::new(client.channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<RpcRequest, RpcRequest>::default();
        let status = grpc.unary(context_request(), path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        assert!(status.message().contains(words), "{status}");
    }
    // HTTP/1 and garbage on the port end their own connection.
    for bytes in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"\0\xff\xfe garbage"] {
        let mut stream = tokio::net::TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    }
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_health_service_says_serving() {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Check {
        #[prost(string, tag = "1")]
        service: String,
    }
    #[derive(Clone, Copy, PartialEq, prost::Message)]
    struct State {
        #[prost(int32, tag = "1")]
        status: i32,
    }
    let server = worker().start();
    let client = server.client().await;
    let check = async |service: &str| {
        let mut grpc = tonic::client::Grpc::new(client.channel.clone());
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<Check, State>::default();
        let path = "/grpc.health.v1.Health/Check".parse().unwrap();
        let answer = grpc.unary(Request::new(Check { service: service.into() }), path, codec).await;
        answer.map(|answer| answer.into_inner().status).map_err(|status| status.code())
    };
    assert_eq!(check("").await, Ok(1));
    assert_eq!(check("centrifugal.centrifugo.proxy.CentrifugoProxy").await, Ok(1));
    assert_eq!(check("nope").await, Err(Code::NotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_the_type_of_a_failed_call() {
    let server = worker().start();
    let client = server.client().await;
    client.rpc("exit:3", "").await.unwrap_err();
    let line = server.wait_for_output("call failed");
    assert!(line.contains(r#""type": "rpc""#) && line.contains("exit status 3"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_grpc_s_c_core_calls_over_a_unix_socket() {
    // Python's; C++, PHP and Ruby have the same. It sends the percent-encoded path as `:authority`.
    const CALLER: &str = r#"
import grpc, sys
channel = grpc.insecure_channel("unix:" + sys.argv[1])
call = channel.unary_unary("/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC")
for n in range(3):
    data = b"context" + str(n).encode()
    request = b"\x5a\x07context\x62" + bytes([len(data)]) + data
    sys.stdout.write(call(request, timeout=20, metadata=[("x-key", "value")]).decode("utf-8", "replace"))
"#;
    let server = worker().proxy_address("unix://calls-8_1.sock").start();
    let path = server.folder.path().join("calls-8_1.sock");
    let output = std::process::Command::new(crate::support::python())
        .args(["-c", CALLER, path.to_str().unwrap()])
        .output()
        .unwrap();
    let (text, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{error}");
    let encoded = path.to_str().unwrap()[1..].replace('/', "%2F");
    assert_eq!(text.matches(&format!(r#"":authority":["{encoded}"]"#)).count(), 3, "{text}");
}
