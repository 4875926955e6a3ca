use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tracing_subscriber::layer::SubscriberExt as _;

use super::line::{Line, Source};
use super::style::Style;
use super::worker_text::WorkerText;
use super::*;
use crate::compat::Compat;

/// How long the threads of the log may take to write everything.
const LONG: Duration = Duration::from_mins(1);

/// 2026-11-23T16:09:52 and some nanoseconds, UTC.
fn some_time() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_nanos(1_795_450_192_999_048_335)
}

fn written(
    channel: &Channel,
    terminal: bool,
    level: tracing::Level,
    message: &str,
    fields: &Value,
) -> String {
    let fields = fields.as_object().cloned().unwrap().into_iter().collect();
    let line = Line { time: some_time(), level, channel: "app", message, fields, source: None };
    Style::new(channel, Compat::V2025).write(line, terminal)
}

fn style(mode: Mode, encoding: Option<Encoding>) -> Channel {
    Channel { mode: Some(mode), encoding, ..Channel::default() }
}

#[test]
fn lines_match_roadrunner_in_every_mode_and_encoding() {
    use tracing::Level;
    let fields = json!({"user": "42", "note": "tab\there \"q\""});
    let cases = [
        (
            style(Mode::Development, None),
            "2026-11-23T16:09:52+0000\tINFO\tapp         \twith context\t{\"user\": \"42\", \"note\": \"tab\\there \\\"q\\\"\"}\n",
        ),
        (
            style(Mode::Production, None),
            "{\"level\":\"info\",\"ts\":1795450192999048335,\"logger\":\"app\",\"msg\":\"with context\",\"user\":\"42\",\"note\":\"tab\\there \\\"q\\\"\"}\n",
        ),
        (style(Mode::Raw, None), "with context\t{\"user\": \"42\", \"note\": \"tab\\there \\\"q\\\"\"}\n"),
        (
            style(Mode::Development, Some(Encoding::Json)),
            "{\"level\":\"INFO\",\"ts\":\"2026-11-23T16:09:52+0000\",\"logger\":\"app         \",\"msg\":\"with context\",\"user\":\"42\",\"note\":\"tab\\there \\\"q\\\"\"}\n",
        ),
        (
            style(Mode::Production, Some(Encoding::Console)),
            "1795450192999048335\tinfo\tapp\twith context\t{\"user\": \"42\", \"note\": \"tab\\there \\\"q\\\"\"}\n",
        ),
        (
            style(Mode::Raw, Some(Encoding::Json)),
            "{\"message\":\"with context\",\"user\":\"42\",\"note\":\"tab\\there \\\"q\\\"\"}\n",
        ),
        (
            Channel { file_logger_options: Some(File::default()), ..style(Mode::Development, None) },
            "{\"level\":\"INFO\",\"ts\":\"2026-11-23T16:09:52+0000\",\"logger\":\"app         \",\"msg\":\"with context\",\"user\":\"42\",\"note\":\"tab\\there \\\"q\\\"\"}\n",
        ),
    ];
    for (channel, expected) in cases {
        assert_eq!(written(&channel, false, Level::INFO, "with context", &fields), expected);
    }
}

#[test]
fn without_fields_nothing_follows_the_message_and_a_terminal_shows_colours() {
    use tracing::Level;
    let channel = style(Mode::Development, None);
    assert_eq!(
        written(&channel, true, Level::DEBUG, "x", &json!({})),
        "2026-11-23T16:09:52+0000\t\x1b[97mDEBUG\x1b[0m\t\x1b[92mapp         \x1b[0m\tx\n"
    );
}

/// Logs through a real subscriber into files of a temporary folder.
fn logged(config: &Config, log: impl FnOnce()) {
    logged_within(LONG, config, log);
}

fn logged_within(patience: Duration, config: &Config, log: impl FnOnce()) {
    let (layer, _console, guard) = layer::Layer::new(config).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    guard.finish(patience);
}

