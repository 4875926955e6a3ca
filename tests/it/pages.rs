//! The pages for scrapers and orchestrators: metrics, health, readiness.

use std::io::Read as _;

use nix::sys::signal::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{PATIENCE, Server, Setup, worker};

/// The log channels of the pages.
const METRICS: &str = "metrics";
const HEALTH: &str = "status";

/// An answer, taken apart.
#[derive(Debug)]
struct Page {
    code: u16,
    head: String,
    body: Vec<u8>,
}

impl Page {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn has(&self, line: &str) -> bool {
        self.text().lines().any(|found| found == line)
    }
}

fn setup() -> Setup {
    worker().rpc().more("status: {address: '127.0.0.1:0'}\n").more(
        "metrics:
  address: 127.0.0.1:0
  collect:
    app_cfg: {type: counter, help: Declared in the file.}
    app_sum: {type: summary, help: Summary of the file., objectives: {0.5: 0.05}}
",
    )
}

/// Sends these bytes, the last request of which closes the connection, and reads to its end.
async fn exchange(server: &Server, channel: &str, bytes: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.listening(channel)).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("no answer").unwrap();
    bytes
}

async fn request(server: &Server, channel: &str, request: &str) -> Page {
    let request = format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    page(exchange(server, channel, &request).await)
}

fn page(mut bytes: Vec<u8>) -> Page {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let body = bytes.split_off(end + 4);
    let head = String::from_utf8(bytes).unwrap().to_lowercase();
    let code = head.split(' ').nth(1).unwrap().parse().unwrap();
    Page { code, head, body }
}

