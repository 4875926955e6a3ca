//! What a collector gets of calls, and what workers and Centrifugo get of their traces.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use causeway::proto::proxy::RpcRequest;
use nix::sys::signal::Signal;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use serde_json::{Value, json as object};
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};

use crate::support::centrifugo::FakeApi;
use crate::support::collector::{Collector, attribute, binary, hex};
use crate::support::real_centrifugo::free_port;
use crate::support::{Client, Killed, PATIENCE, Server, Setup, eventually, folder, json, worker};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A server that exports to this address without waiting for more spans.
fn traced(setup: Setup, address: &str, more: &str) -> Server {
    let section = format!("otel: {{endpoint: '{address}', insecure: true, {more}}}\n");
    setup.more(&section).env("OTEL_BSP_SCHEDULE_DELAY", "20").start()
}

/// An RPC of the client with these headers; the context that its worker got.
async fn context_of(client: &Client, headers: &[(&'static str, String)]) -> Value {
    let mut request = Request::new(RpcRequest { method: "context".into(), ..RpcRequest::default() });
    for (name, value) in headers {
        request.metadata_mut().insert(*name, MetadataValue::try_from(value).unwrap());
    }
    let response = client.call("RPC", request).await.unwrap();
    json(std::str::from_utf8(&response.result.unwrap().data).unwrap())
}

fn traceparent(flags: &str) -> (&'static str, String) {
    ("traceparent", format!("00-{TRACE}-{PARENT}-{flags}"))
}

/// The name of a span, and the attributes of these names.
fn shown<'a>(span: &'a Span, keys: &[&str]) -> (&'a str, Vec<String>) {
    (&span.name, keys.iter().map(|key| attribute(&span.attributes, key)).collect())
}

/// The span of a call, and of its worker.
async fn of_call(collector: &Collector) -> [Span; 2] {
    collector.spans(2).await.try_into().unwrap()
}

async fn a_call_is_a_span(collector: &Collector, more: &str) {
    let server = traced(worker(), &collector.address, more);
    let client = server.client().await;
    let headers = [traceparent("01"), ("tracestate", "a=1,b=2".into())];
    let context = context_of(&client, &headers).await;
    let [call, work] = of_call(collector).await;
    assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.into(), PARENT.into()));
    assert_eq!((call.kind(), &*call.trace_state, call.flags), (SpanKind::Server, "a=1,b=2", 0x301));
    let keys = ["rpc.system.name", "rpc.method", "rpc.response.status_code", "causeway.pool", "error.type"];
    let method = "centrifugal.centrifugo.proxy.CentrifugoProxy/RPC";
    let expected = ["grpc", method, "OK", "centrifuge", ""].map(str::to_owned).to_vec();
    assert_eq!(shown(&call, &keys), (method, expected));
    assert_eq!(call.status, None);
    assert_eq!((work.trace_id, work.parent_span_id), (call.trace_id, call.span_id));
    let pid = client.worker_pid().await.to_string();
    assert_eq!(shown(&work_span(&work.span_id, collector).await, &["worker.pid"]), ("worker", vec![pid]));
    assert!(call.start_time_unix_nano <= work.start_time_unix_nano);
    assert!(call.end_time_unix_nano >= work.end_time_unix_nano);
    // The worker goes on with its own span.
    let expected = format!("00-{TRACE}-{}-01", hex(&work.span_id));
    assert_eq!(context["traceparent"], object!([expected]));
    assert_eq!(context["tracestate"], object!(["a=1,b=2"]));
    assert_eq!(collector.resource("service.name"), "shop");
}

