use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use tempfile::TempDir;

use super::*;

/// A folder with files; the first one is the configuration.
fn folder(files: &[(&str, &str)]) -> (TempDir, Sources) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let sources = Sources { path: folder.path().join(files[0].0), ..Sources::default() };
    (folder, sources)
}

/// Reads the files alone: what programs and addresses the machine has is no matter here.
fn load(sources: &Sources) -> Result<Loaded, Error> {
    super::load::load_and(sources, |_, _, _, _| {})
}

fn load_text(text: &str) -> Result<Loaded, Error> {
    load(&folder(&[(".rr.yaml", text)]).1)
}

fn with_env(mut sources: Sources, env: &[(&str, &str)]) -> Sources {
    sources.env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    sources
}

const LEAST: &str = "version: '3'\nserver: {command: php app.php}\ncentrifuge: {}\n";

/// All lines of an error, each behind the file's name.
fn error(text: &str) -> String {
    let (folder, sources) = folder(&[(".rr.yaml", text)]);
    let error = load(&sources).unwrap_err().to_string();
    error.replace(&format!("{}/.rr.yaml:", folder.path().display()), "")
}

fn warnings(text: &str) -> Vec<String> {
    let loaded = load_text(text).unwrap();
    loaded
        .warnings
        .iter()
        .map(|warning| warning.to_string().split_once(".rr.yaml:").unwrap().1.to_owned())
        .collect()
}

fn shipped(name: &str) -> Loaded {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    load(&Sources { path, ..Sources::default() }).unwrap()
}

#[test]
fn defaults_are_roadrunner_s() {
    let config = load_text(LEAST).unwrap().config;
    assert_eq!(config.server.command.argv, ["php", "app.php"]);
    assert_eq!(config.proxy.address.to_string(), "tcp://127.0.0.1:30000");
    assert_eq!(config.api.address, "127.0.0.1:10000");
    assert_eq!(config.pool, pool::Config::default());
    assert_eq!(config.grace_period, Duration::from_secs(30));
    assert_eq!(config.rpc, None);
}

#[test]
fn the_reference_holds_every_key_with_its_default() {
    let reference = shipped("config/reference.rr.yaml");
    assert_eq!(reference.warnings, []);
    let mut config = load_text(LEAST).unwrap().config;
    config.rpc = Some(rpc::Config::default());
    config.metrics = Some(telemetry::Metrics::default());
    config.status = Some(telemetry::Status::default());
    config.logs = telemetry::logs::Config {
        mode: Some(telemetry::logs::Mode::Development),
        level: Some(telemetry::logs::Level::Debug),
        output: vec!["stderr".into()],
        ..config.logs
    };
    assert_eq!(reference.config, config);
}

#[test]
fn every_known_key_stands_in_the_reference() {
    // The keys that serde knows are those that the warning of an unknown one lists.
    let sections = [
        "rpc",
        "server",
        "server.on_init",
        "centrifuge",
        "centrifuge.tls",
        "centrifuge.pool",
        "centrifuge.pool.supervisor",
        "centrifuge.pool.dynamic_allocator",
        "logs",
        "logs.file_logger_options",
        "metrics",
        "status",
        "otel",
        "endure",
    ];
    let text = include_str!("../../config/reference.rr.yaml");
    let written: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.trim_start_matches([' ', '#']).split_once(':'))
        .map(|(key, _)| key)
        .collect();
    for section in sections {
        let mut text = format!("{LEAST}{section}.qqqqqqqq: 1\n")
            .replace("server: {command: php app.php}", "server.command: php app.php");
        if section == "server.on_init" {
            text.push_str("server.on_init.command: x\n");
        }
        let text = text.replace("centrifuge: {}\n", "centrifuge.name: x\n");
        let warning = warnings(&text).into_iter().find(|warning| warning.contains("qqqqqqqq")).unwrap();
        let known = warning.split_once("known here: ").unwrap().1;
        for key in known.split(", ").filter(|key| *key != "propagators") {
            assert!(written.contains(key), "{section}.{key} is not in config/reference.rr.yaml");
        }
    }
}

