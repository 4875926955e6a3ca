//! The alerts, the dashboard and the metrics page, checked with Prometheus itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::support::pki::Pki;
use crate::support::{Server, eventually, json, repository, worker};

/// Runs promtool; `None` if it is not installed.
fn promtool(arguments: &[&str], folder: &Path) -> Option<Output> {
    let output = Command::new("promtool").args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    if output.is_err() {
        eprintln!("skipped: there is no promtool; `make test` installs it");
    }
    output.ok()
}

fn succeeds(arguments: &[&str], folder: &Path) {
    if let Some(output) = promtool(arguments, folder) {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
    }
}

fn read(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// A GET without an HTTP library.
fn get(address: &str, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split_once("\r\n\r\n").map_or_else(String::new, |(_, body)| body.to_owned())
}

/// A bridge to which something of everything has happened.
async fn bridge() -> Server {
    let server = worker()
        .rpc()
        .centrifuge("grpc_api_address: 127.0.0.1:1")
        .pool("num_workers: 2")
        .more("metrics: {address: '127.0.0.1:0'}\n")
        .start();
    let (client, mut caller) = (server.client().await, server.caller().await);
    client.rpc("echo", "1").await.unwrap();
    client.rpc("exit:3", "").await.unwrap_err();
    caller.json("centrifuge.Publish", &serde_json::json!({"channel": "x"})).await.unwrap_err();
    server.wait_for_output("worker died");
    server
}

/// The names of metrics in an expression.
fn metrics_in(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| ["causeway_", "rr_centrifugo_", "process_"].iter().any(|own| word.starts_with(own)))
        .collect()
}

/// The expressions of the dashboard, with values for its variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expression = |target: &Value| {
        let text = target["expr"].as_str().unwrap();
        text.replace("$__rate_interval", "5m")
            .replace("$job", ".*")
            .replace("$instance", ".*")
            .replace("$pool", ".*")
    };
    targets.map(expression).collect()
}

