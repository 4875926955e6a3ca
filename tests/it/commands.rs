//! The commands that operate a running server, over `rpc.listen` or by its `.pid`.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use causeway::proto::api::{Error, PublishRequest, PublishResponse, PublishResult};
use prost::Message as _;
use serde_json::{Value, json};

use crate::support::centrifugo::{FakeApi, silent_listener};
use crate::support::{BINARY, Killed, Server, Setup, eventually, is_alive, json, worker};

/// How a command ended.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run_in(folder: &Path, args: &[&str], input: &str) -> Ran {
    let mut child = Command::new(BINARY)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who does not read it may be gone by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Runs a command beside a server's configuration.
fn run(server: &Server, args: &[&str]) -> Ran {
    run_in(server.folder.path(), args, "")
}

impl Ran {
    #[track_caller]
    fn succeeds(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out
    }

    /// Asserts failure with one line, and returns it without the program's name.
    #[track_caller]
    fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        let line = self.err.strip_suffix('\n').and_then(|err| err.strip_prefix("causeway: "));
        let line = line.filter(|line| !line.contains('\n'));
        line.unwrap_or_else(|| panic!("one line is expected: {self:?}")).to_owned()
    }
}

fn setup() -> Setup {
    worker().more("rpc: {listen: unix://rpc.sock}\n")
}

/// Starts the server with `-p` too.
fn with_pid_file(setup: Setup) -> Setup {
    setup.through(&["sh", "-c", "exec \"$0\" \"$@\" -p"])
}