#[test]
fn channels_have_levels_and_outputs_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let mut config = Config {
        mode: Some(Mode::Raw),
        level: Some(Level::Warn),
        output: vec![path("all")],
        ..Config::default()
    };
    let own = Channel { level: Some(Level::Debug), output: vec![path("app")], ..Channel::default() };
    config.channels.insert("app".into(), own);
    logged(&config, || {
        tracing::info!(target: "server", "hidden");
        tracing::warn!(target: "server", pid = 7, "shown");
        tracing::debug!(target: "app", fields_json = r#"{"b":1,"a":[true]}"#, "of the app");
        tracing::info!(target: "h2", "of a library");
        tracing::error!(target: "h2::proto", "of a library too");
    });
    let read = |name: &str| std::fs::read_to_string(path(name)).unwrap();
    assert_eq!(read("all"), "shown\t{\"pid\": 7}\nof a library too\n");
    assert_eq!(read("app"), "of the app\t{\"b\": 1, \"a\": [true]}\n");
}

#[test]
fn mode_none_logs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config =
        Config { mode: Some(Mode::None), output: vec![path.display().to_string()], ..Config::default() };
    logged(&config, || tracing::error!(target: "server", "x"));
    assert!(!path.exists());
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_that_names_it() {
    let config = Config { output: vec!["/nonexistent/folder/log".into()], ..Config::default() };
    let error = layer::Layer::new(&config).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/folder/log"), "{error}");
}

#[test]
fn lines_of_many_threads_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config =
        Config { mode: Some(Mode::Raw), output: vec![path.display().to_string()], ..Config::default() };
    let (layer, _console, guard) = layer::Layer::new(&config).unwrap();
    let dispatch = tracing::Dispatch::new(tracing_subscriber::registry().with(layer));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            let dispatch = dispatch.clone();
            scope.spawn(move || {
                tracing::dispatcher::with_default(&dispatch, || {
                    for _ in 0..500 {
                        tracing::info!(target: "app", "{}", "x".repeat(200));
                    }
                });
            });
        }
    });
    guard.finish(LONG);
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count(), 4000);
    assert!(text.lines().all(|line| line.len() == 200));
}

/// One event of a worker's output, as `worker` logs it.
fn print(text: &[u8]) {
    tracing::error!(target: "server", pid = 7, stream = "stderr", worker_output = text);
}

/// Runs `log` with this `logs` section, and returns what was written.
fn text_of(section: &Value, log: impl FnOnce()) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let mut config: Config = serde_json::from_value(section.clone()).unwrap();
    config.output = vec![path.display().to_string()];
    logged(&config, log);
    std::fs::read(path).unwrap()
}

#[test]
fn raw_output_is_what_the_worker_printed_byte_for_byte() {
    let printed: &[u8] = b"{\"level\":\"error\",\"msg\":\"x\",\"n\":1}\n\n \ttrailing blanks \t \r\n\xff\xfe\0\x1b[31m\n{\"level\":\"debug\",\"msg\":\"y\"}\n";
    for section in [
        json!({"mode": "raw"}),
        json!({"mode": "raw", "level": "info"}),
        json!({"mode": "raw", "encoding": "console"}),
        json!({"encoding": "json", "mode": "production", "channels": {"server": {"mode": "raw"}}}),
        json!({"encoding": "json", "mode": "production", "level": "error", "channels": {"server": {"mode": "raw"}}}),
        json!({"mode": "none", "channels": {"server": {"mode": "raw", "level": "info"}}}),
    ] {
        let text = text_of(&section, || print(printed));
        assert_eq!(text, printed, "{section}: {}", String::from_utf8_lossy(&text));
        let unfinished = text_of(&section, || print(b"prompt> "));
        assert_eq!(unfinished, b"prompt> ", "{section}");
    }
}

#[test]
fn a_raw_channel_filters_by_level() {
    let printed = b"plain\n{\"level\":\"info\",\"msg\":\"x\"}\n{\"level\": 400, \"message\":\"y\"}\n";
    let text = text_of(&json!({"mode": "raw", "level": "error"}), || print(printed));
    assert_eq!(text, b"{\"level\": 400, \"message\":\"y\"}\n");
}

