//! Mistakes and warnings in the words that users see.

use super::*;
use crate::telemetry::logs::{Level, Mode};

#[test]
fn a_wrong_value_is_reported_with_line_key_and_expected_form() {
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
            "centrifuge.pool.supervisor.max_worker_memory: 128MB\n",
            "3: centrifuge.pool.supervisor.max_worker_memory: expected a whole number of megabytes such as 128, found \"128MB\"",
        ),
        (
            "centrifuge.pool.supervisor: {max_worker_memory: 1, max_worker_memory_hard: 1}\n",
            "3: centrifuge.pool.supervisor.max_worker_memory_hard: expected a number greater than 1, such as 2, found \"1\"",
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
            "3: centrifuge.pool.allocate_timeout: expected a duration such as 300ms, 1.5s or 1h30m, found \"5 s\": ` s` is not a unit",
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
            "centrifuge: {}\nlogs: {encoding: xml}\n",
            "4: logs.encoding: expected one of console, json, found \"xml\"",
        ),
        (
            "centrifuge: {}\nmetrics: {collect: {m: {type: meter}}}\n",
            "4: metrics.collect.m.type: expected one of counter, gauge, histogram, summary, found \"meter\"",
        ),
        (
            "centrifuge: {}\nserver.env: [A=b]\n",
            "4: server.env[0]: expected a section of `key: value` lines, found text",
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
fn missing_keys_are_reported() {
    assert!(error("server: {command: x}\n").contains("version: missing"));
    assert!(
        error("version: 3\n")
            .starts_with("1: version: expected a string, found a number; write version: '3'\n")
    );
    assert!(error("version: 2.7\n").contains("write version: '2.7'"));
    assert!(
        warnings(&LEAST.replace("'3'", "'2.7'"))[0].starts_with("1: version: '2.7' is RoadRunner 2's format")
    );
    assert!(error("version: '3'\nserver: {command: x}\n").contains("centrifuge: missing section"));
    let text = error("version: '3'\nserver:\n  comand: x\ncentrifuge: {}\n");
    assert!(text.contains("server.command: missing") && text.contains("did you mean `command`?"), "{text}");
    load_text("version: '3'\ncentrifuge: {pool: {command: php a.php}}\n").unwrap();
}

#[test]
fn all_mistakes_are_reported_at_once_in_the_order_of_the_file() {
    let text = "version: 3\nserver:\n  comand: x\n  relay: udp://x:1\n  env: [{A: b}, 5]\nrpc:\n  listen: nowhere\n  allow: [10.0.0.0/8, x, y]\nmetrics: {collect: {a: {type: meter}, b: {help: b}}}\nstatus: 5\n";
    let expected = [
        "1: version: expected a string, found a number; write version: '3'",
        "1: centrifuge: missing section: there is nothing to serve",
        "3: server.command: missing: expected a command such as \"php app.php\"",
        "4: server.relay: expected pipes, tcp://host:port or unix://path, found \"udp://x:1\"",
        "5: server.env[1]: expected a section of `key: value` lines, found a value that may be secret and is not shown",
        "7: rpc.listen: expected tcp://host:port or unix://path, found \"nowhere\"",
        "8: rpc.allow[1]: expected a network such as 10.0.0.0/8, found \"x\"",
        "8: rpc.allow[2]: expected a network such as 10.0.0.0/8, found \"y\"",
        "9: metrics.collect.a.type: expected one of counter, gauge, histogram, summary, found \"meter\"",
        "9: metrics.collect.b.type: missing",
        "10: status: expected a section of `key: value` lines, found \"5\"",
        "warning: 3: server.comand: unknown key; did you mean `command`?",
    ];
    assert_eq!(error(text).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_mistake_in_one_file_does_not_hide_those_in_others() {
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
        ".rr.yaml:3: command: duplicate key, first used in line 3",
        "none.env: ",
        ".rr.yaml:2: include: cannot read no.yaml: No such file",
        "bad.yaml:1: invalid YAML",
        "a.yaml:2: centrifuge.pool.num_workers: expected a whole number",
        "-o number 1: expected key=value",
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
            "5: sections of RoadRunner plugins that are not supported: http, jobs",
        ]
    );
}

#[test]
fn modes_and_levels_that_roadrunner_takes_are_taken() {
    let read = |logs: &str| inspected(&format!("logs: {logs}\n")).unwrap();
    for (level, known) in [
        ("notice", Level::Info),
        ("critical", Level::Error),
        ("alert", Level::Error),
        ("EMERGENCY", Level::Error),
        ("trace", Level::Debug),
    ] {
        let loaded = read(&format!("{{level: {level}, mode: json}}"));
        assert_eq!(
            (loaded.config.logs.level, loaded.config.logs.mode),
            (Some(known), Some(Mode::Production))
        );
        assert!(loaded.warnings.is_empty());
    }
    let loaded = read("{mode: console, level: verbose, channels: {app: {mode: dev, level: 7}}}");
    let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    let warnings = warnings.join("\n");
    for key in ["logs.mode", "logs.level", "logs.channels.app.mode", "logs.channels.app.level"] {
        assert!(warnings.contains(&format!("{key}: unknown")), "{key}\n{warnings}");
    }
}

#[test]
fn warnings_say_what_has_no_effect_and_why() {
    for (text, expected) in [
        (
            "logs: {channels: {service: {level: error}}}\n",
            "logs.channels.service: has no effect: nothing is logged",
        ),
        (
            "logs: {channels: {sever: {level: error}}}\n",
            "logs.channels.sever: unknown channel; did you mean `server`?",
        ),
        (".x: 1\n", "4: .x: unknown section, ignored"),
        (
            "service: {a: {command: [./centrifugo, --x, y]}}\n",
            "these programs are not started: a (`./centrifugo`);",
        ),
    ] {
        let loaded = load_text(&format!("{LEAST}{text}")).unwrap();
        let warnings: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(expected), "{warnings:?}");
    }
    let pool =
        "{debug: true, num_workers: 4, max_jobs: 5, watch: ['*.php'], supervisor: {ttl: 5s, exec_ttl: 5s}}";
    let loaded = load_text(&format!("{WITH_COMMAND}centrifuge: {{pool: {pool}}}\n")).unwrap();
    let keys = ["max_jobs", "watch", "supervisor.ttl"];
    assert_eq!(loaded.warnings.len(), keys.len(), "{:?}", loaded.warnings);
    for (key, warning) in keys.iter().zip(&loaded.warnings) {
        let expected =
            format!("centrifuge.pool.{key}: has no effect: with debug, each request has a new worker");
        assert!(warning.to_string().ends_with(&expected), "{warning}");
    }
}