#[test]
fn every_alert_fires_when_it_has_to_and_not_before() {
    let folder = repository().join("tests/fixtures");
    succeeds(&["check", "rules", "../../config/alerts.yaml"], &folder);
    succeeds(&["test", "rules", "alerts.test.yaml"], &folder);
    let (alerts, tests) = (read("config/alerts.yaml"), read("tests/fixtures/alerts.test.yaml"));
    for alert in alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let checks = tests.split("alertname: ").filter(|check| check.starts_with(alert));
        let (quiet, firing): (Vec<&str>, Vec<&str>) =
            checks.partition(|check| check.contains("exp_alerts: []"));
        assert!(!quiet.is_empty() && !firing.is_empty(), "{alert}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dashboard_and_the_alerts_ask_for_metrics_that_exist_in_expressions_that_prometheus_reads() {
    let dashboard = json(&read("config/grafana.json"));
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v["name"].as_str().unwrap())
        .collect();
    assert_eq!(variables, ["datasource", "job", "instance", "pool"]);
    let server = bridge().await;
    let address = server.listening("metrics");
    let mut page = String::new();
    eventually("the call is counted", || {
        page = get(&address, "/metrics");
        page.contains("causeway_worker_restarts_total{")
    })
    .await;
    let exists = |name: &str| {
        let family = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix));
        let is_there = |name: &str| page.contains(&format!("# TYPE {name} "));
        is_there(name) || family.is_some_and(is_there)
    };
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 30);
    let alerts = read("config/alerts.yaml");
    for name in expressions.iter().flat_map(|expression| metrics_in(expression)).chain(metrics_in(&alerts)) {
        assert!(exists(name), "{name} is not on the page");
    }

    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, expression) in expressions.iter().enumerate() {
        let expression = serde_json::to_string(expression).unwrap();
        writeln!(rules, "      - {{record: 'panel:{number}', expr: {expression}}}").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), rules).unwrap();
    succeeds(&["check", "rules", "rules.yaml"], folder.path());
    // The page itself, by Prometheus' own parser; its hints about names are about RoadRunner's.
    std::fs::write(folder.path().join("page"), &page).unwrap();
    let checked = Command::new("sh")
        .args(["-c", "promtool check metrics <page"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    let own: Vec<&str> =
        said.lines().filter(|line| line.starts_with("causeway_") || line.contains("error")).collect();
    assert!(own.is_empty() || said.contains("not found"), "{said}");
}

/// Prometheus, until it is dropped.
struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The values of a query.
fn query(address: &str, expression: &str) -> Vec<String> {
    let answer = get(address, &format!("/api/v1/query?query={expression}"));
    let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
    let found = answer["data"]["result"].as_array().cloned().unwrap_or_default();
    found.iter().filter_map(|sample| sample["value"][1].as_str().map(str::to_owned)).collect()
}

/// Starts Prometheus with this job. Returns its address as well; `None` if it is not installed.
fn start(folder: &Path, job: &str) -> Option<(Prometheus, String)> {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let config = format!(
        "global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ['{}']
scrape_configs:
  - job_name: causeway
{job}
",
        repository().join("config/alerts.yaml").display(),
    );
    std::fs::write(folder.join("prometheus.yml"), config).unwrap();
    let started = Command::new("prometheus")
        .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"])
        .arg(format!("--web.listen-address={address}"))
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let Ok(child) = started else {
        eprintln!("skipped: there is no prometheus; `make test` installs it");
        return None;
    };
    Some((Prometheus(child), address))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_over_tls_with_a_password() {
    let setup = worker();
    let _pki = Pki::new(setup.folder.path(), &["server"]);
    let metrics = "metrics: {address: '127.0.0.1:0', tls: {cert: server.pem, key: server.key}, \
                   basic_auth: {username: prometheus, password: hunter2}}\n";
    let server = setup.more(metrics).start();
    let folder = tempfile::tempdir().unwrap();
    let job = |password: &str| {
        format!(
            "    scheme: https
    tls_config: {{ca_file: '{}'}}
    basic_auth: {{username: prometheus, password: {password}}}
    static_configs: [{{targets: ['{}']}}]",
            server.path("ca.pem").display(),
            server.listening("metrics"),
        )
    };
    let Some((prometheus, address)) = start(folder.path(), &job("hunter2")) else { return };
    eventually("it is up", || query(&address, "up") == ["1"]).await;
    eventually("it is ready", || query(&address, "causeway_pool_ready") == ["1"]).await;
    drop(prometheus);
    assert_eq!(server.count_output("request refused"), 0);
    let folder = tempfile::tempdir().unwrap();
    let (_prometheus, address) = start(folder.path(), &job("hunter3")).unwrap();
    eventually("it is refused", || query(&address, "up") == ["0"]).await;
    server.wait_for_output("request refused: wrong username or password");
    assert!(!server.output().contains("hunter"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_the_bridge_and_evaluates_its_alerts() {
    let server = bridge().await;
    let folder = tempfile::tempdir().unwrap();
    let job = format!("    static_configs: [{{targets: ['{}']}}]", server.listening("metrics"));
    let Some((prometheus, address)) = start(folder.path(), &job) else { return };
    eventually("it is up", || query(&address, "up") == ["1"]).await;
    eventually("a call is counted", || {
        query(&address, "causeway_request_worker_duration_seconds_count{type=\"rpc\"}")
            .first()
            .is_some_and(|n| n != "0")
    })
    .await;
    assert_eq!(query(&address, "causeway_pool_ready"), ["1"]);
    eventually("all rules are evaluated", || {
        let rules: Value = serde_json::from_str(&get(&address, "/api/v1/rules")).unwrap_or_default();
        let rules = rules["data"]["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        rules.len() == 8 && rules.iter().all(|rule| rule["health"] == "ok")
    })
    .await;
    drop(prometheus);
}