#[test]
fn raw_output_as_json_has_each_line_in_its_message() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let config = Config {
        mode: Some(Mode::Raw),
        encoding: Some(Encoding::Json),
        output: vec![path.display().to_string()],
        ..Config::default()
    };
    logged(&config, || print(b"{\"level\":\"error\",\"msg\":\"x\"}\none line\n"));
    let expected = r#"{"message":"{\"level\":\"error\",\"msg\":\"x\"}\n"}
{"message":"one line\n"}
"#;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn a_raw_channel_does_not_write_to_the_rotated_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = File { log_output: folder.path().join("rotated.log"), ..File::default() };
    let raw = Channel { mode: Some(Mode::Raw), ..Channel::default() };
    let config = Config {
        output: vec![folder.path().join("log").display().to_string()],
        file_logger_options: Some(file),
        channels: [("server".to_owned(), raw)].into(),
        ..Config::default()
    };
    logged(&config, || print(b"{\"n\": 1}\n"));
    assert_eq!(std::fs::read(folder.path().join("log")).unwrap(), b"{\"n\": 1}\n");
    assert_eq!(std::fs::read(folder.path().join("rotated.log")).unwrap(), b"");
}

#[test]
fn each_line_of_a_worker_is_one_entry_and_json_keeps_its_level_and_fields() {
    let printed = "plain \n\n{\"level\":\"error\",\"msg\":\"x\",\"n\":1}\n{\"level\":\"debug\",\"msg\":\"hidden\"}\nlast";
    let text = text_of(&json!({"mode": "production", "level": "info"}), || print(printed.as_bytes()));
    let mut lines = Vec::new();
    for line in String::from_utf8(text).unwrap().lines() {
        let mut line: Map<String, Value> = serde_json::from_str(line).unwrap();
        assert!(line.shift_remove("ts").unwrap().as_u64().unwrap() > 1_700_000_000_000_000_000);
        lines.push(Value::Object(line).to_string());
    }
    assert_eq!(
        lines,
        [
            r#"{"level":"info","logger":"server","msg":"plain","pid":7,"stream":"stderr"}"#,
            r#"{"level":"error","logger":"server","msg":"x","pid":7,"stream":"stderr","n":1}"#,
            r#"{"level":"info","logger":"server","msg":"last","pid":7,"stream":"stderr"}"#,
        ]
    );
}

#[test]
fn numbers_of_a_worker_are_logged_as_it_wrote_them() {
    let numbers = "[1.10,1E5,-0,123456789012345678901234567890,1e400,0.1000000000000000055]";
    let printed = format!("{{\"level\":\"error\",\"msg\":\"x\",\"n\":{numbers}}}\n");
    let json =
        String::from_utf8(text_of(&json!({"mode": "production"}), || print(printed.as_bytes()))).unwrap();
    assert!(json.ends_with(&format!(",\"n\":{numbers}}}\n")), "{json}");
    let console = text_of(&json!({"mode": "development"}), || print(printed.as_bytes()));
    let spaced = numbers.replace(',', ", ");
    let console = String::from_utf8(console).unwrap();
    assert!(console.ends_with(&format!(", \"n\": {spaced}}}\n")), "{console}");
}

#[test]
fn a_record_of_a_megabyte_is_one_entry_with_its_level() {
    let record = json!({"level": "warning", "message": "x".repeat(1_000_000), "n": 1}).to_string();
    let text = text_of(&json!({"mode": "production"}), || print(record.as_bytes()));
    let entry: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((&entry["level"], &entry["n"]), (&json!("warn"), &json!(1)));
    assert_eq!(entry["msg"].as_str().unwrap().len(), 1_000_000);
}

