use std::time::{Duration, SystemTime};

use serde_json::{Map, Value, json};
use tracing_subscriber::layer::SubscriberExt as _;

use super::style::{Line, Style};
use super::*;

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
    let fields: Map<String, Value> = fields.as_object().cloned().unwrap();
    let line = Line { time: some_time(), level, channel: "app", message, fields: &fields };
    Style::new(channel).write(&line, terminal)
}

fn style(mode: Mode, encoding: Option<Encoding>) -> Channel {
    Channel { mode: Some(mode), encoding, ..Channel::default() }
}

#[test]
fn lines_are_those_of_roadrunner_in_every_mode_and_encoding() {
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
    ];
    for (channel, expected) in cases {
        assert_eq!(written(&channel, false, Level::INFO, "with context", &fields), expected);
    }
}

#[test]
fn without_fields_nothing_follows_the_message_and_a_terminal_has_colours() {
    use tracing::Level;
    let channel = style(Mode::Development, None);
    assert_eq!(
        written(&channel, true, Level::DEBUG, "x", &json!({})),
        "2026-11-23T16:09:52+0000\t\x1b[97mDEBUG\x1b[0m\t\x1b[92mapp         \x1b[0m\tx\n"
    );
}

/// Logs through a real subscriber into files of a temporary folder.
fn logged(config: &Config, log: impl FnOnce()) {
    let (layer, guard) = layer::Layer::new(config).unwrap();
    tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
    drop(guard);
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
fn nothing_is_logged_in_mode_none() {
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
    let (layer, guard) = layer::Layer::new(&config).unwrap();
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
    drop(guard);
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count(), 4000);
    assert!(text.lines().all(|line| line.len() == 200));
}