#[test]
fn the_minimal_file_and_a_typical_project_s_load() {
    let minimal = shipped("config/minimal.rr.yaml");
    assert_eq!(minimal.config.version, "2.7");
    assert_eq!(minimal.config.proxy.address.to_string(), "tcp://0.0.0.0:10001");
    assert_eq!(minimal.config.api.address, "centrifugo:10000");
    assert_eq!(minimal.config.rpc.unwrap().listen.to_string(), "tcp://0.0.0.0:6001");
    assert!(minimal.warnings[0].to_string().contains("RoadRunner 2"), "{:?}", minimal.warnings);
    let demo = shipped("tests/fixtures/ticket-booking.rr.yaml");
    assert_eq!(demo.config.pool.supervisor.unwrap().exec_ttl, Duration::from_secs(10));
    assert_eq!(demo.config.metrics.unwrap().collect["booking_time"].buckets, [0.1, 0.5, 1.0]);
    let text: Vec<String> = demo.warnings.iter().map(ToString::to_string).collect();
    assert!(
        text[0].contains("otel: has no effect") && text[1].ends_with("not served here: http, kv"),
        "{text:?}"
    );
    assert_eq!(text.len(), 2);
}

#[test]
fn a_wrong_value_is_told_with_line_key_and_expected_form() {
    let cases = [
        (
            "centrifuge:\n  pool:\n    num_workers: many\n",
            "5: centrifuge.pool.num_workers: expected a whole number, found \"many\"",
        ),
        (
            "centrifuge.pool.num_workers: 501\n",
            "3: centrifuge.pool.num_workers: expected at most 500 workers",
        ),
        (
            "centrifuge: {pool: {debug: maybe}}\n",
            "3: centrifuge.pool.debug: expected true or false, found \"maybe\"",
        ),
        (
            "centrifuge: {pool: 5}\n",
            "3: centrifuge.pool: expected a section of `key: value` lines, found \"5\"",
        ),
        (
            "centrifuge: {pool: {allocate_timeout: 5 s}}\n",
            "3: centrifuge.pool.allocate_timeout: expected a duration such as 300ms, 1.5s or 1h30m, found \"5 s\": ` s` is no unit",
        ),
        (
            "centrifuge: {proxy_address: localhost}\n",
            "3: centrifuge.proxy_address: expected tcp://host:port or unix://path, found \"localhost\"",
        ),
        (
            "centrifuge: {}\nserver.relay: udp://x:1\n",
            "4: server.relay: expected pipes, tcp://host:port or unix://path, found \"udp://x:1\"",
        ),
        (
            "centrifuge: {}\nserver.command: 'php \"x'\n",
            "4: server.command: expected a command: missing closing quote",
        ),
        (
            "centrifuge: {}\nlogs: {mode: loud}\n",
            "4: logs.mode: expected one of development, production, raw",
        ),
        (
            "centrifuge: {}\nmetrics: {collect: {m: {type: meter}}}\n",
            "4: metrics.collect.m.type: expected one of counter, gauge, histogram, summary, found \"meter\"",
        ),
        (
            "centrifuge: {}\nmetrics: {collect: {m: {type: histogram, buckets: [2, 1]}}}\n",
            "4: metrics.collect.m.buckets: expected buckets in ascending order",
        ),
        (
            "centrifuge: {}\nserver.env: [A=b]\n",
            "4: server.env[0]: expected a section of `key: value` lines, found a text",
        ),
    ];
    for (text, expected) in cases {
        let begin = if text.contains("server.command") {
            "version: '3'\n\n"
        } else {
            "version: '3'\nserver.command: php app.php\n"
        };
        let found = error(&format!("{begin}{text}"));
        assert!(found.contains(expected), "{found}\n    is not\n{expected}");
    }
}

#[test]
fn what_is_missing_is_told() {
    assert!(error("server: {command: x}\n").contains("version: it is missing"));
    assert!(
        error("version: 3\n")
            .starts_with("1: version: expected a string, found a number; write version: '3'\n")
    );
    assert!(error("version: 2.7\n").contains("write version: '2.7'"));
    assert!(error("version: '3'\nserver: {command: x}\n").contains("centrifuge: the section is missing"));
    let text = error("version: '3'\nserver:\n  comand: x\ncentrifuge: {}\n");
    assert!(
        text.contains("server.command: it is missing") && text.contains("did you mean `command`?"),
        "{text}"
    );
    load_text("version: '3'\ncentrifuge: {pool: {command: php a.php}}\n").unwrap();
}

