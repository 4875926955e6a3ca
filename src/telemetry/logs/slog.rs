//! Lines of RoadRunner 3 in modes production and development: those of the handlers of Go's package `log/slog`.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Map;

use super::escape;
use super::go_time::Layout;
use super::line::Line;

/// How lines are written.
#[derive(Debug, Clone)]
pub(super) enum Slog {
    /// As `slog.JSONHandler`.
    Json(Layout),
    /// As `slog.TextHandler`.
    Text(Layout),
}

impl Slog {
    pub(super) fn json() -> Self {
        Self::Json(Layout::local("2006-01-02T15:04:05.999999999Z07:00"))
    }

    pub(super) fn text() -> Self {
        Self::Text(Layout::local("2006-01-02T15:04:05.000Z07:00"))
    }

    /// Formats the line, without a line ending.
    pub(super) fn write(&self, line: Line<'_>) -> String {
        match self {
            Self::Json(layout) => escape::json(json(line, layout)),
            Self::Text(layout) => text(&line, layout),
        }
    }
}

fn json(line: Line<'_>, layout: &Layout) -> String {
    let mut object = Map::new();
    object.insert("time".into(), layout.text(line.time).into());
    object.insert("level".into(), line.level.as_str().into());
    object.insert("msg".into(), line.message.into());
    object.insert("logger".into(), line.channel.into());
    line.fields.behind(object)
}

fn text(line: &Line<'_>, layout: &Layout) -> String {
    let mut out = format!("time={} level={} msg=", layout.text(line.time), line.level);
    out.push_str(&quoted_if_needed(line.message));
    out.push_str(" logger=");
    out.push_str(&quoted_if_needed(line.channel));
    for (name, value) in line.fields.texts() {
        out.push(' ');
        out.push_str(&quoted_if_needed(name));
        out.push('=');
        out.push_str(&quoted_if_needed(&value));
    }
    out
}

/// The text as `TextHandler` writes keys and values: quoted if it is empty or could be misread.
fn quoted_if_needed(text: &str) -> Cow<'_, str> {
    let is_safe =
        |c: char| is_print(c) && !c.is_whitespace() && !matches!(c, '=' | '"' | char::REPLACEMENT_CHARACTER);
    if !text.is_empty() && text.chars().all(is_safe) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        let _ = match c {
            '"' | '\\' => write!(out, "\\{c}"),
            '\u{7}' => out.write_str("\\a"),
            '\u{8}' => out.write_str("\\b"),
            '\u{b}' => out.write_str("\\v"),
            '\u{c}' => out.write_str("\\f"),
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if is_print(c) => out.write_char(c),
            c if u32::from(c) < 0x80 => write!(out, "\\x{:02x}", u32::from(c)),
            c if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)),
            c => write!(out, "\\U{:08x}", u32::from(c)),
        };
    }
    out.push('"');
    out.into()
}

/// Whether Go prints a character as it is, as nearly as can be said without its tables: no control or format character, no blank but the
/// ordinary one, none for private use.
fn is_print(c: char) -> bool {
    match c {
        ' ' => true,
        '\t'
        | '\u{ad}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}' => false,
        c => !c.is_whitespace() && !escape::is_control(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_could_be_misread_are_quoted_as_go_quotes_them() {
        for (text, expected) in [
            ("plain", "plain"),
            ("App\\Kernel", "App\\Kernel"),
            ("\u{e4}\u{6f22}\u{1f389}", "\u{e4}\u{6f22}\u{1f389}"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("a=b", "\"a=b\""),
            ("say \"x\" \\", "\"say \\\"x\\\" \\\\\""),
            ("l\n\r\t\u{b}\u{c}\u{7}\u{8}", "\"l\\n\\r\\t\\v\\f\\a\\b\""),
            ("\0\u{1b}[2J\u{7f}", "\"\\x00\\x1b[2J\\x7f\""),
            ("\u{85}\u{2028}\u{202e}\u{a0}\u{feff}", "\"\\u0085\\u2028\\u202e\\u00a0\\ufeff\""),
            ("\u{fffd}", "\"\u{fffd}\""),
            ("\u{e0001}", "\"\\U000e0001\""),
        ] {
            assert_eq!(quoted_if_needed(text), expected);
        }
    }
}
