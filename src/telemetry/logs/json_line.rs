//! Log lines that are JSON already: their level and fields are kept.
//!
//! These are the formats of Monolog (`level_name`), pino and bunyan (`level` as a number), zap and slog (`level`), Python's JSON
//! loggers (`levelname`; structlog has the message in `event`), Google's (`severity`), log15's (`lvl`) and Elastic's (`log.level`).

use serde_json::{Map, Value};
use tracing::Level;

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
    pub(super) fields: Map<String, Value>,
}

/// Parses a line that is a JSON object with a level and a message.
pub(super) fn parse(text: &str) -> Option<Line> {
    if !text.starts_with('{') {
        return None;
    }
    let mut fields: Map<String, Value> = serde_json::from_str(text).ok()?;
    let level = LEVELS.iter().find_map(|key| level(fields.get(*key)?))?;
    let message = match MESSAGES.iter().find_map(|key| fields.shift_remove(*key))? {
        Value::String(message) => message,
        other => other.to_string(),
    };
    for key in LEVELS {
        fields.shift_remove(key);
    }
    Some(Line { level, message, fields })
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
        parse(text).map(|line| (line.level, line.message, Value::Object(line.fields).to_string()))
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
    fn other_lines_are_plain_text() {
        for text in [
            "plain",
            "{",
            "{}",
            r#"{"level":"info"}"#,
            r#"{"msg":"x"}"#,
            r#"{"level":"loud","msg":"x"}"#,
            "[1]",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
