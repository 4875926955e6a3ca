//! Reading the configuration again while calls go on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{BINARY, Client, Server, Setup, eventually, is_alive, json, repository, worker};

/// A server that commands reach from its folder.
fn setup() -> Setup {
    worker().more("rpc: {listen: unix://rpc.sock}\n")
}

fn run(server: &Server, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    let Output { status, stdout, stderr } =
        command.args(arguments).current_dir(server.folder.path()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

fn shown(server: &Server, arguments: &[&str]) -> Value {
    let (code, out, err) = run(server, arguments);
    assert_eq!(code, Some(0), "{err}");
    json(&out)
}

/// Reloads, and returns what has changed, without the last line.
fn reload(server: &Server) -> String {
    let (code, out, err) = run(server, &["reload"]);
    assert_eq!((code, &*err), (Some(0), ""), "{out}");
    let (changes, last) = out.trim_end().rsplit_once('\n').unwrap_or(("", out.trim_end()));
    assert!(last.starts_with("reloaded in ") || last == "nothing has changed", "{out}");
    changes.to_owned()
}

/// Replaces a part of the file.
fn edit(server: &Server, old: &str, new: &str) {
    let path = server.path(".rr.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(old), "{old:?} is not in {text}");
    replace(server, &text.replacen(old, new, 1));
}

/// Replaces the file at once, so that no reload reads a part of it.
fn replace(server: &Server, text: &str) {
    let new = server.path("new.yaml");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, server.path(".rr.yaml")).unwrap();
}

/// The workers of a pool that are not leaving.
fn pids(server: &Server, pool: &str) -> BTreeSet<u64> {
    let workers = shown(server, &["workers", pool, "--json"]);
    let all = workers["workers"].as_array().unwrap().iter();
    let serving = all.filter(|worker| ["ready", "working"].contains(&worker["status"].as_str().unwrap()));
    serving.map(|worker| worker["pid"].as_u64().unwrap()).collect()
}

/// The body of a page.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// Waits until none of these workers takes requests any more.
async fn are_replaced(server: &Server, pool: &str, old: &BTreeSet<u64>) {
    eventually("workers are replaced", || pids(server, pool).is_disjoint(old)).await;
}

/// What a worker finds in its environment.
async fn variable(client: &Client, name: &str) -> Value {
    json(&client.rpc("env", "").await.unwrap())[name].clone()
}

/// Callers that send one call after the other, each with a number of its own, which the workers note.
struct Load {
    stop: Arc<AtomicBool>,
    next: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn start(client: &Client, journal: &Path, callers: usize) -> Self {
        let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let method = format!("journal:{}", journal.display());
        let call = |_| {
            let (client, method) = (client.clone(), method.clone());
            let (stop, next) = (Arc::clone(&stop), Arc::clone(&next));
            tokio::spawn(async move {
                while !stop.load(Relaxed) {
                    let number = next.fetch_add(1, Relaxed).to_string();
                    assert_eq!(client.rpc(&method, &number).await.unwrap(), number);
                }
            })
        };
        let tasks = (0..callers).map(call).collect();
        Self { stop, next, tasks }
    }

    async fn goes_on(&self, more: usize) {
        let wanted = self.next.load(Relaxed) + more;
        let failed = || self.tasks.iter().any(tokio::task::JoinHandle::is_finished);
        eventually("calls are answered", || self.next.load(Relaxed) >= wanted || failed()).await;
        assert!(!failed(), "a call failed");
    }

    /// Stops the callers. Each call must have been answered, and run once.
    async fn end(self, journal: &Path) {
        self.stop.store(true, Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for line in std::fs::read_to_string(journal).unwrap().lines() {
            *runs.entry(line.to_owned()).or_default() += 1;
        }
        let twice: Vec<_> = runs.iter().filter(|(_, times)| **times != 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        assert_eq!(runs.len(), self.next.load(Relaxed));
    }
}

/// Everything that a reload does to pools, under load.
async fn reloads_fail_no_call(setup: Setup) {
    let server = setup
        .pool("num_workers: 2, max_queue_size: 0")
        .centrifuge("pools: {one: {match: {methods: env}, num_workers: 1}, two: {match: {channels: never}, num_workers: 1}}")
        .server("  env: {SHARED: before}\n")
        .start();
    let client = server.client().await;
    let journal = server.path("journal");
    let load = Load::start(&client, &journal, 6);
    load.goes_on(20).await;
    let begin = pids(&server, "centrifuge");

    edit(&server, "num_workers: 2", "num_workers: 4");
    assert_eq!(reload(&server), "centrifuge.pool.num_workers: 2 -> 4 (in force)");
    eventually("the pool has grown", || pids(&server, "centrifuge").len() == 4).await;
    assert!(begin.is_subset(&pids(&server, "centrifuge")), "no worker was replaced");
    load.goes_on(20).await;

    edit(&server, "max_queue_size: 0", "max_queue_size: 500, max_jobs: 100000");
    let before = pids(&server, "centrifuge");
    let changes = reload(&server);
    assert!(changes.contains("centrifuge.pool.max_jobs: (unset) -> 100000 (workers replaced)"), "{changes}");
    are_replaced(&server, "centrifuge", &before).await;
    load.goes_on(20).await;

    edit(&server, "SHARED: before", "SHARED: after");
    let before = ["centrifuge", "centrifuge.one"].map(|name| pids(&server, name));
    assert_eq!(reload(&server), "server.env.shared: *** -> *** (workers replaced)");
    assert_eq!(variable(&client, "SHARED").await, "after");
    for (name, before) in ["centrifuge", "centrifuge.one"].iter().zip(&before) {
        are_replaced(&server, name, before).await;
    }
    load.goes_on(20).await;

    // All calls of the load go to a new pool, which is removed later.
    let everything = "new: {match: {methods: 'journal*'}, num_workers: 2}, one: {";
    edit(&server, "one: {", everything);
    let kept = pids(&server, "centrifuge");
    let changes = reload(&server);
    assert!(changes.contains("centrifuge.pools.new.num_workers: (unset) -> 2 (pool added)"), "{changes}");
    load.goes_on(40).await;
    assert_eq!(pids(&server, "centrifuge"), kept);
    let requests =
        |pool: &str| shown(&server, &["rpc", "causeway.Stats", &format!("\"{pool}\"")])["requests"].clone();
    assert!(requests("centrifuge.new").as_u64().unwrap() >= 20, "{}", requests("centrifuge.new"));

    // Then to another one, by its match alone.
    edit(&server, "channels: never", "methods: 'journal*'");
    edit(&server, "new: {match: {methods: 'journal*'}", "new: {match: {methods: nothing}");
    let before = pids(&server, "centrifuge.two");
    let changes = reload(&server);
    assert!(
        changes.contains("centrifuge.pools.new.match.methods: journal* -> nothing (in force)"),
        "{changes}"
    );
    load.goes_on(40).await;
    assert_eq!(pids(&server, "centrifuge.two"), before);

    edit(&server, "methods: 'journal*'", "methods: 'also nothing'");
    edit(&server, "methods: nothing", "methods: 'journal*'");
    reload(&server);
    load.goes_on(20).await;
    let gone = pids(&server, "centrifuge.new");
    edit(&server, everything, "one: {");
    let changes = reload(&server);
    assert!(changes.contains("centrifuge.pools.new.num_workers: 2 -> (unset) (pool removed)"), "{changes}");
    load.goes_on(40).await;
    eventually("its workers are gone", || gone.iter().all(|pid| !is_alive(u32::try_from(*pid).unwrap())))
        .await;
    assert_eq!(shown(&server, &["rpc", "resetter.List", "true"]).as_array().unwrap().len(), 3);
    assert_eq!(reload(&server), "");
    load.end(&journal).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_or_runs_twice_whatever_a_reload_changes() {
    reloads_fail_no_call(setup()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_fails_or_runs_twice_where_workers_have_many_requests_at_a_time() {
    reloads_fail_no_call(setup().env("OFFERS", r#"{"protocol":2,"concurrency":4,"name":"raw"}"#)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_flight_is_finished_by_the_pool_that_took_it() {
    let setup = setup().centrifuge("pools: {old: {match: {methods: ['wait*', pid]}, num_workers: 1}}");
    let flag = setup.path("flag");
    let server = setup.start();
    let client = server.client().await;
    let pid = client.worker_pid().await;
    let method = format!("wait:{}", flag.display());
    let running = client.spawn_rpc(&method, "running");
    eventually("it is in hand", || {
        shown(&server, &["rpc", "causeway.Stats", "\"centrifuge.old\""])["inHand"] == 1
    })
    .await;
    let waiting = client.spawn_rpc(&method, "waiting");
    eventually("another one waits", || {
        shown(&server, &["rpc", "causeway.Stats", "\"centrifuge.old\""])["waiting"] == 1
    })
    .await;
    edit(&server, "  pools: {old: {match: {methods: ['wait*', pid]}, num_workers: 1}}\n", "");
    let changes = reload(&server);
    assert!(changes.contains("(pool removed)"), "{changes}");
    assert_ne!(client.worker_pid().await, pid, "new calls go to the default pool");
    assert!(is_alive(pid));
    std::fs::write(&flag, "").unwrap();
    assert_eq!(running.await.unwrap().unwrap(), "running");
    assert_eq!(waiting.await.unwrap().unwrap(), "waiting");
    eventually("its worker leaves", || !is_alive(pid)).await;
    assert_eq!(server.count_output("worker killed"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_with_mistakes_changes_nothing_and_each_is_named() {
    let server = setup()
        .pool("num_workers: 2")
        .more("status: {address: 127.0.0.1:0}\nmetrics: {address: 127.0.0.1:0}\n")
        .start();
    let before = pids(&server, "centrifuge");
    let good = std::fs::read_to_string(server.path(".rr.yaml")).unwrap();
    edit(&server, "num_workers: 2", "num_workers: few, max_jobs: many");
    let (code, out, err) = run(&server, &["reload"]);
    assert_eq!((code, &*out), (Some(2), "not reloaded: the old configuration stays in force\n"));
    assert!(err.contains(".rr.yaml:") && err.contains("centrifuge.pool.num_workers: "), "{err}");
    assert!(err.contains("centrifuge.pool.max_jobs: "), "{err}");
    assert_eq!(pids(&server, "centrifuge"), before);
    let snapshot = || json(shown(&server, &["rpc", "causeway.Snapshot", "true"]).as_str().unwrap());
    let failed = snapshot()["configuration"]["failed_reload"]["reason"].as_str().unwrap().to_owned();
    assert!(failed.contains("num_workers"), "{failed}");
    let page = get(&server.listening("metrics"), "/metrics");
    assert!(page.contains("\ncauseway_config_last_reload_successful 0\n"), "{page}");
    assert!(page.contains("causeway_config_reloads_total{result=\"failure\"} 1\n"), "{page}");
    let loaded = snapshot()["configuration"]["loaded"].as_f64().unwrap();
    replace(&server, &good);
    edit(&server, "num_workers: 2", "num_workers: 3");
    reload(&server);
    assert!(snapshot()["configuration"]["loaded"].as_f64().unwrap() > loaded);
    let page = get(&server.listening("metrics"), "/metrics");
    assert!(page.contains("\ncauseway_config_last_reload_successful 1\n"), "{page}");
    let about = get(&server.listening("status"), "/api/about");
    assert_eq!(json(&about)["configuration"]["centrifuge"]["pool"]["num_workers"], 3);
    assert_eq!(shown(&server, &["rpc", "causeway.Stats", "\"\""])["target"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_settings_with_which_no_worker_boots_change_nothing() {
    let server = setup()
        .pool("num_workers: 2")
        .centrifuge("pools: {one: {match: {methods: env}, num_workers: 1}}")
        .start();
    let client = server.client().await;
    let load = Load::start(&client, &server.path("journal"), 3);
    let before = ["centrifuge", "centrifuge.one"].map(|name| pids(&server, name));
    let good = std::fs::read_to_string(server.path(".rr.yaml")).unwrap();
    for (old, new, expected) in [
        ("num_workers: 2", "num_workers: 4, command: 'sh -c \"echo no luck; exit 3\"'", "`sh -c"),
        (
            "one: {",
            "new: {match: {methods: x}, command: 'sh -c \"exit 3\"', num_workers: 1}, one: {",
            "centrifuge.pools.new: ",
        ),
        ("one: {", "one: {command: 'sh -c \"exit 3\"', ", "centrifuge.pools.one: "),
    ] {
        edit(&server, old, new);
        let (code, out, err) = run(&server, &["reload"]);
        assert_eq!((code, &*out), (Some(1), "not reloaded: the old configuration stays in force\n"));
        assert!(err.contains(expected) && err.contains("exit status 3"), "{err}");
        assert_eq!(["centrifuge", "centrifuge.one"].map(|name| pids(&server, name)), before);
        replace(&server, &good);
        load.goes_on(10).await;
    }
    assert_eq!(reload(&server), "", "what failed has left nothing");
    assert_eq!(shown(&server, &["rpc", "resetter.List", "true"]).as_array().unwrap().len(), 2);
    load.end(&server.path("journal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_a_reload_could_not_replace_are_replaced_by_the_next_one() {
    let setup = setup().command("sh run.sh").pool("num_workers: 2");
    let worker = repository().join("tests/workers/worker.py");
    // The fifth start fails: two workers, one for trial, and one of the two that are to be replaced.
    let script = format!(
        "echo >>boots\n[ -e broken ] && [ $(wc -l <boots) -gt 4 ] && exit 3\nexec python3 {}\n",
        worker.display()
    );
    std::fs::write(setup.path("run.sh"), script).unwrap();
    std::fs::write(setup.path("broken"), "").unwrap();
    let server = setup.start();
    let before = pids(&server, "centrifuge");
    edit(&server, "num_workers: 2", "num_workers: 2, max_jobs: 1000");
    let (code, out, err) = run(&server, &["reload"]);
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("centrifuge.pool.max_jobs: (unset) -> 1000 (workers replaced)"), "{out}");
    assert!(err.contains("centrifuge: not all workers were replaced"), "{err}");
    std::fs::remove_file(server.path("broken")).unwrap();
    assert_eq!(reload(&server), "centrifuge (workers replaced)");
    are_replaced(&server, "centrifuge", &before).await;
    assert_eq!(reload(&server), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_required_from_now_on_has_to_start_before_anything_changes() {
    let server = setup()
        .centrifuge("pools: {one: {match: {methods: x}, command: 'sh -c \"exit 3\"', num_workers: 1, required: false}}")
        .start();
    edit(&server, "required: false", "required: true");
    let (code, out, err) = run(&server, &["reload"]);
    assert_eq!((code, &*out), (Some(1), "not reloaded: the old configuration stays in force\n"));
    assert!(err.contains("centrifuge.pools.one: "), "{err}");
    edit(&server, "required: true", "required: false");
    assert_eq!(reload(&server), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_restart_is_named_and_named_again() {
    let server = setup().more("endure: {grace_period: 20s}\nmetrics: {address: 127.0.0.1:0}\n").start();
    edit(&server, "grace_period: 20s", "grace_period: 10s");
    edit(&server, "127.0.0.1:0}", "127.0.0.2:0}");
    let changes = reload(&server);
    let metrics = "metrics.address: 127.0.0.1:0 -> 127.0.0.2:0 (needs a restart)";
    assert!(changes.contains(metrics), "{changes}");
    assert!(changes.contains("endure.grace_period: 20s -> 10s (in force)"), "{changes}");
    assert_eq!(reload(&server), metrics);
    // The command finds the server by the file that it is about to load.
    edit(&server, "unix://rpc.sock", "unix://other.sock");
    let (code, _, err) = run(&server, &["reload"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("other.sock") && err.contains("is reached by --address, or by SIGHUP"), "{err}");
    let (code, out, _) = run(&server, &["reload", "--address", "unix://rpc.sock"]);
    assert_eq!(code, Some(0));
    let rpc = "rpc.listen: unix://rpc.sock -> unix://other.sock (needs a restart)";
    assert!(out.contains(rpc) && out.contains(metrics), "{out}");
    server.signal(Signal::SIGTERM);
    server.wait_for_output("grace_period\": \"10s\"");
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reloads_and_logs_what_has_changed() {
    let server = setup().more("logs: {level: warn}\n").start();
    edit(&server, "level: warn", "level: info, channels: {rpc: {level: debug}}");
    server.signal(Signal::SIGHUP);
    // It is logged by the level that it has set itself.
    let line = server.wait_for_output("setting changed");
    assert!(line.contains("logs."), "{line}");
    server.wait_for_output("configuration reloaded");
    edit(&server, "level: info", "level: [");
    server.signal(Signal::SIGHUP);
    server.wait_for_output("configuration not reloaded");
    assert!(server.output().contains(".rr.yaml:"), "{}", server.output());
    assert_eq!(server.client().await.rpc("echo", "1").await.unwrap(), "1");
}

/// Starts the server from another directory than its own, by a relative path.
const START: &str = r#"
    cd "$FOLDER/.."
    exec "$0" "$@" -c "$(basename "$FOLDER")/.rr.yaml" --dotenv vars -o centrifuge.pool.max_queue_size=7
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_flags_of_the_start_hold_and_files_of_variables_are_read_again() {
    let setup = setup()
        .server("  env: {FROM_FILE: '${FROM_ENV}'}\n")
        .pool("num_workers: '${WORKERS:-1}'")
        .through(&["sh", "-c", START]);
    let folder = setup.path("").display().to_string();
    std::fs::write(setup.path("vars"), "FROM_ENV=first\nSECRET_TOKEN=abc\n").unwrap();
    let server = setup.env("FOLDER", &folder).start();
    let client = server.client().await;
    assert_eq!(variable(&client, "FROM_FILE").await, "first");
    std::fs::write(server.path("vars"), "FROM_ENV=second\nSECRET_TOKEN=hunter2\nWORKERS=2\n").unwrap();
    let changes = reload(&server);
    assert!(changes.contains("environment.SECRET_TOKEN: *** -> *** (workers replaced)"), "{changes}");
    assert!(changes.contains("centrifuge.pool.num_workers: 1 -> 2 ("), "{changes}");
    assert!(!changes.contains("hunter2") && !changes.contains("second"), "{changes}");
    assert_eq!(
        [variable(&client, "FROM_FILE").await, variable(&client, "SECRET_TOKEN").await],
        ["second", "hunter2"]
    );
    edit(&server, "num_workers: '${WORKERS:-1}'", "num_workers: 1, max_queue_size: 9");
    assert_eq!(reload(&server), "centrifuge.pool.num_workers: 2 -> 1 (in force)", "the flag wins");
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_and_resets_at_the_same_time_end_with_the_last_file() {
    let server = setup().pool("num_workers: 3").server("  env: {N: '0'}\n").env("BOOT_TAKES", "0.2").start();
    let client = server.client().await;
    let load = Load::start(&client, &server.path("journal"), 3);
    let folder = server.folder.path().to_owned();
    let mut running = Vec::new();
    for n in 1..=6 {
        edit(&server, &format!("N: '{}'", n - 1), &format!("N: '{n}'"));
        let command = if n % 3 == 0 { "reset" } else { "reload" };
        let mut child = Command::new(BINARY);
        child.arg(command).current_dir(&folder).stdout(std::process::Stdio::null());
        running.push(child.spawn().unwrap());
        load.goes_on(10).await;
    }
    for mut child in running {
        let status = tokio::task::spawn_blocking(move || child.wait().unwrap()).await.unwrap();
        assert!(status.success());
    }
    reload(&server);
    for _ in 0..6 {
        assert_eq!(variable(&client, "N").await, "6");
    }
    eventually("no old one is left", || pids(&server, "centrifuge").len() == 3).await;
    load.end(&server.path("journal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_during_a_reload_ends_both_and_leaves_no_process() {
    let (setup, flag) = setup().boots_unless("BOOT_HANGS");
    let mut server = setup.pool("num_workers: 2").start();
    std::fs::write(&flag, "").unwrap();
    edit(&server, "num_workers: 2", "num_workers: 2, max_jobs: 7");
    server.signal(Signal::SIGHUP);
    server.wait_for_output("reloading the configuration");
    server.signal(Signal::SIGTERM);
    assert!(server.exit().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn another_kind_of_pool_takes_the_place_of_the_old_one() {
    let server = setup().pool("num_workers: 2").start();
    let client = server.client().await;
    let load = Load::start(&client, &server.path("journal"), 3);
    load.goes_on(4).await;
    for (old, new) in [
        ("num_workers: 2", "num_workers: 2, debug: true"),
        ("relay: pipes", "relay: unix://relay.sock"),
        ("num_workers: 2, debug: true", "num_workers: 2"),
    ] {
        let before = pids(&server, "centrifuge");
        edit(&server, old, new);
        let changes = reload(&server);
        assert!(changes.ends_with("(pool replaced)"), "{changes}");
        // In debug mode, each of them starts a worker.
        load.goes_on(4).await;
        are_replaced(&server, "centrifuge", &before).await;
    }
    eventually("two are left", || pids(&server, "centrifuge").len() == 2).await;
    load.end(&server.path("journal")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn collectors_are_declared_and_removed_and_the_others_keep_their_values() {
    let server = setup()
        .more("metrics: {address: 127.0.0.1:0, collect: {stays: {type: counter, help: a}, goes: {type: counter, help: b}}}\n")
        .start();
    for name in ["stays", "goes"] {
        assert_eq!(
            run(&server, &["rpc", "metrics.Add", &format!(r#"{{"name":"{name}","value":3}}"#)]).0,
            Some(0)
        );
    }
    edit(&server, "goes: {type: counter, help: b}", "comes: {type: gauge, help: c}");
    let changes = reload(&server);
    assert!(changes.contains("metrics.collect.comes.type: (unset) -> gauge (in force)"), "{changes}");
    assert_eq!(run(&server, &["rpc", "metrics.Set", r#"{"name":"comes","value":5}"#]).0, Some(0));
    let page = get(&server.listening("metrics"), "/metrics");
    assert!(page.contains("\nstays 3\n") && page.contains("\ncomes 5\n"), "{page}");
    assert!(!page.contains("goes"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_watched_as_the_new_configuration_says() {
    let server = setup().pool("num_workers: 1").start();
    let client = server.client().await;
    edit(&server, "num_workers: 1", "num_workers: 1, watch: ['code/*.x']");
    std::fs::create_dir(server.path("code")).unwrap();
    assert_eq!(reload(&server), r#"centrifuge.pool.watch: (unset) -> ["code/*.x"] (in force)"#);
    let before = client.worker_pid().await;
    std::fs::write(server.path("code/a.x"), "").unwrap();
    server.wait_for_output("file changed, resetting the workers");
    server.wait_for_output("reset done");
    assert_ne!(client.worker_pid().await, before);
}