#[test]
fn collectors_of_roadrunner_s_sample_are_taken() {
    let sample = "{type: histogram, buckets: [0.1, 0.2, 0.3, 1.0], objectives: [{1.4: 2.3}, {2.0: 1.4}]}";
    let summary = "{type: summary, objectives: {0.5: 0.1, 1.4: 2.3}}";
    let endless = "{type: histogram, buckets: [1, .inf]}";
    let text = format!("metrics: {{collect: {{a: {sample}, b: {summary}, c: {endless}}}}}\n");
    let warnings: Vec<String> = inspected(&text).unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    assert!(
        warnings[0].ends_with("metrics.collect.a.objectives: has no effect: only a summary has objectives")
    );
    assert!(
        warnings[1]
            .ends_with("metrics.collect.b.objectives: 1.4 has no effect: expected a quantile from 0 to 1")
    );
}

#[test]
fn settings_without_an_effect_are_reported() {
    let text = "version: '3'\nserver: {command: x, relay_timeout: 60s}\ncentrifuge:\n  name: x\n  version: '1'\n  pool: {num_workers: 1}\nlogs:\n  err_output: stdout\n  channels: {rpc: {err_output: x}, sever: {level: info}, http: {}}\nstatus: {check_timeout: 5}\notel: {exporter: otlp}\nendure: {log_level: debug, print_graph: true, watchdog_sec: 1}\napp: {x: 1}\n";
    let found = warnings(text);
    let expected = [
        "2: server.relay_timeout: has no effect: centrifuge.pool.allocate_timeout limits how long a worker may take to connect",
        "4: centrifuge.name: has no effect: this name is not used",
        "5: centrifuge.version: has no effect: this version is not used",
        "8: logs.err_output: has no effect: the log's own errors go to standard error",
        "9: logs.channels.rpc.err_output: has no effect: the log's own errors go to standard error",
        "9: logs.channels.sever: unknown channel; did you mean `server`?",
        "9: logs.channels.http: has no effect: nothing is logged to this channel; known channels: server, centrifuge, rpc, app, endure, config, metrics, status, otel, lock, watch, net, access",
        "10: status.check_timeout: has no effect: checks answer immediately",
        "12: endure.log_level: has no effect: set logs.channels.endure.level instead",
        "12: endure.print_graph: has no effect: there is no plugin graph",
        "12: endure.watchdog_sec: has no effect: systemd's WatchdogSec sets the interval",
        "13: app.x: has no effect: this section has no settings",
    ];
    for line in expected {
        assert!(found.contains(&line.to_owned()), "{line} is not in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    let quiet = format!("{LEAST}lock: {{}}\napp: {{}}\ninformer:\nresetter: {{}}\nservice: {{}}\n");
    assert_eq!(warnings(&quiet), Vec::<String>::new());
}

#[test]
fn a_value_in_place_of_a_socket_s_attributes_is_refused_in_roadrunner_s_words() {
    for compat in ["2025", "3"] {
        let text = format!("{WITH_COMMAND}causeway.compat: {compat}\ncentrifuge.proxy_socket: 5\n");
        assert_eq!(error(&text), "4: centrifuge.proxy_socket: expected a map, found \"5\"");
        let text = format!("{LEAST}causeway.compat: {compat}\nrpc: {{unix_socket: x}}\n");
        assert_eq!(error(&text), "5: rpc.unix_socket: expected a map, found text");
        let text = format!("{LEAST}causeway.compat: {compat}\nrpc: {{unix_socket: [1]}}\n");
        assert_eq!(error(&text), "5: rpc.unix_socket: expected a map, found a list");
    }
}

#[test]
fn unknown_lock_drivers_are_refused() {
    let refused = "4: lock.driver: unsupported lock driver: \"etcd\"; expected memory or redis";
    assert_eq!(error(&format!("{LEAST}lock: {{driver: etcd}}\n")), refused);
    assert_eq!(
        error(&format!("{LEAST}lock: {{driver: [memory]}}\n")),
        "4: lock.driver: expected a word or text, found a list"
    );
    let section = "4: lock: expected a section of `key: value` lines, found text";
    assert_eq!(error(&format!("{LEAST}lock: redis\n")), section);
    load_text(&format!("{LEAST}lock: {{driver: memory}}\n")).unwrap();
}

#[test]
fn mistakes_in_the_settings_of_redis_have_the_texts_of_roadrunner_3() {
    let section = |config: &str| format!("lock: {{driver: redis, config: {{{config}}}}}\n");
    let found = |config: &str| {
        let text = inspected(&section(config)).unwrap_err().to_string();
        text.split_once(".rr.yaml:").unwrap().1.to_owned()
    };
    let warnings = |sections: &str| -> Vec<String> {
        inspected(sections).unwrap().warnings.iter().map(ToString::to_string).collect()
    };
    for (config, expected) in [
        ("addrs: []", "4: lock.config.addrs: addrs must not be empty"),
        ("addrs: [redis]", "4: lock.config.addrs[0]: expected host:port"),
        ("db: -1", "4: lock.config.db: db must not be negative"),
        (
            "addrs: [a:1, b:1], db: 1",
            "4: lock.config.db: db must be 0 with more than one address because the cluster client uses database 0",
        ),
        ("pool_size: -2", "4: lock.config.pool_size: pool_size must not be negative, got -2"),
        ("tls: {cert: .rr.yaml}", "4: lock.config.tls.cert: no certificate found in \".rr.yaml\""),
        ("tls: {key: none.pem}", "4: lock.config.tls.key: there is no file none.pem"),
    ] {
        assert!(found(config).starts_with(expected), "{config}: {}", found(config));
    }
    assert!(found("dial_timeout: -1s").starts_with("4: lock.config.dial_timeout: expected a duration"));
    assert_eq!(warnings("lock: {driver: redis}\n"), Vec::<String>::new());
    let sentinels =
        "addrs: [a:1, b:1], master_name: m, db: 1, username: u, password: p, sentinel_password: p";
    assert_eq!(warnings(&section(sentinels)), Vec::<String>::new());
    let idle = "username: u, sentinel_password: hunter2, pool_size: 4, max_retries: 3";
    let found = warnings(&section(idle));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().any(|line| line.contains("lock.config.max_retries: unknown key")), "{found:#?}");
    assert!(!found.concat().contains("hunter2"));
    let memory = warnings("lock: {driver: memory, config: {db: 1}}\n");
    assert!(memory[0].ends_with("lock.config: has no effect: locks are kept in memory"), "{memory:?}");
}

#[test]
fn programs_that_are_not_started_are_named_without_their_arguments() {
    let text = format!(
        "{LEAST}service:\n  centrifugo: {{command: './centrifugo --api_key hunter2'}}\n  cron: {{command: 'KEY=hunter2 php cron.php', env: [{{A: hunter2}}]}}\n  none: 5\n"
    );
    assert_eq!(
        warnings(&text),
        [
            "5: service: these programs are not started: centrifugo (`./centrifugo`), cron, none; run them with systemd or as containers"
        ]
    );
}

#[test]
fn toml_is_refused_with_the_formats_that_are_read() {
    let (folder, sources) = folder(&[(".rr.toml", "version = '3'\n[server]\ncommand = 'php app.php'\n")]);
    let expected = "/.rr.toml: TOML is not supported: expected a YAML or JSON file";
    let found = load(&sources).unwrap_err().to_string();
    assert_eq!(found, format!("{}{expected}", folder.path().display()));
}