#[test]
fn no_text_can_forge_a_line() {
    let forged =
        "x\n2026-11-23T16:09:52+0000\tERROR\tserver\tforged\u{1b}[2J\0\r\u{85}\u{2028}\u{202e} \u{e4}\tC:\\";
    let escaped = "x\\n2026-11-23T16:09:52+0000\tERROR\tserver\tforged\\u001b[2J\\u0000\\r\\u0085\\u2028\\u202e \u{e4}\tC:\\";
    let fields = json!({"key\u{9b}": "\n\u{7f}\u{2066}\u{e4}"});
    let escaped_fields = "{\"key\\u009b\": \"\\n\\u007f\\u2066\u{e4}\"}";
    let plain =
        |mode, encoding| written(&style(mode, encoding), false, tracing::Level::INFO, forged, &fields);
    assert_eq!(
        plain(Mode::Development, None),
        format!("2026-11-23T16:09:52+0000\tINFO\tapp         \t{escaped}\t{escaped_fields}\n")
    );
    assert_eq!(
        plain(Mode::Production, Some(Encoding::Console)),
        format!("1795450192999048335\tinfo\tapp\t{escaped}\t{escaped_fields}\n")
    );
    assert!(plain(Mode::Raw, None).starts_with(forged), "raw is raw");
    assert_eq!(plain(Mode::Production, None).lines().count(), 1);
    let colourful = written(&style(Mode::Development, None), true, tracing::Level::INFO, forged, &fields);
    assert_eq!(colourful.matches('\u{1b}').count(), 4, "the log's own colours: {colourful:?}");
    let text = text_of(&json!({}), || print(b"\x1b[31mred\x1b[0m\rover\0\xff\n"));
    let text = String::from_utf8(text).unwrap();
    assert!(text.contains("\t\\u001b[31mred\\u001b[0m\\rover\\u0000\u{fffd}\t{\"pid\": 7"), "{text}");
}

