//! A variable that expands to nothing counts as not set.

use super::*;

/// Every setting with its kind, as `$V`, `"${V}"`, `${V:-}` and `''`.
#[test]
fn a_setting_that_expands_to_nothing_has_its_default() {
    let settings = [
        "centrifuge.proxy_address",
        "centrifuge.grpc_api_address",
        "centrifuge.max_connection_age",
        "centrifuge.max_connection_age_grace",
        "centrifuge.max_message_size",
        "centrifuge.use_compressor",
        "centrifuge.api_key",
        "centrifuge.api_timeout",
        "centrifuge.name",
        "centrifuge.version",
        "centrifuge.tls",
        "centrifuge.tls.cert",
        "centrifuge.tls.key",
        "centrifuge.pool",
        "centrifuge.pool.num_workers",
        "centrifuge.pool.max_jobs",
        "centrifuge.pool.max_queue_size",
        "centrifuge.pool.allocate_timeout",
        "centrifuge.pool.destroy_timeout",
        "centrifuge.pool.reset_timeout",
        "centrifuge.pool.stream_timeout",
        "centrifuge.pool.debug",
        "centrifuge.pool.command",
        "centrifuge.pool.fence",
        "centrifuge.pool.concurrency",
        "centrifuge.pool.codec",
        "centrifuge.pool.abandon_ttl",
        "centrifuge.pool.slow_after",
        "centrifuge.pool.watch",
        "centrifuge.pool.supervisor",
        "centrifuge.pool.dynamic_allocator",
        "server.user",
        "server.group",
        "server.groups",
        "server.umask",
        "server.relay",
        "server.env",
        "server.on_init",
        "server.relay_timeout",
        "logs",
        "logs.mode",
        "logs.level",
        "logs.encoding",
        "logs.line_ending",
        "logs.output",
        "logs.err_output",
        "logs.file_logger_options",
        "logs.channels",
        "endure",
        "endure.grace_period",
        "rpc",
        "metrics",
        "status",
        "otel",
    ];
    let plain = load_with(&format!("{WITH_COMMAND}centrifuge.x: y\n"), &[], &[]).unwrap().config;
    for setting in settings {
        for value in ["$V", "${V}", "\"${V}\"", "'${V:-}'", "$V$W", "' ${V} '", "''", "", "~"] {
            let text = format!("{WITH_COMMAND}{setting}: {value}\ncentrifuge.x: y\n");
            for env in [&[][..], &[("V", "")]] {
                let config = load_with(&text, env, &[]).unwrap().config;
                assert_eq!(config, plain, "{setting}: {value}");
            }
        }
    }
}

#[test]
fn keys_of_optional_sections_have_defaults_too() {
    let settings = [
        ("rpc", "listen"),
        ("rpc", "socket_mode"),
        ("metrics", "address"),
        ("metrics", "collect"),
        ("status", "address"),
        ("status", "unavailable_status_code"),
        ("status", "check_timeout"),
        ("otel", "exporter"),
        ("otel", "client"),
        ("otel", "endpoint"),
        ("otel", "insecure"),
        ("otel", "headers"),
        ("centrifuge.pool.supervisor", "watch_tick"),
        ("centrifuge.pool.supervisor", "ttl"),
        ("centrifuge.pool.supervisor", "exec_ttl"),
        ("centrifuge.pool.supervisor", "max_worker_memory"),
        ("centrifuge.pool.dynamic_allocator", "max_workers"),
        ("centrifuge.pool.dynamic_allocator", "spawn_rate"),
        ("centrifuge.pool.dynamic_allocator", "idle_timeout"),
        ("logs.file_logger_options", "max_size"),
        ("logs.file_logger_options", "max_age"),
        ("logs.file_logger_options", "compress"),
        ("logs.channels.server", "mode"),
        ("logs.channels.server", "output"),
        ("server.on_init", "exec_timeout"),
    ];
    for (section, key) in settings {
        let begin = if section == "server.on_init" { "server.on_init.command: x\n" } else { "" };
        let load = |value: &str| {
            load_with(
                &format!("{WITH_COMMAND}{begin}centrifuge.x: y\n{section}: {{{key}: {value}}}\n"),
                &[],
                &[],
            )
            .unwrap()
            .config
        };
        let plain = load("");
        for value in ["$V", "'${V}'", "'${V:-}'", "''"] {
            assert_eq!(load(value), plain, "{section}.{key}: {value}");
        }
    }
}