/// The span of this id, among those of later calls.
async fn work_span(id: &[u8], collector: &Collector) -> Span {
    let spans = collector.spans(4).await;
    spans.into_iter().find(|span| span.span_id == id).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_with_its_worker_over_http() {
    let collector = Collector::http().await;
    a_call_is_a_span(&collector, "resource: {service_name: shop}, headers: {api-key: secret}").await;
    assert_eq!(collector.header("api-key").as_deref(), Some("secret"));
    assert_eq!(collector.header("content-encoding"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_is_a_span_with_its_worker_over_grpc() {
    let collector = Collector::grpc().await;
    let more = "client: grpc, compress: true, resource: {service_name: shop}, headers: {api-key: secret}";
    a_call_is_a_span(&collector, more).await;
    assert_eq!(collector.header("api-key").as_deref(), Some("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_compressed_over_http_as_well() {
    let collector = Collector::http().await;
    let server = traced(worker(), &collector.address, "compress: true");
    server.client().await.rpc("echo", "1").await.unwrap();
    of_call(&collector).await;
    assert_eq!(collector.header("content-encoding").as_deref(), Some("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_caller_does_not_record_is_not_recorded() {
    let collector = Collector::http().await;
    let server = traced(worker(), &collector.address, "");
    let client = server.client().await;
    let unsampled = traceparent("00");
    let context = context_of(&client, std::slice::from_ref(&unsampled)).await;
    assert_eq!(context["traceparent"], object!([unsampled.1]));
    // A call without a trace is the beginning of one, whatever the state of another trace is.
    let context =
        context_of(&client, &[("tracestate", "a=1".into()), ("traceparent", "nonsense".into())]).await;
    assert_eq!(context.get("tracestate"), None);
    let [call, work] = of_call(&collector).await;
    assert_eq!((&call.parent_span_id[..], &*call.trace_state), (&b""[..], ""));
    let expected = format!("00-{}-{}-01", hex(&call.trace_id), hex(&work.span_id));
    assert_eq!(context["traceparent"], object!([expected]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_told_of_a_trace_that_the_sampler_does_not_record() {
    let collector = Collector::http().await;
    let setup = worker().env("OTEL_TRACES_SAMPLER", "always_off");
    let mut server = traced(setup, &collector.address, "");
    let client = server.client().await;
    let context = context_of(&client, &[traceparent("01")]).await;
    let text = context["traceparent"][0].as_str().unwrap();
    assert!(text.starts_with(&format!("00-{TRACE}-")) && text.ends_with("-00"), "{text}");
    let context = context_of(&client, &[]).await;
    let text = context["traceparent"][0].as_str().unwrap();
    assert!(!text.contains(TRACE) && text.ends_with("-00"), "{text}");
    // What waits is exported at shutdown.
    server.signal(Signal::SIGTERM);
    assert!(server.exit().await.success());
    assert_eq!(collector.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_section_headers_reach_the_worker_as_they_are() {
    let server = worker().env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1").start();
    let client = server.client().await;
    let sent = [traceparent("01"), ("tracestate", "a=1".into())];
    let context = context_of(&client, &sent).await;
    assert_eq!(context["traceparent"], object!([sent[0].1]));
    assert_eq!(context["tracestate"], object!(["a=1"]));
    assert_eq!(context_of(&client, &[]).await.get("traceparent"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_has_a_span_for_that_and_one_that_fails_says_why() {
    let collector = Collector::http().await;
    let setup = worker().more("metrics: {address: '127.0.0.1:0'}\n");
    let gate = setup.path("gate");
    let server = traced(setup, &collector.address, "");
    let client = server.client().await;
    let first = client.spawn_rpc(&format!("wait:{}", gate.display()), "");
    server.wait_for_output("it waits for");
    let second = client.spawn_rpc("error:as you wished", "");
    let waiting = "causeway_requests_waiting{pool=\"centrifuge\"} 1";
    eventually("the second call waits", || metrics(&server).contains(waiting)).await;
    std::fs::write(&gate, "").unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(second.await.unwrap().unwrap_err().code(), Code::Internal);
    collector.spans(4).await;
    let spans = collector.all();
    let failed = spans.iter().find(|span| attribute(&span.attributes, "error.type") == "INTERNAL").unwrap();
    let status = failed.status.as_ref().unwrap();
    assert_eq!((status.code(), &*status.message), (StatusCode::Error, "as you wished"));
    let children: Vec<_> = spans.iter().filter(|span| span.parent_span_id == failed.span_id).collect();
    let names: Vec<&str> = children.iter().map(|span| &*span.name).collect();
    assert_eq!(names, ["queue", "worker"]);
    assert_eq!(children[0].end_time_unix_nano, children[1].start_time_unix_nano);
    let counted = format!("causeway_spans_exported_total {}\n", spans.len());
    eventually("exported spans are counted", || metrics(&server).contains(&counted)).await;
}

/// The page of metrics.
fn metrics(server: &Server) -> String {
    let mut stream = std::net::TcpStream::connect(server.listening("metrics")).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_caller_leaves_is_recorded_as_cancelled() {
    let collector = Collector::http().await;
    let server = traced(worker(), &collector.address, "");
    let client = server.client().await;
    let call = client.spawn_rpc("hang", "");
    server.wait_for_output("it hangs");
    call.abort();
    let [call, _work] = of_call(&collector).await;
    let (_, shown) = shown(&call, &["rpc.response.status_code", "error.type"]);
    assert_eq!(shown, ["CANCELLED", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_to_centrifugo_is_a_span_whose_context_centrifugo_gets() {
    let (collector, centrifugo) =
        (Collector::grpc().await, FakeApi::builder().answer(|_| Ok(Bytes::new())).start().await);
    let setup = worker().rpc().centrifuge(&format!("grpc_api_address: {}", centrifugo.address));
    let server = traced(setup, &collector.address, "client: grpc");
    let argument = object!({"channel": "news", "data": {}});
    server.caller().await.json("centrifuge.Publish", &argument).await.unwrap();
    let [span]: [Span; 1] = collector.spans(1).await.try_into().unwrap();
    let keys = ["rpc.system.name", "rpc.response.status_code", "server.address", "server.port"];
    let port = centrifugo.address.port().to_string();
    let expected = ["grpc", "OK", "127.0.0.1", &*port].map(str::to_owned).to_vec();
    assert_eq!(shown(&span, &keys), ("centrifugal.centrifugo.api.CentrifugoApi/Publish", expected));
    assert_eq!(span.kind(), SpanKind::Client);
    let sent = format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id));
    assert_eq!(centrifugo.seen()[0].headers["traceparent"], sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_are_lines_of_json_on_standard_output() {
    let server = worker().more("otel: {exporter: stdout}\n").env("OTEL_BSP_SCHEDULE_DELAY", "20").start();
    context_of(&server.client().await, &[traceparent("01")]).await;
    let line = json(&server.wait_for_output("\"Name\":\"worker\""));
    assert_eq!(line["SpanContext"]["TraceID"], TRACE);
    assert_eq!(line["Parent"]["TraceID"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_a_worker_name_the_trace_of_its_request() {
    let setup = worker().more("otel: {exporter: stdout}\nlogs: {mode: production}\n");
    let server = setup.start();
    let client = server.client().await;
    for (method, flags) in [("says:traced", "01"), ("says:not recorded", "00"), ("noise", "01")] {
        let mut request = Request::new(RpcRequest { method: method.into(), ..RpcRequest::default() });
        let (name, value) = traceparent(flags);
        request.metadata_mut().insert(name, MetadataValue::try_from(value).unwrap());
        client.call("RPC", request).await.unwrap();
    }
    let fields = |text: &str| json(&server.wait_for_output(&format!("\"{text}\"")));
    assert_eq!(fields("traced")["trace_id"], TRACE);
    assert_eq!(fields("not recorded").get("trace_id"), None);
    assert_eq!(fields("a line at the start").get("trace_id"), None);
    // Between frames.
    assert_eq!(fields("Warning: something")["trace_id"], TRACE);
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_that_wait_are_exported_at_shutdown() {
    let collector = Collector::grpc().await;
    let setup = worker().env("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let section = format!("otel: {{client: grpc, endpoint: 'http://{}'}}\n", collector.address);
    let mut server = setup.more(&section).start();
    server.client().await.rpc("echo", "1").await.unwrap();
    assert_eq!(collector.count(), 0);
    server.signal(Signal::SIGTERM);
    assert!(server.exit().await.success());
    assert_eq!(collector.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_delays_neither_calls_nor_the_shutdown() {
    // Nobody accepts what is connected, so that exports hang.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let mut server = traced(worker(), &address, "");
    let client = server.client().await;
    for _ in 0..100 {
        client.rpc("echo", "1").await.unwrap();
    }
    let begin = Instant::now();
    server.signal(Signal::SIGTERM);
    assert!(server.exit().await.success());
    let took = begin.elapsed();
    assert!(took < PATIENCE / 2, "{took:?}");
    server.wait_for_output("spans dropped at shutdown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_collector_takes_spans_over_both_protocols() {
    let Some(binary) = binary() else { return };
    let [grpc, http] = [free_port(), free_port()];
    let host = crate::support::real_centrifugo::HOST;
    let config = format!(
        "receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{host}:{grpc}'}}, http: {{endpoint: '{host}:{http}'}}}}}}}}\n\
         exporters: {{debug: {{verbosity: detailed}}}}\n\
         service: {{telemetry: {{metrics: {{level: none}}}}, pipelines: {{traces: {{receivers: [otlp], exporters: [debug]}}}}}}\n"
    );
    let folder = folder(&[("collector.yaml", &config)]);
    let log = folder.path().join("log");
    let output = || Stdio::from(std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap());
    let collector = Command::new(binary)
        .arg("--config=collector.yaml")
        .current_dir(folder.path())
        .stdout(output())
        .stderr(output())
        .spawn();
    let _collector = Killed(collector.unwrap());
    let text = || std::fs::read_to_string(&log).unwrap();
    eventually("the collector is ready", || text().contains("Everything is ready")).await;
    for (client, port) in [("grpc", grpc), ("http", http)] {
        let more = format!("client: {client}, compress: true, resource: {{service_name: over-{client}}}");
        let server = traced(worker(), &format!("{host}:{port}"), &more);
        context_of(&server.client().await, &[traceparent("01")]).await;
        let name = format!("service.name: Str(over-{client})");
        eventually("the collector has got the spans", || text().contains(&name)).await;
    }
    let text = text();
    let count = |part: &str| text.matches(part).count();
    assert_eq!(count(&format!("Trace ID       : {TRACE}")), 4, "{text}");
    assert_eq!(count(&format!("Parent ID      : {PARENT}")), 2, "{text}");
    assert_eq!(count("rpc.response.status_code: Str(OK)"), 2, "{text}");
}
