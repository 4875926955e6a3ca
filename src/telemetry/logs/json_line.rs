//! Log lines that are JSON already: their level and fields are kept.
//!
//! These are the formats of Monolog (`level_name`), pino and bunyan (`level` as a number), zap and slog (`level`), Python's JSON
//! loggers (`levelname`; structlog has the message in `event`), Google's (`severity`), log15's (`lvl`) and Elastic's (`log.level`).

use serde_json::Value;
use tracing::Level;

use super::fields::Fields;

/// Keys of the level; the first one found counts.
const LEVELS: [&str; 6] = ["level_name", "levelname", "severity", "log.level", "level", "lvl"];

/// Keys of the message; the first one found counts.
const MESSAGES: [&str; 3] = ["message", "msg", "event"];

/// A line with a level of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) message: String,
    /// The other fields.
    pub(super) fields: Fields,
}

/// Parses a line that is a JSON object with a level. Without a message, or if only its level can be read, the message is the whole line.
pub(super) fn parse(text: &str) -> Option<Line> {
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    if !text.starts_with('{') {
        return None;
    }
    let whole = |level| Line { level, message: text.to_owned(), fields: Fields::default() };
    let Some(mut fields) = Fields::parse(text) else {
        return LEVELS.iter().find_map(|key| level_in(text, key)).map(whole);
    };
    let values = LEVELS.iter().filter_map(|key| serde_json::from_str::<Value>(fields.get(key)?).ok());
    let (is_named, level) = values.into_iter().find_map(|value| Some((value.is_string(), level(&value)?)))?;
    let Some(message) = MESSAGES.iter().find_map(|key| fields.remove(key)) else {
        // A number may be the level of anything.
        return is_named.then(|| whole(level));
    };
    let message = serde_json::from_str(&message).unwrap_or(message);
    for key in LEVELS {
        fields.remove(key);
    }
    Some(Line { level, message, fields })
}

/// The level by name of an object that cannot be parsed: it has half a character, or is deeply nested.
fn level_in(text: &str, key: &str) -> Option<Level> {
    let quoted = format!("\"{key}\"");
    let value = text.ends_with('}').then(|| text.split_once(&quoted)).flatten()?.1;
    let name = value.trim_start().strip_prefix(':')?.trim_start().strip_prefix('"')?.split_once('"')?.0;
    level(&name.into())
}

fn level(value: &Value) -> Option<Level> {
    match value {
        Value::String(name) => match name.to_ascii_lowercase().as_str() {
            "trace" | "debug" => Some(Level::DEBUG),
            "info" | "notice" | "default" => Some(Level::INFO),
            "warn" | "warning" => Some(Level::WARN),
            "error" | "err" | "critical" | "crit" | "alert" | "emergency" | "emerg" | "fatal" | "panic"
            | "dpanic" => Some(Level::ERROR),
            _ => None,
        },
        // pino and bunyan count in tens; Monolog counts in hundreds, and has a name as well.
        Value::Number(number) => match number.as_u64()? {
            0..=20 | 100 => Some(Level::DEBUG),
            21..=30 | 200 | 250 => Some(Level::INFO),
            31..=40 | 300 => Some(Level::WARN),
            _ => Some(Level::ERROR),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Level, String, String)> {
        parse(text).map(|line| (line.level, line.message, format!("{{{}}}", line.fields.write(false))))
    }

    #[test]
    fn monolog_and_pino_and_zap_lines_keep_their_level_and_fields() {
        let monolog =
            r#"{"message":"slow","context":{"ms":9},"level":300,"level_name":"WARNING","channel":"app"}"#;
        let fields = r#"{"context":{"ms":9},"channel":"app"}"#;
        assert_eq!(read(monolog), Some((Level::WARN, "slow".into(), fields.into())));
        assert_eq!(read(r#"{"level":50,"msg":"x"}"#), Some((Level::ERROR, "x".into(), "{}".into())));
        assert_eq!(
            read(r#"{"level":"debug","msg":"x","n":1}"#),
            Some((Level::DEBUG, "x".into(), r#"{"n":1}"#.into()))
        );
    }

    #[test]
    fn lines_of_other_loggers_keep_their_level() {
        for line in [
            r#"{"event":"x","level":"error","timestamp":"t"}"#,
            r#"{"@timestamp":"t","log.level":"ERROR","message":"x"}"#,
            r#"{"lvl":"crit","msg":"x"}"#,
            r#"{"asctime":"t","levelname":"ERROR","message":"x"}"#,
        ] {
            let (level, message, _) = read(line).unwrap();
            assert_eq!((level, message.as_str()), (Level::ERROR, "x"), "{line}");
        }
    }

    #[test]
    fn a_line_keeps_its_level_whatever_else_it_has() {
        let deep = format!(r#"{{"level":"error","msg":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        for line in
            [r#"{"msg":"\ud800", "level" : "error"}"#, r#"{"level":"error","error":"x"}"#, deep.as_str()]
        {
            assert_eq!(read(line), Some((Level::ERROR, line.into(), "{}".into())), "{line}");
        }
        for line in ["  {\"level\":\"error\",\"msg\":\"x\"}", "\u{feff}{\"level\":\"error\",\"msg\":\"x\"}"] {
            assert_eq!(read(line), Some((Level::ERROR, "x".into(), "{}".into())), "{line}");
        }
        assert_eq!(read(r#"{"level":"error","msg":"\ud800""#), None);
        let large = r#"{"level":"error","n":1e400,"msg":"x"}"#;
        assert_eq!(read(large), Some((Level::ERROR, "x".into(), r#"{"n":1e400}"#.into())));
    }

    #[test]
    fn other_lines_are_plain_text() {
        for text in [
            "plain",
            "{",
            "{}",
            r#"{"level":50,"player":"x"}"#,
            r#"{"msg":"x"}"#,
            r#"{"level":"loud","msg":"x"}"#,
            "[1]",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