#[test]
fn a_required_value_that_is_empty_is_reported_with_its_variable() {
    let message = |text: &str| load_with(text, &[], &[]).unwrap_err();
    let command = message("version: '3'\nserver: {command: \"${NOPE}\"}\ncentrifuge: {}\n");
    assert!(
        command.contains(".rr.yaml:2: server.command: missing: expected a command")
            && command.contains("found nothing: ${NOPE} is empty or not set"),
        "{command}"
    );
    let version = message("version: $NOPE\nserver: {command: x}\ncentrifuge: {}\n");
    assert!(
        version.contains(".rr.yaml:1: version: ") && version.contains("${NOPE} is empty or not set"),
        "{version}"
    );
    // A list of networks that is empty by mistake would let everyone in.
    for allow in ["$NOPE", "['${NOPE}']", "'10.0.0.0/8,${NOPE}'", "''"] {
        let allow = message(&format!("{WITH_COMMAND}centrifuge.x: y\nrpc: {{allow: {allow}}}\n"));
        assert!(allow.contains("rpc.allow[") && allow.contains("expected a network"), "{allow}");
    }
}

#[test]
fn a_variable_that_is_empty_switches_no_protection_off() {
    for (section, key) in [
        ("centrifuge", "proxy_credentials"),
        ("centrifuge", "proxy_tls"),
        ("rpc", "tls"),
        ("status", "tls"),
        ("status", "basic_auth"),
        ("metrics", "basic_auth"),
    ] {
        let text = |value: &str| format!("{WITH_COMMAND}centrifuge.x: y\n{section}: {{{key}: {value}}}\n");
        let error = load_with(&text("$NOPE"), &[], &[]).unwrap_err();
        assert!(error.contains(&format!("{section}.{key}: expected a section")), "{error}");
        // One that is empty in the file is left out on purpose.
        load_with(&text("~"), &[], &[]).unwrap();
    }
}

#[test]
fn list_items_that_expand_to_nothing_are_left_out() {
    let text = format!(
        "{WITH_COMMAND}centrifuge.pool.watch: ['*.php', '${{NOPE}}']\nlogs: {{output: [stdout, $NOPE], err_output: '${{ERR}}'}}\n"
    );
    let config = load_with(&text, &[("ERR", "stderr, /tmp/x.log")], &[]).unwrap().config;
    assert_eq!(config.logs.output, ["stdout"]);
    assert_eq!(config.logs.err_output, ["stderr", "/tmp/x.log"]);
    assert_eq!(config.pool.watch.len(), 1);
    let text = "version: '3'\nserver.command: [php, $NOPE, app.php, '']\ncentrifuge: {}\n";
    assert_eq!(load_with(text, &[], &[]).unwrap().config.server.command.argv, ["php", "app.php", ""]);
}

#[test]
fn variables_of_workers_may_be_empty() {
    let text = format!("{WITH_COMMAND}server.env: {{A: '', B: $NOPE, C: }}\ncentrifuge: {{}}\n");
    let env = load_with(&text, &[], &[]).unwrap().config.server.env;
    let expected = ["A", "B", "C"].map(|name| (name.to_owned(), String::new()));
    assert_eq!(env, expected);
}

#[test]
fn files_whose_names_expand_to_nothing_are_not_used() {
    let text = format!(
        "{WITH_COMMAND}centrifuge: {{}}\nenvfile: $NOPE\nlogs:\n  file_logger_options: {{log_output: \"${{NOPE}} \", max_size: 5}}\n  channels: {{server: {{file_logger_options: {{log_output: $NOPE}}}}}}\n"
    );
    let loaded = load_with(&text, &[], &[]).unwrap();
    assert_eq!(loaded.config.logs.file_logger_options, None);
    assert_eq!(loaded.config.logs.channels["server"].file_logger_options, None);
}

#[test]
fn a_list_of_variables_without_values_is_not_set() {
    let text = format!("{WITH_COMMAND}centrifuge: {{pool: {{command: ['${{NOPE}}', \"$NOPE\"]}}}}\n");
    let config = load_text(&text).unwrap().config;
    assert_eq!((config.pool.command, config.server.command.argv.len()), (None, 2));
}
