//! Which RoadRunner a configuration is read for, and what the other one would make of it.

use super::*;

#[test]
fn the_file_names_the_roadrunner_then_the_environment_and_flags_win() {
    let read = |text: &str, env: &[(&str, &str)], flags: &[&str]| {
        load_with(text, env, flags).map(|loaded| (loaded.config.compat, loaded.migration.source))
    };
    let three = format!("{LEAST}causeway: {{compat: 3}}\n");
    let old = format!("{LEAST}causeway.compat: '${{NOPE:-2025}}'\n");
    let variable = [("CAUSEWAY_COMPAT", "3")];
    assert_eq!(read(LEAST, &[], &[]), Ok((Compat::V2025, "default")));
    assert_eq!(read(LEAST, &variable, &[]), Ok((Compat::V3, "CAUSEWAY_COMPAT")));
    assert_eq!(read(&three, &[], &[]), Ok((Compat::V3, "causeway.compat")));
    assert_eq!(read(&old, &variable, &[]), Ok((Compat::V2025, "causeway.compat")));
    assert_eq!(read(&three, &variable, &["causeway.compat=2025"]), Ok((Compat::V2025, "causeway.compat")));
    assert_eq!(read(LEAST, &[("CAUSEWAY_COMPAT", "")], &[]), Ok((Compat::V2025, "default")));
    let wrong = read(LEAST, &[("CAUSEWAY_COMPAT", "4")], &[]).unwrap_err();
    assert_eq!(wrong, "CAUSEWAY_COMPAT: expected 2025 or 3");
    assert_eq!(
        error(&format!("{LEAST}causeway: {{compat: '2024', compatt: 3}}\n")),
        "4: causeway.compat: expected 2025 or 3, found \"2024\"\nwarning: 4: causeway.compatt: unknown key; did you mean `compat`?"
    );
}

#[test]
fn an_included_file_cannot_choose_the_roadrunner() {
    let (_folder, sources) = folder(&[
        (".rr.yaml", &format!("{LEAST}include: [more.yaml]\n")),
        ("more.yaml", "version: '3'\ncauseway: {compat: 3}\n"),
    ]);
    let loaded = load(&sources).unwrap();
    assert_eq!(loaded.config.compat, Compat::V2025);
    let warning = loaded.warnings[0].to_string();
    assert!(warning.contains("causeway: has no effect in an included file"), "{warning}");
}

#[test]
fn included_files_and_flags_win_over_each_other_depending_on_the_roadrunner() {
    for (compat, workers, warnings) in [("2025", 5, 0), ("3", 7, 1)] {
        let (_folder, mut sources) = folder(&[
            (".rr.yaml", &format!("{LEAST}include: [more.yaml]\n")),
            ("more.yaml", "version: '3'\ncentrifuge: {pool: {num_workers: 7, max_jobs: 4}}\n"),
        ]);
        sources.overrides = [
            &format!("causeway.compat={compat}"),
            "centrifuge.pool.num_workers=5",
            "centrifuge.pool.max_jobs=4",
        ]
        .map(String::from)
        .to_vec();
        let loaded = load(&sources).unwrap();
        assert_eq!(loaded.config.pool.num_workers, workers);
        assert_eq!(loaded.warnings.len(), warnings, "{:?}", loaded.warnings);
        for warning in &loaded.warnings {
            let warning = warning.to_string();
            assert!(
                warning.starts_with("-o centrifuge.pool.num_workers: has no effect: ")
                    && warning.contains("more.yaml:2 sets it"),
                "{warning}"
            );
        }
    }
}

#[test]
fn an_allocator_has_the_limits_of_its_roadrunner() {
    let read = |compat: &str, allocator: &str| {
        let text = format!(
            "{WITH_COMMAND}causeway.compat: {compat}\ncentrifuge.pool:\n  num_workers: 48\n  dynamic_allocator: {{{allocator}}}\n"
        );
        let loaded = load_text(&text).unwrap();
        let warnings: Vec<String> = loaded
            .warnings
            .iter()
            .map(|warning| warning.to_string().split_once("allocator.").unwrap().1.to_owned())
            .collect();
        let allocator = loaded.config.pool.dynamic_allocator.unwrap();
        (allocator.max_workers, allocator.spawn_rate, allocator.idle_timeout.as_millis(), warnings)
    };
    let (all, none) = ("max_workers: 2001, spawn_rate: 101, idle_timeout: 999ms", Vec::<String>::new());
    let clipped = |key: &str, most: u32| format!("{key}: is read as {most}, which is RoadRunner's limit");
    assert_eq!(
        read("2025", all),
        (100, 100, 999, vec![clipped("max_workers", 100), clipped("spawn_rate", 100)])
    );
    let short = "idle_timeout: is read as 1m, as in RoadRunner 3: it is less than 1s".to_owned();
    assert_eq!(
        read("3", all),
        (2000, 100, 60_000, vec![clipped("max_workers", 2000), clipped("spawn_rate", 100), short])
    );
    let most = "max_workers: 100, spawn_rate: 100, idle_timeout: 1s";
    for compat in ["2025", "3"] {
        assert_eq!(read(compat, most), (100, 100, 1000, none.clone()));
    }
}