async fn get(server: &Server, channel: &str, path: &str) -> Page {
    request(server, channel, &format!("GET {path}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_the_application_and_of_the_bridge_are_on_one_page() {
    let server = setup().pool("num_workers: 2").start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    let pid = client.worker_pid().await;
    client.rpc("no such behaviour", "").await.unwrap_err();
    let collector =
        json!({"type": "summary", "help": "Times.", "labels": ["k"], "objectives": {"0.9": 0.01}});
    let declared = caller.json("metrics.Declare", &json!({"name": "times", "collector": collector})).await;
    assert_eq!(declared, Ok(json!(true)));
    for (method, metric) in [
        ("Add", json!({"name": "app_cfg", "value": 3})),
        ("Observe", json!({"name": "times", "value": 0, "labels": ["x"]})),
        ("Observe", json!({"name": "app_sum", "value": 0.25})),
    ] {
        assert_eq!(caller.json(&format!("metrics.{method}"), &metric).await, Ok(json!(true)));
    }
    let error = caller.json("metrics.Add", &json!({"name": "app_cfg", "value": -1})).await.unwrap_err();
    assert_eq!(error, "metrics_plugin_add: counter cannot decrease in value, found -1");

    let page = get(&server, METRICS, "/metrics").await;
    assert_eq!(page.code, 200);
    assert!(page.head.contains("content-type: text/plain; version=0.0.4"), "{}", page.head);
    for line in [
        "# HELP app_cfg Declared in the file.",
        "# TYPE app_cfg counter",
        "app_cfg 3",
        "app_sum_count 1",
        "times{k=\"x\",quantile=\"0.9\"} 0",
        "times_count{k=\"x\"} 1",
        "rr_centrifugo_total_workers 2",
        "rr_centrifugo_workers_ready 2",
        "rr_centrifugo_workers_working 0",
        "rr_centrifugo_workers_invalid 0",
        &format!("rr_centrifugo_worker_state{{pid=\"{pid}\",state=\"ready\"}} 0"),
        "causeway_requests_waiting{pool=\"centrifuge\"} 0",
        "causeway_requests_in_flight{pool=\"centrifuge\"} 0",
        "causeway_capacity{pool=\"centrifuge\"} 2",
        "causeway_workers_target{pool=\"centrifuge\"} 2",
        "causeway_log_lines_dropped_total{reason=\"slow_reader\"} 0",
        "causeway_request_queue_duration_seconds_count{pool=\"centrifuge\",type=\"rpc\"} 2",
        "causeway_request_worker_duration_seconds_count{pool=\"centrifuge\",type=\"rpc\"} 2",
        "causeway_request_bridge_duration_seconds_count{pool=\"centrifuge\",type=\"rpc\"} 2",
        "causeway_requests_rejected_total{pool=\"centrifuge\",reason=\"queue_full\"} 0",
        "causeway_worker_boot_duration_seconds_count{pool=\"centrifuge\"} 2",
        "causeway_worker_boot_failures_total{pool=\"centrifuge\"} 0",
        "causeway_worker_frames_dropped_total{pool=\"centrifuge\",reason=\"surplus\"} 0",
        "causeway_worker_noise_bytes_total{pool=\"centrifuge\"} 0",
        "causeway_rpc_calls_total{method=\"metrics.Add\"} 2",
        "causeway_rpc_failures_total{method=\"metrics.Add\"} 1",
        "causeway_connections{listener=\"rpc\"} 1",
        "causeway_request_duration_seconds_count{code=\"OK\",pool=\"centrifuge\",type=\"rpc\"} 1",
        "causeway_request_duration_seconds_count{code=\"INTERNAL\",pool=\"centrifuge\",type=\"rpc\"} 1",
    ] {
        assert!(page.has(line), "{line}\n{}", page.text());
    }
    let memory = format!("rr_centrifugo_worker_memory_bytes{{pid=\"{pid}\"}} ");
    assert!(page.text().contains(&memory), "{}", page.text());
    assert_eq!(caller.json("metrics.Unregister", &json!("times")).await, Ok(json!(true)));
    assert!(!get(&server, METRICS, "/").await.text().contains("times_"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_the_server_itself_uses() {
    let server = setup().start();
    let page = get(&server, METRICS, "/metrics").await;
    let value = |name: &str| -> f64 {
        let line = page.text().lines().find_map(|line| line.strip_prefix(&format!("process_{name} ")));
        line.unwrap_or_else(|| panic!("no process_{name}:\n{}", page.text())).parse().unwrap()
    };
    let files = std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let off = (value("open_fds") - f64::from(u32::try_from(files).unwrap())).abs();
    assert!(off < 10.0, "connections come and go, but not so many: {files}\n{}", page.text());
    assert!(value("open_fds") < value("max_fds"));
    assert!(value("resident_memory_bytes") > 1e6, "bytes");
    assert!(value("virtual_memory_bytes") > value("resident_memory_bytes"));
    assert!(value("virtual_memory_max_bytes") >= value("virtual_memory_bytes"));
    assert!(value("cpu_seconds_total") < 60.0, "seconds");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((now - value("start_time_seconds")).abs() < 86_400.0, "seconds since 1970");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_page_is_compressed_on_request() {
    let server = setup().start();
    let packed = "GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: deflate, gzip;q=0.5\r\n\
                  Connection: close\r\n\r\n";
    let page = page(exchange(&server, METRICS, packed).await);
    assert!(page.head.contains("content-encoding: gzip"), "{}", page.head);
    let mut text = String::new();
    flate2::read::GzDecoder::new(&page.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.contains("\napp_cfg 0\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_live_before_its_workers_and_ready_with_them() {
    let setup = setup();
    let gate = setup.path("gate");
    let server = setup.env("BOOT_WAITS", &gate.display().to_string()).spawn();
    assert_eq!(get(&server, HEALTH, "/health").await.code, 200);
    let page = get(&server, HEALTH, "/ready?plugin=centrifuge").await;
    let body = r#"[{"plugin_name":"centrifuge","error_message":"no worker can serve","status_code":503}]"#;
    assert_eq!((page.code, page.text()), (503, body));
    for query in
        ["plugin=centrifuge,http", "plugin=centri%66uge", "plugin=nope", "plugin=", "plugin", "foo=1"]
    {
        let page = get(&server, HEALTH, &format!("/ready?{query}")).await;
        assert_eq!((page.code, page.text()), (503, body), "{query}");
    }
    assert!(get(&server, METRICS, "/metrics").await.has("rr_centrifugo_total_workers 0"));
    std::fs::write(gate, "").unwrap();
    server.wait_for_output("address: ");
    let well = r#"[{"plugin_name":"centrifuge","error_message":"","status_code":200}]"#;
    for (path, body) in [
        ("/health", well.to_owned()),
        ("/ready", well.to_owned()),
        ("/ready?plugin=centrifuge&plugin=nope", well.to_owned()),
        ("/ready?plugin=http,centri%66uge", well.to_owned()),
        ("/ready?plugin=nope", "[]".to_owned()),
        ("/health?plugin=centrifuge&plugin=centrifuge", well.replace("}]", "},") + &well[1..]),
    ] {
        let page = get(&server, HEALTH, path).await;
        assert_eq!((page.code, page.text()), (200, &*body), "{path}");
    }
    for path in ["/api", "/health/", "/job"] {
        let page = get(&server, HEALTH, path).await;
        assert_eq!((page.code, page.text()), (404, "404 page not found\n"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_answer_the_methods_of_scrapers_and_probes() {
    let server = setup().start();
    for method in ["HEAD", "GET", "OPTIONS", "POST"] {
        let page = request(&server, HEALTH, &format!("{method} /ready")).await;
        assert_eq!((page.code, page.body.is_empty()), (200, method == "HEAD"), "{method}");
    }
    for (method, path) in [("GET", "/"), ("GET", "/metrics/"), ("HEAD", "/metrics")] {
        assert_eq!(request(&server, METRICS, &format!("{method} {path}")).await.code, 200, "{method} {path}");
    }
    for method in ["POST", "PUT", "DELETE"] {
        let page = request(&server, METRICS, &format!("{method} /metrics")).await;
        assert_eq!((page.code, page.text()), (405, "Method Not Allowed\n"), "{method}");
        assert!(page.head.contains("\r\nallow: get, head\r\n"), "{}", page.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_on_one_connection_are_all_answered() {
    let server = setup().start();
    let pipelined = "GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nope HTTP/1.1\r\nHost: x\r\n\r\n\
                     GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answers = String::from_utf8(exchange(&server, HEALTH, pipelined).await).unwrap();
    let codes: Vec<&str> = answers.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(codes, ["200", "404", "200"], "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sections_with_one_address_share_a_listener() {
    // No other test has this address, and the kernel gives this port to none.
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let address = format!("127.{}.{b}.{c}:2112", 64 + (a & 63));
    let sections = format!("status: {{address: '{address}'}}\nmetrics: {{address: 'tcp://{address}'}}\n");
    let server = worker().more(&sections).start();
    assert_eq!(server.listening(METRICS), server.listening(HEALTH));
    assert!(get(&server, METRICS, "/metrics").await.has("causeway_workers_target{pool=\"centrifuge\"} 1"));
    assert_eq!(get(&server, HEALTH, "/ready").await.code, 200);
    assert_eq!(get(&server, HEALTH, "/other").await.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_ready_and_one_that_shuts_down_is_not() {
    let mut server = setup().start();
    let client = server.client().await;
    let file = server.folder.path().join("go");
    let call = client.spawn_rpc(&format!("wait:{}", file.display()), "1");
    server.wait_for_output("it waits");
    assert_eq!(get(&server, HEALTH, "/ready").await.code, 200);
    assert!(get(&server, METRICS, "/metrics").await.has("rr_centrifugo_workers_working 1"));
    server.signal(Signal::SIGTERM);
    server.wait_for_output("draining connections");
    let page = get(&server, HEALTH, "/ready").await;
    assert_eq!((page.code, page.text()), (503, "service is shutting down\n"));
    assert_eq!(get(&server, HEALTH, "/health").await.code, 200);
    std::fs::write(file, "").unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "1");
    assert_eq!(server.exit().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_http_affects_no_other_connection() {
    let server = setup().start();
    let mut strangers = Vec::new();
    for _ in 0..50 {
        let mut stranger = TcpStream::connect(server.listening(METRICS)).await.unwrap();
        stranger.write_all(b"\x16\x03\x01 hello\r\n\r\n").await.unwrap();
        strangers.push(stranger);
        strangers.push(TcpStream::connect(server.listening(METRICS)).await.unwrap());
    }
    assert!(get(&server, METRICS, "/metrics").await.has("app_cfg 0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_collector_is_named_and_nothing_starts() {
    let mut server = worker().more("metrics: {collect: {m: {type: gauge, labels: ['']}}}\n").spawn();
    assert_eq!(server.exit().await.code(), Some(2));
    server.wait_for_output("metrics.collect.m: \"\" is not a valid label name for metric \"m\"");
}
