//! A variable that expands to nothing is no value, flags count before anything is required, and durations have units.

use std::ffi::OsString;
use std::path::PathBuf;

use super::*;

/// Reads the files alone: what programs the machine has is no matter here.
fn load(sources: &Sources) -> Result<Loaded, Error> {
    super::load::load_and(sources, |_, _, _, _| {})
}

/// What a file with flags and variables comes to.
fn load_with(text: &str, env: &[(&str, &str)], flags: &[&str]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(".rr.yaml");
    std::fs::write(&path, text).unwrap();
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let overrides = flags.iter().map(|flag| (*flag).to_owned()).collect();
    load(&Sources { path, overrides, env, ..Sources::default() }).map_err(|error| error.to_string())
}

const LEAST: &str = "version: '3'\nserver.command: php app.php\n";

/// Every setting with its kind, as `$V`, `"${V}"`, `${V:-}` and `''`.
#[test]
fn a_setting_that_expands_to_nothing_has_its_default() {
    let settings = [
        "centrifuge.proxy_address",
        "centrifuge.grpc_api_address",
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
        "centrifuge.pool.abandon_ttl",
        "centrifuge.pool.watch",
        "centrifuge.pool.supervisor",
        "centrifuge.pool.dynamic_allocator",
        "server.user",
        "server.group",
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
    let plain = load_with(&format!("{LEAST}centrifuge.x: y\n"), &[], &[]).unwrap().config;
    for setting in settings {
        for value in ["$V", "${V}", "\"${V}\"", "'${V:-}'", "$V$W", "' ${V} '", "''", "", "~"] {
            let text = format!("{LEAST}{setting}: {value}\ncentrifuge.x: y\n");
            for env in [&[][..], &[("V", "")]] {
                let config = load_with(&text, env, &[]).unwrap().config;
                assert_eq!(config, plain, "{setting}: {value}");
            }
        }
    }
}

#[test]
fn sections_that_are_there_have_defaults_too() {
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
            load_with(&format!("{LEAST}{begin}centrifuge.x: y\n{section}: {{{key}: {value}}}\n"), &[], &[])
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
fn what_is_required_is_told_with_its_variable() {
    let told = |text: &str| load_with(text, &[], &[]).unwrap_err();
    let command = told("version: '3'\nserver: {command: \"${NOPE}\"}\ncentrifuge: {}\n");
    assert!(
        command.contains(".rr.yaml:2: server.command: it is missing: expected a command")
            && command.contains("found nothing: ${NOPE} is empty or not set"),
        "{command}"
    );
    let version = told("version: $NOPE\nserver: {command: x}\ncentrifuge: {}\n");
    assert!(
        version.contains(".rr.yaml:1: version: ") && version.contains("${NOPE} is empty or not set"),
        "{version}"
    );
    // A list of networks that is empty by mistake would let everybody in.
    for allow in ["$NOPE", "['${NOPE}']", "'10.0.0.0/8,${NOPE}'", "''"] {
        let allow = told(&format!("{LEAST}centrifuge.x: y\nrpc: {{allow: {allow}}}\n"));
        assert!(allow.contains("rpc.allow[") && allow.contains("expected a network"), "{allow}");
    }
}

#[test]
fn a_list_leaves_out_what_expands_to_nothing() {
    let text = format!(
        "{LEAST}centrifuge.pool.watch: ['*.php', '${{NOPE}}']\nlogs: {{output: [stdout, $NOPE], err_output: '${{ERR}}'}}\n"
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
    let text = format!("{LEAST}server.env: {{A: '', B: $NOPE, C: }}\ncentrifuge: {{}}\n");
    let env = load_with(&text, &[], &[]).unwrap().config.server.env;
    let expected = ["A", "B", "C"].map(|name| (name.to_owned(), String::new()));
    assert_eq!(env, expected);
}

#[test]
fn flags_count_before_anything_is_required() {
    let config =
        load_with("", &[], &["version=3", "server.command=php app.php", "centrifuge.name=x"]).unwrap().config;
    assert_eq!((config.version.as_str(), config.server.command.argv.len()), ("3", 2));
    for flag in ["version=3", "version='3'", "version=\"3\"", " version = 3 ", "VERSION=$V", "\"version=3"] {
        let text = "version: 3\nserver.command: x\ncentrifuge: {}\n";
        let config = load_with(text, &[("V", "3")], &[flag]).unwrap().config;
        assert_eq!(config.version, "3", "{flag}");
    }
    let told = load_with("version: 3\nserver.command: x\ncentrifuge: {}\n", &[], &[]).unwrap_err();
    assert!(told.contains("write version: '3'"), "{told}");
}

#[test]
fn flags_make_sections_lists_and_nested_keys() {
    let flags = [
        "rpc.listen=tcp://127.0.0.1:7001",
        "server.env.dsn=a=b&c=d",
        "server.env.quoted=\"a \\\"b\\\"\"",
        "logs.output=[stdout, \"stderr\"]",
        "logs.channels.server.output=stdout,stderr",
        "centrifuge.pool.watch=*.{php,py},x",
        "server.command='php app.php'",
        "centrifuge.pool.supervisor.exec_ttl=10s",
        "metrics.collect.m.type=counter",
        "metrics.collect.m.labels=a,b",
        "status=",
    ];
    let text = "version: '3'\nserver: {command: x}\nstatus: {address: x}\ncentrifuge: {}\n";
    let config = load_with(text, &[], &flags).unwrap().config;
    assert_eq!(config.rpc.unwrap().listen.to_string(), "tcp://127.0.0.1:7001");
    assert_eq!(
        config.server.env,
        [("DSN".to_owned(), "a=b&c=d".to_owned()), ("QUOTED".into(), "a \"b\"".into())]
    );
    assert_eq!(config.logs.output, ["stdout", "stderr"]);
    assert_eq!(config.logs.channels["server"].output, ["stdout", "stderr"]);
    assert_eq!(config.pool.watch.len(), 2);
    assert_eq!(config.server.command.argv, ["php", "app.php"]);
    assert_eq!(config.pool.supervisor.unwrap().exec_ttl, Duration::from_secs(10));
    assert_eq!(config.metrics.unwrap().collect["m"].labels, ["a", "b"]);
    assert_eq!(config.status, None);
}

#[test]
fn flags_may_name_files_to_include_and_to_take_variables_from() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(".rr.yaml", "server: {command: $A}\ncentrifuge: {pool: {num_workers: 1}}\n");
    write("more.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 2, max_jobs: 5}}\n");
    write(".env", "A=php app.php\n");
    let flags = ["include=more.yaml", "envfile=.env", "version=3", "centrifuge.pool.num_workers=3"];
    let sources = Sources {
        path: folder.path().join(".rr.yaml"),
        overrides: flags.map(str::to_owned).to_vec(),
        ..Sources::default()
    };
    let config = load(&sources).unwrap().config;
    assert_eq!((config.pool.num_workers, config.pool.max_jobs), (3, 5));
    assert_eq!(config.server.command.argv, ["php", "app.php"]);
}

#[test]
fn dotenv_files_are_looked_for_where_roadrunner_looks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("work")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(".rr.yaml", "version: '3'\nenvfile: near.env\nserver: {command: '$A $B'}\ncentrifuge: {}\n");
    write("near.env", "A=beside the file\nB=b\n");
    write("work/dot.env", "A=from work\n");
    let sources = Sources {
        path: folder.path().join(".rr.yaml"),
        work_dir: Some(folder.path().join("work")),
        dotenv: Some("dot.env".into()),
        ..Sources::default()
    };
    assert_eq!(load(&sources).unwrap().config.server.command.argv, ["from", "work", "b"]);
    // A variable that is set decides, even if it says that there is no file.
    let env = vec![(OsString::from("DOTENV_PATH"), OsString::new())];
    let without = Sources { env, ..sources.clone() };
    assert_eq!(load(&without).unwrap().config.server.command.argv[..2], ["beside", "the"]);
    let missing = Sources { dotenv: Some(PathBuf::from("nope.env")), ..sources };
    let told = load(&missing).unwrap_err().to_string();
    assert!(told.starts_with("nope.env: No such file"), "{told}");
}

#[test]
fn a_small_number_is_seconds_wherever_a_duration_stands_and_earns_a_warning() {
    let keys = [
        "centrifuge.api_timeout",
        "centrifuge.pool.allocate_timeout",
        "centrifuge.pool.destroy_timeout",
        "centrifuge.pool.reset_timeout",
        "centrifuge.pool.stream_timeout",
        "centrifuge.pool.abandon_ttl",
        "centrifuge.pool.supervisor.watch_tick",
        "centrifuge.pool.supervisor.ttl",
        "centrifuge.pool.supervisor.idle_ttl",
        "centrifuge.pool.supervisor.exec_ttl",
        "centrifuge.pool.dynamic_allocator.idle_timeout",
        "server.on_init.exec_timeout",
        "endure.grace_period",
    ];
    for key in keys {
        let begin = if key.starts_with("server.on_init") { "server.on_init.command: x\n" } else { "" };
        let load = |value: &str, env: &[(&str, &str)]| {
            load_with(&format!("{LEAST}{begin}{key}: {value}\ncentrifuge.x: y\n"), env, &[]).unwrap()
        };
        let seconds = load("10s", &[]);
        for value in ["10", "'10'", "10.0", "\"10\""] {
            let loaded = load(value, &[]);
            assert_eq!(loaded.config, seconds.config, "{key}: {value}");
            let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            let hint =
                format!("{key}: {0} is taken for {0} seconds; write {0}s", value.trim_matches(['\'', '"']));
            assert!(said.iter().any(|said| said.ends_with(&hint)), "{said:?}");
        }
        let loaded = load("$T", &[("T", "10")]);
        assert_eq!(loaded.config, seconds.config, "{key}");
        let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(
            said.iter().any(|said| said.contains("${T} has no unit and is taken for seconds")),
            "{said:?}"
        );
        assert_eq!(load("10000000000", &[]).config, seconds.config, "{key}");
        assert_eq!(load("10000000000", &[]).warnings.len(), seconds.warnings.len(), "{key}");
        let flag = format!("{key}=10");
        let text = format!("{LEAST}{begin}centrifuge.x: y\n");
        assert_eq!(load_with(&text, &[], &[&flag]).unwrap().config, seconds.config, "{key}");
    }
}

#[test]
fn the_timeout_of_checks_is_in_seconds_with_and_without_a_unit() {
    for value in ["45", "45s", "'45'", "'45s'", "$T"] {
        let text = format!("{LEAST}centrifuge: {{}}\nstatus: {{check_timeout: {value}}}\n");
        let loaded = load_with(&text, &[("T", "45")], &[]).unwrap();
        assert_eq!(loaded.config.status.unwrap().check_timeout, Duration::from_secs(45), "{value}");
        assert!(loaded.warnings.iter().all(|warning| !warning.to_string().contains("seconds")), "{value}");
    }
}

#[test]
fn files_whose_names_come_to_nothing_are_none() {
    let text = format!(
        "{LEAST}centrifuge: {{}}\nenvfile: $NOPE\nlogs:\n  file_logger_options: {{log_output: \"${{NOPE}} \", max_size: 5}}\n  channels: {{server: {{file_logger_options: {{log_output: $NOPE}}}}}}\n"
    );
    let loaded = load_with(&text, &[], &[]).unwrap();
    assert_eq!(loaded.config.logs.file_logger_options, None);
    assert_eq!(loaded.config.logs.channels["server"].file_logger_options, None);
}

#[test]
fn an_envfile_may_be_named_by_a_variable_and_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(".rr.yaml", "version: '3'\nenvfile: .env.$APP_ENV\nserver: {command: $A}\ncentrifuge: {}\n");
    write(".env.prod", "A=php\n");
    let sources = |value: &str| Sources {
        path: folder.path().join(".rr.yaml"),
        env: vec![("APP_ENV".into(), value.into())],
        ..Sources::default()
    };
    assert_eq!(load(&sources("prod")).unwrap().config.server.command.argv, ["php"]);
    let told = load(&sources("nope")).unwrap_err().to_string();
    assert!(told.contains(".rr.yaml:2: envfile: cannot read .env.${APP_ENV}: No such file"), "{told}");
}

