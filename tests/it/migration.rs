//! Full configurations of RoadRunner 2025 and 3, and what is told to those who move from one to the other.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;

use crate::support::{BINARY, MARK, Setup, eventually, folder, repository, worker};

const OLD: &str = include_str!("../vectors/roadrunner-2025.rr.yaml");
const NEW: &str = include_str!("../vectors/roadrunner-3.rr.yaml");

/// What `check` prints, which has to succeed.
fn check(text: &str, compat: &str) -> String {
    let folder = folder(&[(".rr.yaml", text)]);
    let output =
        Command::new(BINARY).args(["check", "-o", compat]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn lines_with(text: &str, prefix: &str) -> String {
    text.lines().filter(|line| line.starts_with(prefix)).collect::<Vec<_>>().join("\n")
}

#[test]
fn full_configurations_are_accepted_without_a_warning_under_their_own_roadrunner() {
    for (text, compat) in [(OLD, "2025"), (NEW, "3")] {
        let printed = check(text, &format!("causeway.compat={compat}"));
        assert_eq!(lines_with(&printed, "warning"), "", "{printed}");
        assert!(printed.contains(&format!("\ncompat        {compat} (causeway.compat)\n")), "{printed}");
    }
}

#[test]
fn check_is_a_guide_for_moving_to_roadrunner_3_and_back() {
    let old = check(OLD, "causeway.compat=2025");
    insta::assert_snapshot!(lines_with(&old, "under 3"), @r"
    under 3       .rr.yaml:33: logs.mode: lines are Go's slog in JSON: time, level, msg, logger, then the fields
    under 3       .rr.yaml:35: logs.encoding: has no effect: mode production is JSON, other modes are text, and `format` makes lines of any form
    under 3       .rr.yaml:36: logs.line_ending: has no effect without `format`
    under 3       .rr.yaml:39: logs.channels.server: inherits nothing from logs: it would lose level, line_ending, output
    under 3       .rr.yaml:40: logs.channels.app: inherits nothing from logs: it would lose mode, line_ending, output
    under 3       .rr.yaml:52: lock: is refused without a driver: add driver: memory
    ");
    let new = check(NEW, "causeway.compat=3");
    insta::assert_snapshot!(lines_with(&new, "under 2025"), @r"
    under 2025    .rr.yaml:8: rpc.unix_socket: is understood here too, but RoadRunner 2025 ignores it
    under 2025    .rr.yaml:20: server.relay_socket: is understood here too, but RoadRunner 2025 ignores it
    under 2025    .rr.yaml:24: centrifuge.proxy_socket: is understood here too, but RoadRunner 2025 ignores it
    under 2025    .rr.yaml:35: centrifuge.pool.dynamic_allocator.max_workers: is 100, and not 200
    under 2025    .rr.yaml:39: logs.format: is understood here too, but RoadRunner 2025 ignores it
    under 2025    .rr.yaml:40: logs.time_format: is understood here too, but RoadRunner 2025 ignores it
    under 2025    .rr.yaml:42: logs.skip_line_ending: is understood here too, but RoadRunner 2025 ignores it
    under 2025    .rr.yaml:45: logs.channels.server: inherits from logs what it does not set
    under 2025    .rr.yaml:46: logs.channels.app.mode: lines have the form of zap
    under 2025    .rr.yaml:46: logs.channels.app: inherits from logs what it does not set
    ");
}

/// Killed when it is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn full_configurations_are_served_without_a_wrong_word() {
    let words = [
        "\"logger\":\"centrifuge\",\"msg\":\"listening\"",
        "[INFO] centrifuge listening address=unix://proxy.sock",
    ];
    for (text, line) in [OLD, NEW].into_iter().zip(words) {
        let folder = folder(&[(".rr.yaml", text)]);
        let server = Command::new(BINARY)
            .arg("serve")
            .env("WORKER", repository().join("tests/workers/worker.py"))
            .env(MARK, folder.path())
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut server = Running(server);
        let log = || std::fs::read_to_string(folder.path().join("log")).unwrap();
        eventually("listening", || log().contains(line)).await;
        assert!(!log().to_lowercase().contains("warn"), "{}", log());
        kill(Pid::from_raw(server.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert!(server.0.wait().unwrap().success(), "{}", log());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_have_the_attributes_that_are_set() {
    let ours = (nix::unistd::Uid::effective().as_raw(), nix::unistd::Gid::effective().as_raw());
    // Only root can give a file away.
    let (uid, gid) = if ours.0 == 0 { (12_345, 54_321) } else { ours };
    for (attributes, mode, owner) in [
        (String::new(), None, ours),
        ("{}".into(), None, ours),
        ("{mode: '0604'}".into(), Some(0o604), ours),
        (format!("{{mode: '0646', uid: {uid}, gid: '${{GROUP:-{gid}}}'}}"), Some(0o646), (uid, gid)),
        (format!("{{uid: {}, gid: {gid}}}", ours.0), None, (ours.0, gid)),
    ] {
        let setup: Setup = worker()
            .relay("unix")
            .server(&format!("  relay_socket: {attributes}\n"))
            .proxy_address("unix://proxy.sock")
            .centrifuge(&format!("proxy_socket: {attributes}"))
            .more(&format!("rpc: {{listen: unix://rpc.sock, unix_socket: {}}}\n", or_empty(&attributes)));
        let server = setup.start();
        for (name, usual) in [("proxy.sock", 0o660), ("rpc.sock", 0o660), ("relay.sock", 0o600)] {
            let found = std::fs::metadata(server.folder.path().join(name)).unwrap();
            assert_eq!(
                (found.permissions().mode() & 0o777, (found.uid(), found.gid())),
                (mode.unwrap_or(usual), owner),
                "{name} {attributes}"
            );
        }
    }
}

fn or_empty(attributes: &str) -> &str {
    if attributes.is_empty() { "{}" } else { attributes }
}

#[test]
fn attributes_of_what_has_no_file_and_unusable_ones_are_refused() {
    let text = "version: '3'
server:
  command: cat
  relay_socket: {mode: '0600'}
rpc:
  listen: unix://@abstract
  unix_socket: {uid: true, gid: 4294967295, mode: '999'}
centrifuge:
  proxy_socket: {uid: 0}
  pools: {a: {match: {types: [rpc]}, relay: 'tcp://127.0.0.1:7000', relay_socket: {gid: 1}}}
";
    let folder = folder(&[(".rr.yaml", text)]);
    let output = Command::new(BINARY).arg("check").current_dir(folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!(String::from_utf8_lossy(&output.stderr), @r#"
    causeway: .rr.yaml:4: server.relay_socket: unix socket options require a filesystem unix:// address: "pipes"
    causeway: .rr.yaml:7: rpc.unix_socket.uid: must be an integer from 0 through 4294967294
    causeway: .rr.yaml:7: rpc.unix_socket.gid: must be an integer from 0 through 4294967294
    causeway: .rr.yaml:7: rpc.unix_socket.mode: invalid unix socket mode "999": use an octal string from 0000 through 0777
    causeway: .rr.yaml:9: centrifuge.proxy_socket: unix socket options require a filesystem unix:// address: "tcp://127.0.0.1:30000"
    causeway: .rr.yaml:10: centrifuge.pools.a.relay_socket: unix socket options require a filesystem unix:// address: "tcp://127.0.0.1:7000"
    "#);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_the_texts_of_roadrunner_3() {
    let collect = "metrics: {address: '127.0.0.1:0', collect: {c: {type: counter, labels: [a]}, h: {type: histogram}, plain: {type: counter}}}\n";
    let worker = repository().join("tests/workers/worker.py");
    let command = format!("sh -c 'env > variables; exec python3 {}'", worker.display());
    let server = Setup::new(&command).rpc().more("causeway: {compat: 3}\n").more(collect).start();
    let variables = std::fs::read_to_string(server.folder.path().join("variables")).unwrap();
    assert!(variables.contains("\nRR_VERSION=3.2.0\n"), "{variables}");
    let mut caller = server.caller().await;
    let metric = |name: &str, value: i32| json!({"name": name, "value": value});
    for (method, argument, expected) in [
        ("resetter.Reset", json!("nope"), "no such plugin: nope"),
        ("informer.AddWorker", json!("nope"), "plugin does not support workers management: nope"),
        ("informer.RemoveWorker", json!("nope"), "plugin does not support workers management: nope"),
        ("status.Status", json!({"plugin": "nope"}), "checker_rpc_status: no such plugin: nope"),
        ("status.Ready", json!({"plugin": "nope"}), "checker_rpc_ready: no such plugin: nope"),
        ("metrics.Add", metric("nope", 1), "undefined collector: nope"),
        ("metrics.Unregister", json!("nope"), "undefined collector: nope"),
        ("metrics.Add", metric("c", 1), "required labels for collector: c"),
        ("metrics.Add", metric("plain", -1), "counter cannot decrease in value: plain"),
        (
            "metrics.Sub",
            metric("h", 1),
            "collector does not support the requested operation: h does not support Sub",
        ),
        (
            "metrics.Observe",
            metric("plain", 1),
            "collector does not support the requested operation: plain does not support Observe",
        ),
        (
            "metrics.Declare",
            json!({"name": "x", "collector": {"type": "y"}}),
            "metrics_rpc_declare: unknown collector type: y",
        ),
        ("centrifuge.RateLimit", json!({}), "rpc: can't find method centrifuge.RateLimit"),
    ] {
        assert_eq!(caller.json(method, &argument).await.unwrap_err(), expected, "{method}");
    }
    let declared = json!({"name": "twice", "collector": {"type": "gauge"}});
    for _ in 0..2 {
        assert_eq!(caller.json("metrics.Declare", &declared).await, Ok(json!(true)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn probes_have_the_names_of_kubernetes_and_a_code_of_their_own_at_shutdown() {
    let status = "status: {address: '127.0.0.1:0', unavailable_status_code: 599}\n";
    let mut server = worker().more(status).start();
    let client = server.client().await;
    let address = server.listening("status");
    let well = "[{\"plugin_name\":\"centrifuge\",\"error_message\":\"\",\"status_code\":200}]";
    for path in ["/health", "/livez", "/ready", "/readyz", "/livez?plugin=centrifuge"] {
        assert_eq!(get(&address, path), (200, well.into()), "{path}");
    }
    assert_eq!(get(&address, "/readyz?plugin=nope"), (200, "[]".into()));
    assert_eq!(get(&address, "/jobs"), (599, "jobs plugin not found\n".into()));
    let go = server.folder.path().join("go");
    let call = client.spawn_rpc(&format!("wait:{}", go.display()), "1");
    server.wait_for_output("it waits");
    server.signal(Signal::SIGTERM);
    server.wait_for_output("draining connections");
    for (path, code) in [("/health", 200), ("/livez", 200), ("/ready", 599), ("/readyz", 599), ("/jobs", 599)]
    {
        assert_eq!(get(&address, path), (code, "service is shutting down\n".into()), "{path}");
    }
    std::fs::write(go, "").unwrap();
    call.await.unwrap().unwrap();
    assert!(server.exit().await.success());
}

/// The code and the body of a page.
fn get(address: &str, path: &str) -> (u16, String) {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The server's worker as it was asked: the types of its events, and whether the last one was answered.
fn events_of(known: &str, events: usize) -> (String, bool, usize) {
    let program = repository().join("tests/workers/renamed.py");
    let server = Setup::new(&format!("python3 {} {known}", program.display())).start();
    let mut is_answered = false;
    for _ in 0..events {
        let output = Command::new(BINARY)
            .args([
                "call",
                "sub_refresh",
                "--channel",
                "x",
                "--timeout",
                "30s",
                "--address",
                server.address(),
            ])
            .output()
            .unwrap();
        is_answered = output.status.success();
    }
    let requests = std::fs::read_to_string(server.folder.path().join("requests")).unwrap();
    (
        requests.trim_end().to_owned(),
        is_answered,
        server.count_output("know the event subrefresh as sub_refresh"),
    )
}

#[test]
fn workers_that_wait_for_sub_refresh_get_it_under_this_name() {
    // The package up to 2.3.
    let expected = "subrefresh sub_refresh sub_refresh sub_refresh".to_owned();
    assert_eq!(events_of("connect sub_refresh", 3), (expected, true, 1));
    // The package from 2.4 on.
    assert_eq!(events_of("connect subrefresh", 2), ("subrefresh subrefresh".into(), true, 0));
    // A worker that answers neither is asked twice once.
    let expected = "subrefresh sub_refresh subrefresh subrefresh".to_owned();
    assert_eq!(events_of("connect", 3), (expected, false, 0));
}
