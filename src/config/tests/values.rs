//! The notations of values.

use super::*;

#[test]
fn values_are_lenient_where_the_meaning_is_clear() {
    let text = "VERSION: '3'\nServer:\n  Command: [php, app.php, 5, true]\n  env: [{a: b}, {C: 5}]\ncentrifuge:\n  POOL: {num_workers: \"4\", debug: yes, destroy_timeout: 1000000000}\nlogs: {mode: off, level: WARNING, output: stdout}\n";
    let config = load_text(text).unwrap().config;
    assert_eq!(config.server.command.argv, ["php", "app.php", "5", "1"]);
    assert_eq!(config.server.env, [("A".to_owned(), "b".to_owned()), ("C".into(), "5".into())]);
    assert_eq!((config.pool.num_workers, config.pool.debug), (4, true));
    assert_eq!(config.pool.destroy_timeout, Duration::from_secs(1));
    assert_eq!(config.logs.mode, Some(telemetry::logs::Mode::None));
    assert_eq!(config.logs.level, Some(telemetry::logs::Level::Warn));
    assert_eq!(config.logs.output, ["stdout"]);
}

#[test]
fn variables_have_the_values_that_roadrunner_gives_them() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../tests/vectors/env-values.json")).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 75);
    for case in cases {
        let (yaml, theirs) = (case["in"].as_str().unwrap(), case["out"].as_str().unwrap());
        let text = format!("version: '3'\ncentrifuge: {{}}\nserver:\n  command: x\n  env:\n    A: {yaml}\n");
        let config = load_text(&text).unwrap().config;
        assert_eq!(config.server.env, [("A".to_owned(), theirs.to_owned())], "{yaml}");
    }
}

#[test]
fn only_words_of_a_file_without_quotes_are_numbers() {
    let text = "version: '3'\nserver: {command: [php, 010, true, '010', \"true\"], env: {A: $V, B: '${V}', C: 1}}\ncentrifuge: {pool: {max_jobs: 010}}\n";
    let config = load_with(text, &[("V", "010")], &["server.env.c=true"]).unwrap().config;
    assert_eq!(config.server.command.argv, ["php", "8", "1", "010", "true"]);
    let expected =
        [("A", "010"), ("B", "010"), ("C", "true")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(config.server.env, expected);
    assert_eq!(config.pool.max_jobs, 8);
}

#[test]
fn a_command_is_split_at_blanks_outside_quotes() {
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
fn a_small_number_as_a_duration_is_seconds_and_causes_a_warning() {
    let keys = [
        "centrifuge.api_timeout",
        "centrifuge.max_connection_age",
        "centrifuge.pool.allocate_timeout",
        "centrifuge.pool.destroy_timeout",
        "centrifuge.pool.reset_timeout",
        "centrifuge.pool.stream_timeout",
        "centrifuge.pool.abandon_ttl",
        "centrifuge.pool.slow_after",
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
            load_with(&format!("{WITH_COMMAND}{begin}{key}: {value}\ncentrifuge.x: y\n"), env, &[]).unwrap()
        };
        let seconds = load("10s", &[]);
        for value in ["10", "'10'", "10.0", "\"10\""] {
            let loaded = load(value, &[]);
            assert_eq!(loaded.config, seconds.config, "{key}: {value}");
            let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
            let hint =
                format!("{key}: {0} is read as {0} seconds; write {0}s", value.trim_matches(['\'', '"']));
            assert!(said.iter().any(|said| said.ends_with(&hint)), "{said:?}");
        }
        let loaded = load("$T", &[("T", "10")]);
        assert_eq!(loaded.config, seconds.config, "{key}");
        let said: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
        assert!(said.iter().any(|said| said.contains("${T} has no unit and is read as seconds")), "{said:?}");
        assert_eq!(load("10000000000", &[]).config, seconds.config, "{key}");
        assert_eq!(load("10000000000", &[]).warnings.len(), seconds.warnings.len(), "{key}");
        let flag = format!("{key}=10");
        let text = format!("{WITH_COMMAND}{begin}centrifuge.x: y\n");
        assert_eq!(load_with(&text, &[], &[&flag]).unwrap().config, seconds.config, "{key}");
    }
}

#[test]
fn the_timeout_of_checks_is_in_seconds_with_and_without_a_unit() {
    for value in ["45", "45s", "'45'", "'45s'", "$T"] {
        let text = format!("{WITH_COMMAND}centrifuge: {{}}\nstatus: {{check_timeout: {value}}}\n");
        let loaded = load_with(&text, &[("T", "45")], &[]).unwrap();
        assert_eq!(loaded.config.status.unwrap().check_timeout, Duration::from_secs(45), "{value}");
        assert!(loaded.warnings.iter().all(|warning| !warning.to_string().contains("seconds")), "{value}");
    }
}

#[test]
fn a_duration_s_suggested_form_is_valid() {
    for (written, advice) in [("1_0", "write 10s"), ("1e1", "write 10s"), (".5", "write .5s")] {
        let text = format!("{WITH_COMMAND}centrifuge: {{pool: {{reset_timeout: {written}}}}}\n");
        let warnings = load_with(&text, &[], &[]).unwrap().warnings;
        assert!(warnings[0].to_string().ends_with(advice), "{}", warnings[0]);
    }
}

#[test]
fn numbers_and_truth_values_are_read_in_any_notation_of_yaml() {
    for number in ["16", "+16", "0x10", "0o20", "0b10000", "16.0", "1.6e1", "1_6", "'16'", "0X10"] {
        let text = format!("{WITH_COMMAND}centrifuge: {{pool: {{num_workers: {number}, debug: n}}}}\n");
        let config = load_with(&text, &[], &[]).unwrap().config;
        assert_eq!(config.pool.num_workers, 16, "{number}");
    }
    for number in ["1.5", "-1", "0x", "0x+1", "nan", "inf", "1e300", "one", "0x-1"] {
        let text = format!("{WITH_COMMAND}centrifuge: {{pool: {{num_workers: {number}}}}}\n");
        assert!(load_with(&text, &[], &[]).is_err(), "{number}");
    }
}

#[test]
fn a_umask_has_three_or_four_octal_digits() {
    let umask =
        |text: &str| load_with(&format!("{WITH_COMMAND}centrifuge: {{}}\nserver.umask: {text}\n"), &[], &[]);
    for text in ["0027", "027", "'0027'"] {
        assert_eq!(umask(text).unwrap().config.server.umask, Some(0o27), "{text}");
    }
    for text in ["27", "23", "+27", "0o27", "0028", "1777", "'00027'"] {
        let error = umask(text).unwrap_err();
        assert!(error.contains("server.umask: expected a umask of three or four octal digits"), "{error}");
    }
}
