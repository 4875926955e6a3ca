//! Several pools in one server.

use std::collections::BTreeSet;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use causeway::proto::proxy::{ConnectRequest, ConnectResponse, RpcRequest};
use serde_json::json;
use tonic::{Code, Request};

use crate::support::{BINARY, Client, Server, Setup, eventually, is_alive, json, python, repository, worker};

fn worker_command() -> String {
    format!("python3 {}", repository().join("tests/workers/worker.py").display())
}

/// A server with these further pools, in braces' notation, and the method `env` of its worker in the pool that each call reaches.
fn with_pools(pools: &str) -> Setup {
    worker().rpc().centrifuge(&format!("pools: {{{pools}}}"))
}

/// The pool that answers an RPC of this method, as its worker says.
async fn pool_of(client: &Client, method: &str) -> String {
    let env = json(&client.rpc(method, "").await.unwrap());
    env["CAUSEWAY_POOL"].as_str().unwrap().to_owned()
}

fn run(server: &Server, arguments: &[&str]) -> Output {
    let address = format!("rpc.listen={}", server.rpc_address());
    let mut command = Command::new(BINARY);
    command.args(arguments).args(["-o", &address]).current_dir(server.folder.path());
    command.output().unwrap()
}

fn stdout(server: &Server, arguments: &[&str]) -> String {
    let output = run(server, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The pids of a pool's workers that take requests; one that was replaced is shown until it has left.
fn pids(server: &Server, pool: &str) -> BTreeSet<u64> {
    let shown = json(&stdout(server, &["workers", pool, "--json"]));
    let all = shown["workers"].as_array().unwrap().iter();
    let serving = all.filter(|worker| ["ready", "working"].contains(&worker["status"].as_str().unwrap()));
    serving.map(|worker| worker["pid"].as_u64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn php_answers_connects_and_python_rpcs_over_different_relays() {
    let php = format!("php {}", repository().join("workers/php/examples/app.php").display());
    let app = repository().join("workers/python/examples/app.py");
    let python = format!("{} {}", python(), app.display());
    for (php_relay, python_relay) in [("pipes", "tcp"), ("tcp", "unix"), ("unix", "pipes")] {
        let relay = |relay: &str| match relay {
            "tcp" => "tcp://127.0.0.1:0".to_owned(),
            "unix" => "unix://other.sock".to_owned(),
            other => other.to_owned(),
        };
        let server = Setup::new(&php)
            .rpc()
            .relay(php_relay)
            .centrifuge(&format!(
                "pools: {{python: {{match: {{types: [rpc]}}, command: \"{python}\", relay: '{}', num_workers: 1}}}}",
                relay(python_relay)
            ))
            .start();
        let client = server.client().await;
        let mut grpc = tonic::client::Grpc::new(client.channel.clone());
        let request = ConnectRequest {
            client: "c".into(),
            data: br#"{"name":"ann"}"#.to_vec().into(),
            ..ConnectRequest::default()
        };
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<ConnectRequest, ConnectResponse>::default();
        let path = "/centrifugal.centrifugo.proxy.CentrifugoProxy/Connect".parse().unwrap();
        grpc.unary(Request::new(request), path, codec).await.unwrap();
        assert_eq!(json(&client.rpc("sum", r#"{"a":1,"b":2}"#).await.unwrap()), json!({"sum": 3}));
        let executions = |pool: &str| {
            json(&stdout(&server, &["workers", pool, "--json"]))["workers"][0]["executions"].clone()
        };
        assert_eq!(
            (executions("centrifuge"), executions("centrifuge.python")),
            (json!(1), json!(1)),
            "{php_relay} {python_relay}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_reach_the_first_pool_that_matches_and_workers_know_its_name() {
    let server = with_pools(
        "one: {match: {types: [rpc], methods: ['env', 'e*x']}, num_workers: 1, env: {MINE: one}}, two: {match: {methods: 'p*'}, num_workers: 1}",
    )
    .server("  env: {SHARED: all}\n")
    .start();
    let client = server.client().await;
    let env = json(&client.rpc("env", "").await.unwrap());
    assert_eq!(
        (&env["CAUSEWAY_POOL"], &env["MINE"], &env["SHARED"], &env["RR_MODE"]),
        (&json!("centrifuge.one"), &json!("one"), &json!("all"), &json!("centrifuge"))
    );
    let other = client.worker_pid().await;
    assert_eq!(pids(&server, "centrifuge.two"), BTreeSet::from([u64::from(other)]));
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    // A compressed message is looked at as well, and a broken one goes to the default pool.
    let called = |arguments: &[&str]| {
        let address = server.address().to_owned();
        let mut all = vec!["call", "rpc", "-v", "--address", &address];
        all.extend(arguments);
        let output = run(&server, &all);
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(called(&["--method", "echo"]), "pool centrifuge\n");
    assert_eq!(called(&["--method", "env"]), "pool centrifuge.one\n");
    assert_eq!(called(&["--method", "pid"]), "pool centrifuge.two\n");
    let shown = stdout(&server, &["workers"]);
    let places =
        ["[centrifuge]", "[centrifuge.one]", "[centrifuge.two]"].map(|name| shown.find(name).unwrap());
    assert!(places.is_sorted(), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pools_that_name_the_same_address_share_one_relay() {
    for relay in ["tcp", "unix"] {
        let mut server = with_pools(
            "one: {match: {methods: env}, num_workers: 3}, two: {match: {methods: pid}, num_workers: 3}",
        )
        .relay(relay)
        .pool("num_workers: 3")
        .start();
        let client = server.client().await;
        let relay_of = |env: &str| json(env)["RR_RELAY"].as_str().unwrap().to_owned();
        let one = relay_of(&client.rpc("env", "").await.unwrap());
        // A worker of each pool that dies is replaced by one that connects to the same listener.
        for method in ["exit:3"] {
            assert_eq!(client.rpc(method, "").await.unwrap_err().code(), Code::Unavailable);
        }
        assert!(run(&server, &["reset"]).status.success());
        assert_eq!(relay_of(&client.rpc("env", "").await.unwrap()), one);
        assert_eq!(pids(&server, "centrifuge.two").len(), 3);
        server.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(server.exit().await.success());
        assert!(!server.folder.path().join("relay.sock").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_every_worker_hangs_holds_up_no_other() {
    let server = with_pools("slow: {match: {methods: 'sleep:*'}, num_workers: 2, max_queue_size: 4}").start();
    let client = server.client().await;
    let hanging: Vec<_> = (0..20).map(|_| client.spawn_rpc("sleep:60", "")).collect();
    // Two are with workers, four wait, and the others are refused; none of that concerns the default pool.
    eventually("the queue is full", || hanging.iter().filter(|call| call.is_finished()).count() == 14).await;
    for n in 0..100 {
        assert_eq!(
            client.rpc_within("echo", &n.to_string(), Duration::from_secs(10)).await.unwrap(),
            n.to_string()
        );
    }
    let stats = |pool: &str| json(&stdout(&server, &["rpc", "causeway.Stats", &format!("\"{pool}\"")]));
    assert_eq!(
        (&stats("centrifuge")["waiting"], &stats("centrifuge.slow")["waiting"]),
        (&json!(0), &json!(4))
    );
    assert_eq!(
        (&stats("centrifuge")["requests"], &stats("centrifuge.slow")["failures"]),
        (&json!(100), &json!(14))
    );
    assert_eq!(stats(""), stats("centrifuge"));
    hanging.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_of_one_pool_touches_no_other() {
    let server = with_pools(
        "one: {match: {methods: env}, num_workers: 2}, two: {match: {methods: pid}, num_workers: 2}",
    )
    .pool("num_workers: 2")
    .start();
    let names = ["centrifuge", "centrifuge.one", "centrifuge.two"];
    let before = names.map(|name| pids(&server, name));
    let text = stdout(&server, &["reset", "centrifuge.one"]);
    assert!(text.starts_with("centrifuge.one: all workers were replaced"), "{text}");
    let after = names.map(|name| pids(&server, name));
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert!(after[1].is_disjoint(&before[1]));
    // Its size is its own, too.
    assert_eq!(stdout(&server, &["rpc", "informer.AddWorker", "\"centrifuge.two\""]).trim(), "true");
    let sizes = || names.map(|name| pids(&server, name).len());
    eventually("the pool has grown", || sizes() == [2, 2, 3]).await;
    assert_eq!(stdout(&server, &["rpc", "informer.RemoveWorker", "\"centrifuge.two\""]).trim(), "true");
    eventually("the pool has shrunk", || sizes() == [2, 2, 2]).await;
    let list = json(&stdout(&server, &["rpc", "resetter.List", "true"]));
    assert_eq!(list, json!(names));
    assert!(!run(&server, &["reset", "centrifuge.nope"]).status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_required_pool_that_cannot_boot_fails_the_start() {
    let mut server = with_pools(
        "broken: {match: {types: rpc}, command: 'sh -c \"echo no luck; exit 3\"', num_workers: 1}",
    )
    .spawn();
    assert_eq!(server.exit().await.code(), Some(1));
    let line = server.wait_for_output("exit status 3");
    assert!(line.contains("centrifuge.pools.broken: `sh -c"), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_not_required_starts_when_it_can() {
    let setup = with_pools(&format!(
        "late: {{match: {{methods: [env, 'late*']}}, command: 'sh -c \"test -e ready && exec {}\"', num_workers: 1, required: false, relay: unix://late.sock}}",
        worker_command()
    ));
    let ready = setup.path("ready");
    let server = setup.more("status: {address: 127.0.0.1:0}\nmetrics: {address: 127.0.0.1:0}\n").start();
    let client = server.client().await;
    let refused = loop {
        match client.rpc("env", "").await {
            Err(status) if status.code() == Code::Unavailable => break status,
            other => assert!(other.is_err(), "{other:?}"),
        }
    };
    assert!(refused.message().contains("exit status 1"), "{refused}");
    assert_eq!(client.rpc("echo", "1").await.unwrap(), "1");
    let address = server.listening("status");
    assert_eq!(get(&address, "/ready").await.0, 200);
    let (code, body) = get(&address, "/ready?plugin=centrifuge.late").await;
    assert_eq!((code, json(&body)[0]["plugin_name"].clone()), (503, json!("centrifuge.late")));
    assert_eq!(get(&address, "/ready?plugin=centrifuge").await.0, 200);
    std::fs::write(ready, "").unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.rpc("env", "").await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(pool_of(&client, "env").await, "centrifuge.late");
    assert_eq!(get(&address, "/ready?plugin=centrifuge.late").await.0, 200);
    let lines = [
        "causeway_pool_ready{pool=\"centrifuge\"} 1",
        "causeway_pool_ready{pool=\"centrifuge.late\"} 1",
        "causeway_workers_target{pool=\"centrifuge.late\"} 1",
        "causeway_workers{pool=\"centrifuge.late\",state=\"ready\"} 1",
        "rr_centrifugo_total_workers 2",
        "causeway_request_duration_seconds_count{code=\"OK\",pool=\"centrifuge\",type=\"rpc\"} 1",
    ];
    let metrics = server.listening("metrics");
    // An answer is with its caller a moment before its worker counts as ready again.
    loop {
        let (_, page) = get(&metrics, "/").await;
        let missing: Vec<_> = lines.iter().filter(|line| !page.contains(**line)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{missing:?}\n{page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_relay_cannot_listen_is_tried_again_if_it_is_not_required() {
    let setup = with_pools(
        "late: {match: {methods: env}, num_workers: 1, required: false, relay: unix://late.sock, on_init: {command: touch late.init}}",
    );
    let (path, initialised) = (setup.path("late.sock"), setup.path("late.init"));
    let other = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut server = setup.start();
    let client = server.client().await;
    eventually("it was tried", || server.count_output("cannot start pool") > 0).await;
    let refused = client.rpc("env", "").await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("another process listens on this socket"), "{refused}");
    let resized = run(&server, &["rpc", "informer.AddWorker", "\"centrifuge.late\""]);
    assert!(String::from_utf8_lossy(&resized.stderr).contains("the pool has not started"));
    drop(other);
    let deadline = Instant::now() + Duration::from_secs(30);
    while client.rpc("env", "").await.is_err() {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(initialised.exists());
    let pid: u32 = pids(&server, "centrifuge.late").first().copied().unwrap().try_into().unwrap();
    server.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(server.exit().await.success());
    assert!(!is_alive(pid) && !path.exists());
}

async fn get(address: &str, path: &str) -> (u16, String) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pool_has_its_own_debug_mode_and_its_own_watch() {
    let setup = with_pools(
        "debug: {match: {methods: pid}, debug: true}, watched: {match: {methods: env}, num_workers: 1, watch: ['*.x']}",
    );
    let file = setup.path("a.x");
    let server = setup.start();
    let client = server.client().await;
    let first = client.worker_pid().await;
    assert_ne!(client.worker_pid().await, first);
    let (default, watched) = (pids(&server, "centrifuge"), pids(&server, "centrifuge.watched"));
    std::fs::write(file, "").unwrap();
    eventually("the pool is reset", || pids(&server, "centrifuge.watched").is_disjoint(&watched)).await;
    assert_eq!(pids(&server, "centrifuge"), default);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_with_a_broken_message_goes_to_the_default_pool() {
    let server = with_pools("all: {match: {methods: '*'}, num_workers: 1}").start();
    let client = server.client().await;
    let good = RpcRequest { method: "echo".into(), ..RpcRequest::default() };
    client.call("RPC", Request::new(good)).await.unwrap();
    let address = server.address().to_owned();
    let mut grpc = tonic::client::Grpc::new(client.channel.clone());
    grpc.ready().await.unwrap();
    let path = "/centrifugal.centrifugo.proxy.CentrifugoProxy/RPC".parse().unwrap();
    let mut request = Request::new(Broken);
    request.metadata_mut().insert("causeway-pool", tonic::metadata::MetadataValue::from_static("?"));
    let codec = tonic_prost::ProstCodec::<Broken, Broken>::default();
    let pool = match grpc.unary(request, path, codec).await {
        Ok(answer) => answer.metadata().get("causeway-pool").cloned(),
        Err(status) => status.metadata().get("causeway-pool").cloned(),
    };
    assert_eq!(pool.unwrap(), "centrifuge", "{address}");
}

/// A message whose last field lacks its value.
#[derive(Debug, Default, Clone)]
struct Broken;

impl prost::Message for Broken {
    fn encode_raw(&self, buf: &mut impl bytes::BufMut) {
        buf.put_slice(&[11 << 3 | 2, 5, b'a']);
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: prost::encoding::WireType,
        buf: &mut impl bytes::Buf,
        context: prost::encoding::DecodeContext,
    ) -> Result<(), prost::DecodeError> {
        prost::encoding::skip_field(wire_type, tag, buf, context)
    }

    fn encoded_len(&self) -> usize {
        3
    }

    fn clear(&mut self) {}
}
