//! Two bridges behind two real Centrifugos with Redis between them, under load: one bridge is restarted, reset and killed.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::dns::Dns;
use crate::support::nginx::{self, Nginx};
use crate::support::real_centrifugo::{HOST, RealCentrifugo, binary, free_port};
use crate::support::redis::{Redis, redis};
use crate::support::{BINARY, Server, Setup, eventually, python, repository, worker};

/// Where the bridges listen, on the same port: addresses that no other program uses.
const HOSTS: [&str; 2] = ["127.0.1.7", "127.0.1.8"];

/// The name of both.
const NAME: &str = "bridges.test";

/// Clients of each Centrifugo, with one call at a time.
const CLIENTS: usize = 4;

/// How Centrifugo finds the bridges.
enum Way {
    /// By the addresses of a name, with or without the record of `dns-txt`.
    Dns { has_config: bool },
    /// Through nginx.
    Nginx(PathBuf),
}

/// Both bridges, and what is in front of them.
struct Fleet {
    bridges: [Server; 2],
    port: u16,
    folder: TempDir,
    load: Option<Child>,
    _dns: Option<Dns>,
    _nginx: Option<Nginx>,
    _centrifugos: [RealCentrifugo; 2],
    _redis: Redis,
}

/// What a load has seen.
struct Seen {
    answered: Vec<String>,
    failed: BTreeMap<String, Value>,
}

fn bridge(folder: &Path, number: usize, port: u16) -> Setup {
    let setup = worker().pool("num_workers: 4").rpc();
    setup
        .proxy_address(&format!("tcp://{}:{port}", HOSTS[number]))
        .env("NOTES", notes(folder, number).to_str().unwrap())
}

/// Where the workers of a bridge note each call that they have got.
fn notes(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("notes-{number}"))
}

/// A port that was free on both addresses a moment ago.
fn common_port() -> u16 {
    let port = || {
        let first = std::net::TcpListener::bind((HOSTS[0], 0)).unwrap();
        let port = first.local_addr().unwrap().port();
        std::net::TcpListener::bind((HOSTS[1], port)).is_ok().then_some(port)
    };
    std::iter::repeat_with(port).take(100).flatten().next().unwrap()
}

/// The strings of the record that `dns-txt` prints for a zone file.
fn config_of(server: &Server) -> Vec<String> {
    let output = Command::new(BINARY)
        .args(["dns-txt", NAME, "--for", "bind"])
        .current_dir(server.folder.path())
        .output()
        .unwrap();
    let record = String::from_utf8(output.stdout).unwrap();
    let record = record.strip_prefix(&format!("_grpc_config.{NAME}. 60 IN TXT \"")).unwrap();
    let strings = record.trim_end().strip_suffix('"').unwrap().split("\" \"");
    strings.map(|string| string.replace("\\\"", "\"")).collect()
}

async fn centrifugo(binary: &PathBuf, endpoint: &str, redis: &Redis) -> (RealCentrifugo, u16) {
    let port = free_port();
    let config = json!({
        "http_server": {"address": HOST, "port": port.to_string()},
        "client": {"allowed_origins": ["*"], "allow_anonymous_connect_without_token": true},
        "engine": {"type": "redis", "redis": {"address": format!("redis://{}", redis.address())}},
        "rpc": {"proxy": {"endpoint": endpoint, "timeout": "20s"}, "without_namespace": {"proxy_enabled": true}},
    });
    (RealCentrifugo::start_as(binary, port, config).await, port)
}

impl Fleet {
    /// Starts everything, and a load. `None` without a Centrifugo.
    async fn start(way: Way) -> Option<Self> {
        let binary = binary()?;
        let (folder, port) = (tempfile::tempdir().unwrap(), common_port());
        let bridges = [0, 1].map(|number| bridge(folder.path(), number, port).start());
        let (mut dns, mut proxy) = (None, None);
        let endpoint = match way {
            Way::Dns { has_config } => {
                let config = if has_config { config_of(&bridges[0]) } else { Vec::new() };
                let hosts = HOSTS.map(|host| host.parse().unwrap());
                let server = dns.insert(Dns::start(NAME, hosts.to_vec(), config));
                format!("dns://{}/{NAME}:{port}", server.address())
            }
            Way::Nginx(nginx) => {
                let addresses = HOSTS.map(|host| format!("{host}:{port}"));
                format!("grpc://{}", proxy.insert(Nginx::start(&nginx, &addresses).await).address())
            }
        };
        let redis = redis(&[]);
        let (one, first) = centrifugo(&binary, &endpoint, &redis).await;
        let (other, second) = centrifugo(&binary, &endpoint, &redis).await;
        let load = Command::new(python())
            .arg(repository().join("tests/clients/steady.py"))
            .args(["note", &CLIENTS.to_string()])
            .args([first, second].map(|port| format!("{HOST}:{port}")))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let centrifugos = [one, other];
        Some(Self {
            bridges,
            port,
            folder,
            load: Some(load),
            _dns: dns,
            _nginx: proxy,
            _centrifugos: centrifugos,
            _redis: redis,
        })
    }

    /// The calls that workers of a bridge have got.
    fn notes(&self, number: usize) -> Vec<String> {
        let text = std::fs::read_to_string(notes(self.folder.path(), number)).unwrap_or_default();
        text.lines().map(|line| line.trim_matches('"').to_owned()).collect()
    }

