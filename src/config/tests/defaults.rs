//! Defaults, and the files in `config/`.

use std::collections::BTreeSet;

use super::*;

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
    config.metrics = Some(admin::Metrics::default());
    config.status = Some(admin::Status::default());
    config.logs = telemetry::logs::Config {
        mode: Some(telemetry::logs::Mode::Development),
        level: Some(telemetry::logs::Level::Debug),
        output: vec!["stderr".into()],
        ..config.logs
    };
    assert_eq!(reference.config, config);
}

#[test]
fn every_known_key_is_in_the_reference() {
    // The warning about an unknown key lists those that serde knows.
    let sections = [
        "rpc",
        "server",
        "server.on_init",
        "centrifuge",
        "centrifuge.tls",
        "centrifuge.pool",
        "centrifuge.pool.supervisor",
        "centrifuge.pool.dynamic_allocator",
        "centrifuge.pools.x",
        "centrifuge.pools.x.match",
        "centrifuge.proxy_socket",
        "rpc.unix_socket",
        "server.relay_socket",
        "logs",
        "logs.file_logger_options",
        "metrics",
        "status",
        "otel",
        "otel.resource",
        "endure",
        "causeway",
        "causeway.limits",
        "lock",
        "lock.config",
        "lock.config.tls",
        "centrifuge.proxy_tls",
        "centrifuge.proxy_credentials",
        "rpc.tls",
        "rpc.operators",
        "rpc.operators.tls",
        "metrics.tls",
        "metrics.basic_auth",
        "status.tls",
        "status.basic_auth",
    ];
    let text = include_str!("../../../config/reference.rr.yaml");
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
        let known = warning.split_once("known keys: ").unwrap().1;
        for key in known.split(", ") {
            assert!(written.contains(key), "{section}.{key} is not in config/reference.rr.yaml");
        }
    }
}

#[test]
fn the_minimal_file_and_that_of_a_typical_project_load() {
    let minimal = shipped("config/minimal.rr.yaml");
    assert_eq!(minimal.config.version, "3");
    assert_eq!(minimal.warnings, []);
    assert_eq!(minimal.config.proxy.address.to_string(), "tcp://127.0.0.1:10001");
    assert_eq!(minimal.config.api.address, "127.0.0.1:10000");
    assert_eq!(minimal.config.rpc.unwrap().listen.to_string(), "tcp://127.0.0.1:6001");
    let demo = shipped("tests/fixtures/ticket-booking.rr.yaml");
    assert_eq!(demo.config.pool.supervisor.unwrap().exec_ttl, Duration::from_secs(10));
    assert_eq!(demo.config.metrics.unwrap().collect["booking_time"].buckets, [0.1, 0.5, 1.0]);
    let text: Vec<String> = demo.warnings.iter().map(ToString::to_string).collect();
    assert!(text[0].ends_with("not supported: http, kv"), "{text:?}");
    assert_eq!(text.len(), 1);
}