#[test]
fn every_mistake_is_told_at_once_in_the_order_of_the_file() {
    let text = "version: 3\nserver:\n  comand: x\n  relay: udp://x:1\n  env: [{A: b}, 5]\nrpc:\n  listen: nowhere\n  allow: [10.0.0.0/8, x, y]\nmetrics: {collect: {a: {type: meter}, b: {help: b}, c: {type: histogram, buckets: [2, 1]}}}\nstatus: 5\n";
    let expected = [
        "1: version: expected a string, found a number; write version: '3'",
        "1: centrifuge: the section is missing: there is nothing to serve",
        "3: server.command: it is missing: expected a command such as \"php app.php\"",
        "4: server.relay: expected pipes, tcp://host:port or unix://path, found \"udp://x:1\"",
        "5: server.env[1]: expected a section of `key: value` lines, found a value that may be secret and is not shown",
        "7: rpc.listen: expected tcp://host:port or unix://path, found \"nowhere\"",
        "8: rpc.allow[1]: expected a network such as 10.0.0.0/8, found \"x\"",
        "8: rpc.allow[2]: expected a network such as 10.0.0.0/8, found \"y\"",
        "9: metrics.collect.a.type: expected one of counter, gauge, histogram, summary, found \"meter\"",
        "9: metrics.collect.b.type: it is missing",
        "9: metrics.collect.c.buckets: expected buckets in ascending order",
        "10: status: expected a section of `key: value` lines, found \"5\"",
        "warning: 3: server.comand: unknown key; did you mean `command`?",
    ];
    assert_eq!(error(text).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn what_is_wrong_in_a_file_of_the_configuration_does_not_hide_what_is_wrong_elsewhere() {
    let (folder, mut sources) = folder(&[
        (
            ".rr.yaml",
            "version: '3'\ninclude: [no.yaml, bad.yaml, a.yaml]\nserver: {command: x, command: y}\n",
        ),
        ("bad.yaml", "a: [\n"),
        ("a.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: x}}\n"),
    ]);
    sources.overrides = vec!["nothing".into()];
    sources.dotenv = Some(folder.path().join("none.env"));
    let lines: Vec<String> = load(&sources).unwrap_err().lines().collect();
    for part in [
        ".rr.yaml:3: command: this key stands there already, in line 3",
        "none.env: ",
        ".rr.yaml:2: include: cannot read no.yaml: No such file",
        "bad.yaml:1: this is not YAML",
        "a.yaml:2: centrifuge.pool.num_workers: expected a whole number",
        "-o, number 1: expected key=value",
    ] {
        assert!(lines.iter().any(|line| line.contains(part)), "{part} is not in {lines:#?}");
    }
    assert_eq!(lines.len(), 6, "{lines:#?}");
}

#[test]
fn unknown_keys_and_sections_are_named_with_the_nearest_known_one() {
    let text = format!("{LEAST}centrifuge.pool.num_worker: 2\nserve: {{}}\nhttp: {{}}\njobs: {{}}\n");
    let text = text.replace("centrifuge: {}\n", "");
    assert_eq!(
        warnings(&text),
        [
            "3: centrifuge.pool.num_worker: unknown key; did you mean `num_workers`?",
            "4: serve: unknown section; did you mean `server`?",
            "5: these sections of other RoadRunner plugins are not served here: http, jobs",
        ]
    );
}

#[test]
fn settings_without_an_effect_are_told() {
    let text = "version: '3'\nserver: {command: x, relay_timeout: 60s}\ncentrifuge:\n  name: x\n  version: '1'\n  pool: {stream_timeout: 5s}\nlogs:\n  err_output: stdout\n  channels: {rpc: {err_output: x}, sever: {level: info}, http: {}}\nstatus: {check_timeout: 5}\notel: {exporter: otlp}\nendure: {log_level: debug, print_graph: true, watchdog_sec: 1}\nlock: {driver: memory, config: {}}\napp: {x: 1}\n";
    let found = warnings(text);
    let expected = [
        "2: server.relay_timeout: has no effect: centrifuge.pool.allocate_timeout says how long a worker may take to connect",
        "4: centrifuge.name: has no effect: nobody is told this name",
        "5: centrifuge.version: has no effect: nobody is told this version",
        "6: centrifuge.pool.stream_timeout: has no effect: workers give one answer, and none in parts",
        "8: logs.err_output: has no effect: the log's own errors go to standard error",
        "9: logs.channels.rpc.err_output: has no effect: the log's own errors go to standard error",
        "9: logs.channels.sever: there is no such channel; did you mean `server`?",
        "9: logs.channels.http: has no effect: nothing is logged to this channel here; known are server, centrifuge, rpc, app, endure, config, metrics, status, otel, lock, watch, net",
        "10: status.check_timeout: has no effect: a check waits for nothing and answers at once",
        "11: otel: has no effect: traces are not exported by this version",
        "12: endure.log_level: has no effect: logs.channels.endure.level says what is logged of the start and the end",
        "12: endure.print_graph: has no effect: there is no graph of plugins",
        "12: endure.watchdog_sec: has no effect: systemd's watchdog is not notified",
        "13: lock.config: has no effect: locks are kept in this process",
        "14: app.x: has no effect: this section has no settings",
    ];
    for line in expected {
        assert!(found.contains(&line.to_owned()), "{line} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    let quiet = format!("{LEAST}lock: {{}}\napp: {{}}\ninformer:\nresetter: {{}}\nservice: {{}}\n");
    assert_eq!(warnings(&quiet), Vec::<String>::new());
}

#[test]
fn locks_elsewhere_than_in_memory_are_refused() {
    let refused = "4: lock.driver: expected memory: locks are kept in this process, and no other driver is served by this version";
    assert_eq!(
        error(&format!("{LEAST}lock: {{driver: redis, config: {{addrs: [a:1]}}}}\n")).lines().next(),
        Some(refused)
    );
    assert_eq!(error(&format!("{LEAST}lock: {{driver: [memory]}}\n")), refused);
    assert_eq!(error(&format!("{LEAST}lock: redis\n")), "4: lock: expected a section of `key: value` lines");
    load_text(&format!("{LEAST}lock: {{driver: memory}}\n")).unwrap();
}

#[test]
fn programs_that_are_not_started_are_named_without_their_arguments() {
    let text = format!(
        "{LEAST}service:\n  centrifugo: {{command: './centrifugo --api_key hunter2'}}\n  cron: {{command: 'KEY=hunter2 php cron.php', env: [{{A: hunter2}}]}}\n  none: 5\n"
    );
    assert_eq!(
        warnings(&text),
        [
            "5: service: the programs of this section are not started by this server: centrifugo (`./centrifugo`), cron, none; start them otherwise, by systemd or as containers"
        ]
    );
}

#[test]
fn values_are_lenient_where_the_meaning_is_clear() {
    let text = "VERSION: '3'\nServer:\n  Command: [php, app.php, 5, true]\n  env: [{a: b}, {C: 5}]\ncentrifuge:\n  POOL: {num_workers: \"4\", debug: yes, destroy_timeout: 1000000000}\nlogs: {mode: off, level: WARNING, output: stdout}\n";
    let config = load_text(text).unwrap().config;
    assert_eq!(config.server.command.argv, ["php", "app.php", "5", "true"]);
    assert_eq!(config.server.env, [("A".to_owned(), "b".to_owned()), ("C".into(), "5".into())]);
    assert_eq!((config.pool.num_workers, config.pool.debug), (4, true));
    assert_eq!(config.pool.destroy_timeout, Duration::from_secs(1));
    assert_eq!(config.logs.mode, Some(telemetry::logs::Mode::None));
    assert_eq!(config.logs.level, Some(telemetry::logs::Level::Warn));
    assert_eq!(config.logs.output, ["stdout"]);
}

#[test]
fn a_command_is_split_as_a_shell_would() {
    for (command, words) in [
        ("\"php -d 'memory_limit=1 G' app.php\"", &["php", "-d", "memory_limit=1 G", "app.php"][..]),
        ("\" env\\tA=1,2   php \"", &["env", "A=1,2", "php"]),
        ("[sh, -c, \"exec php app.php\"]", &["sh", "-c", "exec php app.php"]),
        ("[\"php app.php\"]", &["php", "app.php"]),
    ] {
        let config = load_text(&format!("version: '3'\nserver.command: {command}\ncentrifuge: {{}}\n"))
            .unwrap()
            .config;
        assert_eq!(config.server.command.argv, words, "{command}");
    }
}

#[test]
fn objectives_are_read_in_all_three_forms() {
    for objectives in ["[{0.5: 0.05}, {0.9: 0.01}]", "{0.5: 0.05, 0.9: 0.01}", "{'0.5': 0.05, '0.9': 0.01}"] {
        let text =
            format!("{LEAST}metrics: {{collect: {{m: {{type: summary, objectives: {objectives}}}}}}}\n");
        let config = load_text(&text).unwrap().config;
        assert_eq!(
            config.metrics.unwrap().collect["m"].objectives,
            [(0.5, 0.05), (0.9, 0.01)],
            "{objectives}"
        );
    }
}

#[test]
fn included_files_add_to_sections_and_later_ones_win_and_flags_win_over_all() {
    let (_folder, mut sources) = folder(&[
        (
            ".rr.yaml",
            "version: '3'\ninclude: [a.yaml, $B]\nserver: {command: main, env: {A: main}}\ncentrifuge: {pool: {num_workers: 2, max_jobs: 5}}\n",
        ),
        ("a.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 3}}\nserver: {env: {B: a}}\n"),
        ("b.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 4, debug: true}}\n"),
    ]);
    sources.overrides = vec!["centrifuge.pool.debug=false".into(), " Server.command = \"php $B\" ".into()];
    let config = load(&with_env(sources, &[("B", "b.yaml")])).unwrap().config;
    assert_eq!((config.pool.num_workers, config.pool.max_jobs, config.pool.debug), (4, 5, false));
    assert_eq!(config.server.env.len(), 2);
    assert_eq!(config.server.command.argv, ["php", "b.yaml"]);
}

#[test]
fn an_included_file_needs_the_same_version_and_has_to_exist() {
    let include = |text: &str| {
        let main = "version: '3'\ninclude: i.yaml\nserver: {command: x}\ncentrifuge: {}\n";
        load(&folder(&[(".rr.yaml", main), ("i.yaml", text)]).1).unwrap_err().to_string()
    };
    let other = include("version: '2.7'\n");
    let expected = "i.yaml:1: version: expected the version of the main file, '3', found '2.7'";
    assert!(other.starts_with(expected), "{other}");
    assert!(include("a: b\n").starts_with("i.yaml:1: version: it is missing"));
    let missing = error("version: '3'\ninclude: [no.yaml, none.yaml]\n");
    assert!(missing.contains("\n2: include: cannot read no.yaml: No such file"), "{missing}");
    assert!(missing.contains("\n2: include: cannot read none.yaml: No such file"), "{missing}");
}

#[test]
fn variables_come_from_the_environment_then_from_dotenv_files_and_reach_the_workers() {
    let text = "version: '3'\nenvfile: .env\nserver: {command: \"${A} ${B} ${C} ${D:-none}\"}\ncentrifuge: {proxy_address: \"tcp://${HOST}:${PORT:-6001}\"}\n";
    let (folder, mut sources) = folder(&[
        (".rr.yaml", text),
        (".env", "A=envfile\nB=envfile\nC=envfile\n"),
        ("dot", "A=dot\nB=dot\n"),
    ]);
    sources.dotenv = Some("/nonexistent".into());
    let dot = folder.path().join("dot").display().to_string();
    let loaded =
        load(&with_env(sources, &[("A", "own"), ("HOST", "127.0.0.1"), ("DOTENV_PATH", &dot)])).unwrap();
    assert_eq!(loaded.config.server.command.argv, ["own", "dot", "envfile", "none"]);
    assert_eq!(loaded.config.proxy.address.to_string(), "tcp://127.0.0.1:6001");
    let added: Vec<&str> = loaded.env[3..].iter().map(|(name, _)| name.to_str().unwrap()).collect();
    assert_eq!(added, ["B", "C"]);
}

#[test]
fn the_working_directory_is_the_file_s_unless_given() {
    let (folder, mut sources) = folder(&[(".rr.yaml", LEAST)]);
    assert_eq!(load(&sources).unwrap().work_dir, folder.path());
    sources.work_dir = Some("/".into());
    assert_eq!(load(&sources).unwrap().work_dir, Path::new("/"));
    sources.work_dir = Some("/nonexistent".into());
    assert!(load(&sources).unwrap_err().to_string().contains("/nonexistent"));
}

#[test]
fn json_files_are_read_too() {
    let (_folder, sources) = folder(&[(
        "rr.json",
        "{\n  \"version\": \"3\",\n  \"server\": {\"command\": \"php app.php\"},\n  \"centrifuge\": {\"pool\": {\"num_workers\": -1}}\n}",
    )]);
    let error = load(&sources).unwrap_err().to_string();
    assert!(
        error.contains("rr.json:4: centrifuge.pool.num_workers: expected a whole number, found \"-1\""),
        "{error}"
    );
}

#[test]
fn secrets_are_not_shown() {
    let config =
        load_text("version: '3'\nserver: {command: x}\ncentrifuge: {api_key: hunter2}\n").unwrap().config;
    assert_eq!(config.api.api_key.as_ref().unwrap().expose(), "hunter2");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn any_text_is_a_configuration_or_an_error() {
    let (folder, sources) = folder(&[(".rr.yaml", "")]);
    bolero::check!().with_type::<String>().with_iterations(2_000).for_each(|text| {
        std::fs::write(
            folder.path().join(".rr.yaml"),
            format!("version: '3'\nserver.command: x\ncentrifuge:\n  {text}"),
        )
        .unwrap();
        drop(load(&sources));
    });
}