    /// How many calls of each Centrifugo, all workers of these bridges have got.
    fn counts(&self, bridges: &[usize]) -> [usize; 2] {
        let notes: Vec<String> = bridges.iter().flat_map(|&number| self.notes(number)).collect();
        ["0.", "1."].map(|node| notes.iter().filter(|call| call.starts_with(node)).count())
    }

    /// Waits until workers of these bridges have got more calls of each Centrifugo.
    async fn goes_on(&self, bridges: &[usize]) {
        let before = self.counts(bridges);
        let has_more = || self.counts(bridges).iter().zip(before).all(|(now, before)| *now >= before + 50);
        eventually("calls go on", has_more).await;
    }

    /// Stops a bridge in peace, and starts it again.
    async fn restart(&mut self, number: usize) {
        self.bridges[number].signal(Signal::SIGTERM);
        assert_eq!(self.bridges[number].exit().await.code(), Some(0));
        self.goes_on(&[1 - number]).await;
        self.start_again(number);
    }

    fn start_again(&mut self, number: usize) {
        let next = bridge(self.folder.path(), number, self.port).beside(&self.bridges[number]).start();
        self.bridges[number] = next;
    }

    async fn reset(&self, number: usize) {
        let mut caller = self.bridges[number].caller().await;
        caller.json("resetter.Reset", &"centrifuge".into()).await.unwrap();
    }

    /// Ends the load.
    async fn end(&mut self) -> Seen {
        let mut load = self.load.take().unwrap();
        drop(load.stdin.take());
        let read = move || {
            let mut text = String::new();
            load.stdout.take().unwrap().read_to_string(&mut text).unwrap();
            assert!(load.wait().unwrap().success(), "the clients failed");
            text
        };
        let seen: Value = serde_json::from_str(&tokio::task::spawn_blocking(read).await.unwrap()).unwrap();
        let answered = serde_json::from_value(seen["answered"].clone()).unwrap();
        let failed = serde_json::from_value(seen["failed"].clone()).unwrap();
        Seen { answered, failed }
    }

    /// How often each call was run.
    fn runs(&self) -> BTreeMap<String, usize> {
        let mut runs = BTreeMap::new();
        for call in [0, 1].into_iter().flat_map(|number| self.notes(number)) {
            *runs.entry(call).or_default() += 1;
        }
        runs
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if let Some(mut load) = self.load.take() {
            let _ = load.kill();
            let _ = load.wait();
        }
    }
}

/// Restarts, resets and kills bridges under load. `is_balanced`: each bridge has calls of each Centrifugo.
async fn bridges_come_and_go(way: Way, is_balanced: bool) {
    let repeats_lost_calls = matches!(way, Way::Dns { has_config: true });
    let Some(mut fleet) = Fleet::start(way).await else { return };
    let all: &[&[usize]] = if is_balanced { &[&[0], &[1]] } else { &[&[0, 1]] };
    let all_serve = async |fleet: &Fleet| {
        for bridges in all {
            fleet.goes_on(bridges).await;
        }
    };
    all_serve(&fleet).await;
    for number in [0, 1] {
        fleet.restart(number).await;
        all_serve(&fleet).await;
        fleet.reset(number).await;
        all_serve(&fleet).await;
    }
    // Until here, nothing may have failed or run twice.
    let before: BTreeMap<String, usize> = fleet.runs();
    assert!(before.values().all(|runs| *runs == 1), "{:?}", before.iter().find(|(_, runs)| **runs > 1));
    // One that has calls.
    let killed = usize::from(is_balanced);
    fleet.bridges[killed].signal(Signal::SIGKILL);
    fleet.bridges[killed].exit().await;
    fleet.goes_on(&[1 - killed]).await;
    fleet.start_again(killed);
    all_serve(&fleet).await;
    let seen = fleet.end().await;
    let runs = fleet.runs();
    let unseen: Vec<_> = seen.answered.iter().filter(|call| !runs.contains_key(*call)).collect();
    assert!(unseen.is_empty(), "answered by no worker: {unseen:?}");
    // Those in flight when the bridge was killed; with the policy of the record they are repeated, since no answer forbids it.
    let in_flight = 2 * CLIENTS;
    let twice = runs.values().filter(|runs| **runs > 1).count();
    assert!(seen.failed.len() <= if repeats_lost_calls { 0 } else { in_flight }, "{:?}", seen.failed);
    assert!(twice <= if repeats_lost_calls { in_flight } else { 0 }, "{twice} calls ran twice");
    // A client has one call at a time: none that failed was followed by another before the kill.
    let mut last = BTreeMap::new();
    for (client, number) in before.keys().map(|call| parts(call)) {
        let seen = last.entry(client).or_insert(number);
        *seen = number.max(*seen);
    }
    let is_of_the_kill = |call: &String| parts(call).1 >= last[parts(call).0];
    assert!(seen.failed.keys().all(is_of_the_kill), "{:?}", seen.failed);
}

/// The client of a call, and the call's number.
fn parts(call: &str) -> (&str, u64) {
    let (client, number) = call.rsplit_once('.').unwrap();
    (client, number.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_balanced_by_the_record_in_dns_survive_each_bridge() {
    bridges_come_and_go(Way::Dns { has_config: true }, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_to_the_first_address_of_a_name_survive_each_bridge() {
    bridges_come_and_go(Way::Dns { has_config: false }, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_balanced_by_nginx_survive_each_bridge() {
    let Some(nginx) = nginx::binary() else { return };
    bridges_come_and_go(Way::Nginx(nginx), true).await;
}