#[test]
fn a_blocked_output_delays_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let (stuck, well) = (folder.path().join("stuck"), folder.path().join("well"));
    nix::unistd::mkfifo(&stuck, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Opened for reading, and never read.
    let reader = std::thread::spawn({
        let stuck = stuck.clone();
        move || std::fs::File::open(stuck).unwrap()
    });
    let config = Config {
        mode: Some(Mode::Raw),
        output: vec![stuck.display().to_string(), well.display().to_string()],
        ..Config::default()
    };
    let begun = std::time::Instant::now();
    logged_within(Duration::from_secs(5), &config, || {
        for n in 0..1000 {
            tracing::info!(target: "app", "{n} {}", "x".repeat(1000));
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert_eq!(std::fs::read_to_string(well).unwrap().lines().count(), 1000);
    drop(reader.join().unwrap());
}

#[test]
fn a_worker_s_line_has_the_trace_of_its_request_unless_it_names_one() {
    let text = WorkerText {
        time: std::time::SystemTime::UNIX_EPOCH,
        channel: "server",
        pid: 7,
        stream: "stderr".into(),
        trace_id: Some("aaaa".into()),
        text: b"plain\n{\"level\":\"info\",\"msg\":\"a\",\"trace_id\":\"bbbb\"}\n".to_vec(),
    };
    let (channel, limit) = (style(Mode::Production, None), tracing::level_filters::LevelFilter::DEBUG);
    let mut lines = Vec::new();
    text.write(&Style::new(&channel, Compat::V2025), limit, false, |line| {
        lines.push(String::from_utf8_lossy(line).into_owned());
    });
    assert!(lines[0].ends_with("\"pid\":7,\"stream\":\"stderr\",\"trace_id\":\"aaaa\"}\n"), "{}", lines[0]);
    assert!(lines[1].ends_with("\"pid\":7,\"stream\":\"stderr\",\"trace_id\":\"bbbb\"}\n"), "{}", lines[1]);
}

#[test]
fn a_field_of_a_worker_cannot_replace_one_of_the_line() {
    let channel = style(Mode::Production, None);
    let fields = json!({"logger": "evil", "ts": 5, "level": "debug", "msg": "m", "n": 1});
    let line = written(&channel, false, tracing::Level::ERROR, "x", &fields);
    assert!(line.starts_with(r#"{"level":"error","ts":"#), "{line}");
    let rest = r#""logger":"app","msg":"x","fields.logger":"evil","fields.ts":5,"fields.level":"debug","fields.msg":"m","n":1}"#;
    assert!(line.trim_end().ends_with(rest), "{line}");
    let text = WorkerText {
        time: std::time::SystemTime::UNIX_EPOCH,
        channel: "server",
        pid: 7,
        stream: "stderr".into(),
        trace_id: None,
        text: br#"{"level":"info","msg":"a","pid":1,"stream":"x","time":2}
{"level":"info","msg":"b","pid":7}
"#
        .to_vec(),
    };
    let mut lines = Vec::new();
    let limit = tracing::level_filters::LevelFilter::DEBUG;
    text.write(&Style::new(&channel, Compat::V2025), limit, false, |line| {
        lines.push(String::from_utf8_lossy(line).into_owned());
    });
    let rest = r#""pid":7,"stream":"stderr","fields.pid":1,"fields.stream":"x","time":2}"#;
    assert!(lines[0].trim_end().ends_with(rest), "{lines:?}");
    assert!(lines[1].trim_end().ends_with(r#""msg":"b","pid":7,"stream":"stderr"}"#), "{lines:?}");
}

#[test]
fn an_output_may_be_a_url() {
    let folder = tempfile::tempdir().unwrap();
    for (name, host) in [("a", ""), ("b", "localhost")] {
        let path = folder.path().join(name);
        let url = format!("file://{host}{}", path.display());
        let config = Config { mode: Some(Mode::Raw), output: vec![url], ..Config::default() };
        logged(&config, || print(b"x\n"));
        assert_eq!(std::fs::read(&path).unwrap(), b"x\n", "{name}");
    }
}

/// A line of each mode and format, as [`written`], under RoadRunner 3.
fn written_under_3(section: &Value, message: &str, fields: &Value) -> String {
    let mut section = section.clone();
    section["mode"] = section.get("mode").cloned().unwrap_or("development".into());
    let channel: Channel = serde_json::from_value(section).unwrap();
    let fields = fields.as_object().cloned().unwrap().into_iter().collect();
    let source = Some(Source { file: "src/app.rs", line: 7, module: "causeway::app" });
    let line =
        Line { time: some_time(), level: tracing::Level::INFO, channel: "server", message, fields, source };
    Style::new(&channel, Compat::V3).write(line, true)
}

/// The time of [`some_time`] in the machine's zone, which the tests do not choose.
fn local(layout: &str) -> String {
    go_time::Layout::local(layout).text(some_time())
}

#[test]
fn lines_match_roadrunner_3_in_every_mode_and_format() {
    let fields =
        json!({"timeout": 60, "note": "tab\there \"q\"", "error": null, "pids": [1, 2], "empty": ""});
    let nanoseconds = local("2006-01-02T15:04:05.999999999Z07:00");
    let milliseconds = local("2006-01-02T15:04:05.000Z07:00");
    let seconds = local("2006-01-02T15:04:05Z07:00");
    let attributes = "timeout=60 note=tab\there \"q\" error=<nil> pids=[1,2] empty=";
    let message = "destroy <signal> received";
    for (section, expected) in [
        (
            json!({"mode": "production"}),
            format!(
                "{{\"time\":\"{nanoseconds}\",\"level\":\"INFO\",\"msg\":\"{message}\",\"logger\":\"server\",\"timeout\":60,\"note\":\"tab\\there \\\"q\\\"\",\"error\":null,\"pids\":[1,2],\"empty\":\"\"}}\n"
            ),
        ),
        (
            json!({"mode": "development"}),
            format!(
                "time={milliseconds} level=INFO msg=\"{message}\" logger=server timeout=60 note=\"tab\\there \\\"q\\\"\" error=<nil> pids=[1,2] empty=\"\"\n"
            ),
        ),
        (json!({"mode": "nonsense"}), String::new()),
        (json!({"mode": "raw"}), format!("{message}\n")),
        (
            json!({"mode": "raw", "format": "%time% [%level%] %logger% %message% %attrs%"}),
            format!("{seconds} [INFO] server {message} {attributes}\n"),
        ),
        (
            json!({"format": "%message%|%attrs%|%nope%|100%", "line_ending": "\r\n"}),
            format!("{message}|logger=server {attributes}|%nope%|100%\r\n"),
        ),
        (
            json!({"format": "%time% %source_file%:%source_line% %source_func%", "time_format": "Jan _2 15:04:05.000", "skip_line_ending": true}),
            format!("{} src/app.rs:7 causeway::app", local("Jan _2 15:04:05.000")),
        ),
        // An encoding, a file's options and a line ending without a format have no effect.
        (
            json!({"mode": "raw", "encoding": "json", "line_ending": "\r\n", "file_logger_options": {}}),
            format!("{message}\n"),
        ),
    ] {
        let written = written_under_3(&section, message, &fields);
        if section["mode"] == "nonsense" {
            assert!(written.starts_with("time="), "{written}");
        } else {
            assert_eq!(written, expected, "{section}");
        }
    }
    assert_eq!(written_under_3(&json!({"mode": "raw"}), "ends\n", &fields), "ends\n");
}

#[test]
fn no_text_can_forge_a_line_of_roadrunner_3_either() {
    let forged = "x\n{\"level\":\"ERROR\"}\u{1b}[2J\0\r\u{85}\u{2028}\u{202e}";
    let fields = json!({"key\u{9b}\n": "\n\u{7f}\u{2066}"});
    for section in [
        json!({"mode": "production"}),
        json!({"mode": "development"}),
        json!({"format": "%message% %attrs%"}),
    ] {
        let line = written_under_3(&section, forged, &fields);
        let line = line.strip_suffix('\n').unwrap();
        assert!(!line.contains(escape::is_control), "{section}: {line:?}");
    }
}

#[test]
fn a_format_is_understood_under_roadrunner_2025_too() {
    let text = text_of(&json!({"format": "%level% %logger% %message%"}), || print(b"a\nb\n"));
    assert_eq!(String::from_utf8(text).unwrap(), "INFO server a\nINFO server b\n");
    // A channel with a mode of its own does not inherit it.
    let section = json!({"format": "%message%!", "channels": {"server": {"mode": "raw"}}});
    assert_eq!(text_of(&section, || print(b"a\n")), b"a\n");
}

#[test]
fn a_channel_of_roadrunner_3_inherits_nothing() {
    let section = json!({
        "mode": "production", "level": "error", "format": "%message%", "output": ["stdout"],
        "channels": {"app": {}, "rpc": {"level": "panic", "output": ["a", "b"]}},
    });
    let mut config: Config = serde_json::from_value(section).unwrap();
    let outputs = |config: &Config, name: &str| {
        config.keys(name).iter().map(|(_, output)| output.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(config.channel("app").format.as_deref(), Some("%message%"));
    assert_eq!(config.channel("rpc").level, Some(Level::Error));
    config.compat = Compat::V3;
    assert_eq!(config.channel("app"), Channel::default());
    assert_eq!(config.channel("rpc").level, Some(Level::Debug));
    assert_eq!(outputs(&config, "app"), Vec::<String>::new(), "standard error");
    assert_eq!(outputs(&config, "rpc"), ["a", "b"]);
    assert_eq!(config.channel("server").mode, Some(Mode::Production));
    assert_eq!(config.channel("server").level, Some(Level::Error));
    assert_eq!(outputs(&config, "server"), ["stdout"]);
}

#[test]
fn the_output_of_workers_has_the_form_of_roadrunner_3() {
    let folder = tempfile::tempdir().unwrap();
    let text = |mode: &str| {
        let path = folder.path().join(mode).display().to_string();
        let mut config: Config = serde_json::from_value(json!({"mode": mode, "output": [path]})).unwrap();
        config.compat = Compat::V3;
        logged(&config, || print(b"plain text\n{\"level\":\"error\",\"msg\":\"x\",\"n\":1}\n"));
        std::fs::read_to_string(&path).unwrap()
    };
    assert_eq!(text("raw"), "plain text\n{\"level\":\"error\",\"msg\":\"x\",\"n\":1}\n");
    let development = text("development");
    let behind_time: Vec<_> =
        development.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect();
    assert_eq!(
        behind_time,
        [
            "level=INFO msg=\"plain text\" logger=server pid=7 stream=stderr",
            "level=ERROR msg=x logger=server pid=7 stream=stderr n=1"
        ]
    );
    let production = text("production");
    let last: Value = serde_json::from_str(production.lines().last().unwrap()).unwrap();
    assert_eq!((&last["level"], &last["msg"], &last["n"]), (&json!("ERROR"), &json!("x"), &json!(1)));
}