#[test]
fn roadrunner_3_refuses_what_it_cannot_do() {
    let three = format!("{LEAST}causeway.compat: 3\n");
    assert_eq!(
        error(&format!("{three}otel: {{exporter: zipkin}}\n")),
        "5: otel.exporter: zipkin exporter is deprecated, use OTLP instead"
    );
    let refused = inspected("causeway.compat: 3\nlock: {}\n").unwrap_err().to_string();
    assert!(refused.ends_with(":5: lock.driver: unsupported lock driver: \"\"; expected memory or redis"));
    assert_eq!(warnings(&format!("{three}lock: {{driver: memory}}\n")), Vec::<String>::new());
    assert_eq!(warnings(&format!("{LEAST}lock: {{}}\n")), Vec::<String>::new());
    let known = warnings(&format!("{three}nsq: {{}}\nrate_limiter: {{}}\nzstd: {{}}\nprotoreg: {{}}\n"));
    assert_eq!(
        known,
        ["5: sections of RoadRunner plugins that are not supported: nsq, rate_limiter, zstd, protoreg"]
    );
}

/// What the other RoadRunner makes of a file, without the file's name.
fn notes(text: &str) -> Vec<String> {
    let loaded = load_text(text).unwrap();
    let shown = |note: &Problem| note.to_string().split_once(".rr.yaml:").unwrap().1.to_owned();
    loaded.migration.notes.iter().map(shown).collect()
}

const OLD: &str = "version: '3'
server: {command: php app.php}
centrifuge: {pool: {num_workers: 8, dynamic_allocator: {max_workers: 200}}}
lock: {}
otel: {exporter: zipkin}
logs:
  mode: production
  level: panic
  encoding: console
  line_ending: \"\\r\\n\"
  err_output: [stderr]
  file_logger_options: {log_output: app.log}
  channels:
    app: {level: info, encoding: json}
";

#[test]
fn check_lists_what_moving_to_roadrunner_3_changes() {
    assert_eq!(notes(LEAST), Vec::<String>::new());
    insta::assert_snapshot!(notes(OLD).join("\n"), @r"
    3: centrifuge.pool.dynamic_allocator.max_workers: is 200, and not 100
    4: lock: is refused without a driver: add driver: memory
    5: otel.exporter: zipkin is refused: use otlp
    7: logs.mode: lines are Go's slog in JSON: time, level, msg, logger, then the fields
    8: logs.level: is read as debug
    9: logs.encoding: has no effect: mode production is JSON, other modes are text, and `format` makes lines of any form
    10: logs.line_ending: has no effect without `format`
    11: logs.err_output: has no effect: the log's own errors go to standard error
    12: logs.file_logger_options: has no effect: lines go to `output`, and files are not rotated: use logrotate
    14: logs.channels.app.encoding: has no effect: mode production is JSON, other modes are text, and `format` makes lines of any form
    14: logs.channels.app: inherits nothing from logs: it would lose mode, line_ending
    ");
}

const NEW: &str = "version: '3'
causeway: {compat: 3}
server: {command: php app.php}
centrifuge: {pool: {num_workers: 8, dynamic_allocator: {max_workers: 200}}}
logs:
  mode: production
  encoding: console
  output: [stdout]
  channels:
    app: {level: info, format: '%message%', skip_line_ending: true}
";

#[test]
fn check_lists_what_moving_back_changes() {
    insta::assert_snapshot!(notes(NEW).join("\n"), @r"
    4: centrifuge.pool.dynamic_allocator.max_workers: is 100, and not 200
    6: logs.mode: lines have the form of zap
    7: logs.encoding: has its effect
    10: logs.channels.app: inherits from logs what it does not set
    10: logs.channels.app.format: is understood here too, but RoadRunner 2025 ignores it
    10: logs.channels.app.skip_line_ending: is understood here too, but RoadRunner 2025 ignores it
    ");
}