#[test]
fn numbers_and_truth_values_may_be_written_in_any_way_of_yaml() {
    for number in ["16", "+16", "0x10", "0o20", "0b10000", "16.0", "1.6e1", "1_6", "'16'", "0X10"] {
        let text = format!("{LEAST}centrifuge: {{pool: {{num_workers: {number}, debug: n}}}}\n");
        let config = load_with(&text, &[], &[]).unwrap().config;
        assert_eq!(config.pool.num_workers, 16, "{number}");
    }
    for number in ["1.5", "-1", "0x", "0x+1", "nan", "inf", "1e300", "one", "0x-1"] {
        let text = format!("{LEAST}centrifuge: {{pool: {{num_workers: {number}}}}}\n");
        assert!(load_with(&text, &[], &[]).is_err(), "{number}");
    }
}

#[test]
fn a_duration_is_advised_in_a_form_that_is_read() {
    for (written, advice) in [("1_0", "write 10s"), ("1e1", "write 10s"), (".5", "write .5s")] {
        let text = format!("{LEAST}centrifuge: {{pool: {{reset_timeout: {written}}}}}\n");
        let warnings = load_with(&text, &[], &[]).unwrap().warnings;
        assert!(warnings[0].to_string().ends_with(advice), "{}", warnings[0]);
    }
}

#[test]
fn only_the_first_document_of_a_file_counts() {
    for (more, warnings) in [("---\n", 0), ("...\n", 0), ("---\nserver: {command: x}\n", 1), ("---\n}{\n", 1)]
    {
        let text = format!("{LEAST}centrifuge: {{}}\n{more}");
        let loaded = load_with(&text, &[], &[]).unwrap();
        assert_eq!(loaded.warnings.len(), warnings, "{more:?} {:?}", loaded.warnings);
        assert_eq!(loaded.config.server.command.argv, ["php", "app.php"]);
    }
}

#[test]
fn a_short_value_hides_no_letters_of_a_message() {
    let text = format!("{LEAST}centrifuge: {{}}\nmetrics: {{address: $V}}\n");
    let told = load_with(&text, &[("V", "e")], &[]).unwrap_err();
    assert!(told.ends_with("metrics.address: expected host:port, found \"${V}\""), "{told}");
}