fn pids(server: &Server) -> Vec<u32> {
    let workers = json(&run(server, &["workers", "--json"]).succeeds());
    let pid = |worker: &Value| u32::try_from(worker["pid"].as_u64().unwrap()).unwrap();
    workers["workers"].as_array().unwrap().iter().map(pid).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_are_shown_as_a_table_and_as_json() {
    let server = setup().pool("num_workers: 2").start();
    server.client().await.rpc("echo", "x").await.unwrap();
    let table = run(&server, &["workers"]).succeeds();
    assert!(table.starts_with("Workers of [centrifuge]:\n┌"), "{table}");
    assert_eq!(table.matches("│ ready  │").count(), 2, "{table}");
    assert!(table.contains("worker.py") && !table.contains('\u{1b}'), "{table}");

    let all = json(&run(&server, &["workers", "centrifuge", "--json"]).succeeds());
    let workers = all["workers"].as_array().unwrap();
    assert_eq!(workers.len(), 2);
    for worker in workers {
        assert!(is_alive(worker["pid"].as_u64().unwrap().try_into().unwrap()));
        assert_eq!((&worker["plugin"], &worker["status"]), (&json!("centrifuge"), &json!("ready")));
        assert!(worker["memory"].as_u64().unwrap() > 1_000_000, "{worker}");
        assert!(worker["age"].as_f64().unwrap() > 0.0, "{worker}");
    }
    let executions: u64 = workers.iter().map(|worker| worker["executions"].as_u64().unwrap()).sum();
    assert_eq!(executions, 1);
    assert_eq!((&all["stats"]["requests"], &all["stats"]["target"]), (&json!(1), &json!(2)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_pool_is_reported_with_the_known_ones() {
    let server = setup().start();
    let before = pids(&server);
    let ran = run(&server, &["workers", "nope", "centrifuge"]);
    assert!(ran.out.contains("Workers of [centrifuge]:"), "{ran:?}");
    assert_eq!(ran.fails(1), "no pool nope; known pools: centrifuge");
    let ran = run(&server, &["workers", "-i", "nope"]);
    assert_eq!(ran.fails(1), "no pool nope; known pools: centrifuge");
    let ran = run(&server, &["reset", "nope"]);
    assert_eq!(ran.fails(1), "no pool nope; known pools: centrifuge");
    assert_eq!(pids(&server), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_replaces_all_workers_and_reports_it() {
    let server = setup().pool("num_workers: 2").start();
    let before = pids(&server);
    let ran = run(&server, &["reset"]);
    assert_eq!(ran.err, "resetting centrifuge\n");
    assert!(ran.succeeds().starts_with("centrifuge: all workers were replaced in "));
    let after = pids(&server);
    assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    let ran = run(&server, &["reset", "-s", "centrifuge"]);
    assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(0), "", ""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_to_code_that_does_not_boot_fails_with_the_worker_s_own_message() {
    let (setup, flag) = setup().pool("num_workers: 2").boots_unless("NO_BOOT");
    let server = setup.start();
    let before = pids(&server);
    std::fs::write(&flag, "").unwrap();
    let ran = run(&server, &["reset"]);
    assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{ran:?}");
    for words in ["causeway: centrifuge: the workers were not replaced", "exit status 7", "the flag is set"] {
        assert!(ran.err.contains(words), "{ran:?}");
    }
    assert_eq!(pids(&server), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_by_pid_file_waits_for_calls_in_flight() {
    let setup = with_pid_file(setup());
    let flag = setup.path("flag");
    let mut server = setup.start();
    let (client, workers) = (server.client().await, pids(&server));
    let call = client.spawn_rpc(&format!("wait:{}", flag.display()), "x");
    server.wait_for_output("it waits");
    // The working directory is the file's own, wherever the command is run.
    let config = server.folder.path().join(".rr.yaml").display().to_string();
    let stop = std::thread::spawn(move || run_in(Path::new("/"), &["stop", "-c", &config], ""));
    server.wait_for_output("stop signal received");
    std::fs::write(&flag, "").unwrap();
    assert_eq!(call.await.unwrap().unwrap(), "x");
    let ran = stop.join().unwrap();
    assert_eq!(ran.err, format!("stopping process {}\n", server.pid()));
    assert!(ran.succeeds().starts_with(&format!("process {} has stopped after ", server.pid())));
    assert!(!is_alive(server.pid()), "stop waits for the end");
    assert!(server.exit().await.success());
    assert!(workers.iter().all(|&pid| !is_alive(pid)));
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_without_a_pid_file_works_over_rpc() {
    let mut server = setup().start();
    let ran = run(&server, &["stop"]);
    assert_eq!(ran.err, "stopping the server at unix://rpc.sock\n");
    assert!(ran.succeeds().starts_with("the server at unix://rpc.sock has stopped after "));
    assert!(server.exit().await.success());
    let again = run(&server, &["stop"]).fails(1);
    assert!(again.starts_with("there is no /") && again.contains("cannot connect to unix://"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forced_stop_does_not_wait_for_calls_and_leaves_no_worker() {
    for setup in [setup(), with_pid_file(setup())] {
        let mut server = setup.start();
        let (client, workers) = (server.client().await, pids(&server));
        let call = client.spawn_rpc("hang", "");
        eventually("the call is in hand", || {
            json(&run(&server, &["workers", "--json"]).succeeds())["workers"][0]["status"] == "working"
        })
        .await;
        run(&server, &["stop", "-f"]).succeeds();
        server.exit().await;
        eventually("no worker is left", || workers.iter().all(|&pid| !is_alive(pid))).await;
        call.await.unwrap().unwrap_err();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pid_file_that_names_no_server_stops_no_process() {
    let stranger = Killed(Command::new("sleep").arg("1000").spawn().unwrap());
    let ended = Command::new("true").spawn().unwrap();
    let ended_pid = ended.id();
    ended.wait_with_output().unwrap();
    for (content, why) in [
        (stranger.0.id().to_string(), "is not a server"),
        (ended_pid.to_string(), "there is no process"),
        ("-1".into(), "contains no process id"),
        ("x".into(), "contains no process id"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".rr.yaml"), "version: '3'\nrpc: {listen: 127.0.0.1:1}\n").unwrap();
        std::fs::write(folder.path().join(".pid"), content).unwrap();
        let error = run_in(folder.path(), &["stop"], "").fails(1);
        assert!(error.contains(why) && error.contains("cannot connect to tcp://127.0.0.1:1"), "{error}");
    }
    assert!(is_alive(stranger.0.id()));
    // The server is found over RPC all the same.
    let mut server = setup().start();
    std::fs::write(server.folder.path().join(".pid"), stranger.0.id().to_string()).unwrap();
    run(&server, &["stop"]).succeeds();
    assert!(server.exit().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_method_can_be_called_and_its_error_is_one_line() {
    let server = setup().start();
    assert_eq!(json(&run(&server, &["rpc", "informer.List", "true"]).succeeds()), json!(["centrifuge"]));
    assert_eq!(json(&run(&server, &["rpc", "rpc.Version"]).succeeds()), json!("2025.1.15"));
    let config = json(&run(&server, &["rpc", "rpc.Config"]).succeeds());
    assert_eq!(config["rpc"]["listen"], "unix://rpc.sock");
    let ran = run_in(server.folder.path(), &["rpc", "status.Ready", "-"], "{\"plugin\": \"centrifuge\"}\n");
    assert_eq!(json(&ran.succeeds())["code"], 200);
    assert_eq!(run(&server, &["rpc", "no.Such"]).fails(1), "rpc: can't find service no.Such");
    let error = run(&server, &["rpc", "informer.Workers", "centrifuge"]).fails(2);
    assert!(error.contains("is not JSON") && error.contains("'\"centrifuge\"'"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_passes_json_to_centrifugo_and_prints_its_reply() {
    let answer = |seen: &crate::support::centrifugo::Seen| {
        let request = PublishRequest::decode(seen.message.clone()).unwrap();
        let response = match request.channel.as_str() {
            "closed" => PublishResponse {
                error: Some(Error { code: 103, message: "permission denied".into() }),
                result: None,
            },
            "kept" => PublishResponse {
                error: None,
                result: Some(PublishResult { offset: 7, epoch: "abc".into() }),
            },
            _ => PublishResponse { error: None, result: Some(PublishResult::default()) },
        };
        Ok(Bytes::from(response.encode_to_vec()))
    };
    let centrifugo = FakeApi::builder().answer(answer).start().await;
    let api = format!("grpc_api_address: {}", centrifugo.address);
    let server = setup().centrifuge(&api).start();
    for (data, arrives) in [
        (r#"{"a": [1, null]}"#, r#"{"a":[1,null]}"#),
        (r#""a text""#, r#""a text""#),
        ("-5", "-5"),
        // Base64 of something else is a text nevertheless.
        (r#""aGk=""#, r#""aGk=""#),
    ] {
        assert_eq!(run(&server, &["publish", "news", data]).succeeds(), "published to news\n");
        let request = PublishRequest::decode(centrifugo.seen().pop().unwrap().message).unwrap();
        assert_eq!((&*request.channel, &*request.data), ("news", arrives.as_bytes()));
    }
    let ran = run_in(server.folder.path(), &["publish", "kept", "-"], "true\n");
    assert_eq!(ran.succeeds(), "published to kept at offset 7 of epoch abc\n");
    let error = run(&server, &["publish", "closed", "1"]).fails(1);
    assert_eq!(error, "Centrifugo refused the message: permission denied (error 103)");
    centrifugo.stop().await;
    let error = run(&server, &["publish", "news", "1"]).fails(1);
    assert!(error.contains("Unavailable"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_one_line_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let config = "version: '3'\nrpc: {listen: 'tcp://${HOST:-127.0.0.1}:1'}\n";
    std::fs::write(folder.path().join(".rr.yaml"), config).unwrap();
    for args in [&["workers"][..], &["workers", "-i"], &["reset"], &["rpc", "x.y"], &["publish", "c", "1"]] {
        let error = run_in(folder.path(), args, "").fails(1);
        assert_eq!(error, "cannot connect to tcp://127.0.0.1:1: Connection refused (os error 111)");
    }
    let error = run_in(folder.path(), &["workers", "-o", "rpc.listen=tcp://127.0.0.1:2"], "").fails(1);
    assert!(error.starts_with("cannot connect to tcp://127.0.0.1:2: "), "{error}");
    let error = run_in(folder.path(), &["workers", "--address", "unix://none.sock"], "").fails(1);
    assert!(error.starts_with("cannot connect to unix://none.sock: No such file"), "{error}");

    let (silent, _task) = silent_listener().await;
    let address = format!("0.0.0.0:{}", silent.port());
    let error = run_in(folder.path(), &["workers", "--timeout", "1s", "--address", &address], "").fails(1);
    assert_eq!(error, "informer.List was not answered within 1s");
    let error = run_in(folder.path(), &["reset", "--timeout", "1s", "--address", &address], "").fails(1);
    assert_eq!(error, "resetter.List was not answered within 1s");
}

#[test]
fn a_configuration_without_rpc_is_reported_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(".rr.yaml"), "version: '3'\n").unwrap();
    for args in [&["workers"][..], &["reset"], &["rpc", "x.y"], &["publish", "c", "1"], &["stop"]] {
        let error = run_in(folder.path(), args, "").fails(2);
        assert!(error.contains(".rr.yaml: rpc.listen: missing"), "{error}");
    }
}
