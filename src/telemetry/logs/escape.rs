//! Escapes text, so that it can neither begin a line nor move a cursor.

use std::fmt::Write as _;

/// Appends `text` with its control characters escaped (`\n`, `\u001b`): C0 except for the tab, which RoadRunner's lines contain as well,
/// DEL, C1, Unicode's line separators and bidirectional controls. Everything else stays as it is, backslashes too.
pub(super) fn push(out: &mut String, text: &str) {
    let mut rest = text;
    while let Some(at) = rest.find(is_control) {
        out.push_str(&rest[..at]);
        let mut after = rest[at..].chars();
        match after.next() {
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some(control) => drop(write!(out, "\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = after.as_str();
    }
    out.push_str(rest);
}

/// Whether a character is escaped.
pub(super) fn is_control(character: char) -> bool {
    match character {
        '\t' => false,
        '\u{61c}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'
        | '\u{2029}'
        | '\u{202a}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

/// Escapes the same characters in JSON, which lets most of them stand in its strings.
pub(super) fn json(text: String) -> String {
    // Between the strings there are no control characters, and in them no newline or tab.
    if !text.contains(is_control) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    push(&mut out, &text);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_control_characters_are_escaped() {
        for (text, expected) in [
            ("plain äöü 漢字 🎉 App\\Kernel \"q\"\ttab", "plain äöü 漢字 🎉 App\\Kernel \"q\"\ttab"),
            ("a\nb\r\nc", "a\\nb\\r\\nc"),
            ("\u{1b}[31mred\u{1b}[0m", "\\u001b[31mred\\u001b[0m"),
            ("\0\u{7}\u{8}\u{7f}", "\\u0000\\u0007\\u0008\\u007f"),
            ("\u{85}\u{9b}2J", "\\u0085\\u009b2J"),
            ("\u{2028}\u{2029}\u{202e}\u{2066}", "\\u2028\\u2029\\u202e\\u2066"),
            ("\u{61c}\u{200e}\u{200f}", "\\u061c\\u200e\\u200f"),
            ("\u{a0}\u{200d}\u{feff}", "\u{a0}\u{200d}\u{feff}"),
            ("", ""),
        ] {
            let mut out = String::new();
            push(&mut out, text);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn json_means_the_same_with_its_control_characters_escaped() {
        let text = "\u{7f}\u{85}\u{9b}2J\u{2028}\u{202e}\u{200f}\t\n\"\\ ä";
        let plain = serde_json::Value::from(text).to_string();
        let escaped = json(plain.clone());
        assert!(
            !escaped.contains(|c: char| c.is_control() || "\u{2028}\u{202e}\u{200f}".contains(c)),
            "{escaped}"
        );
        assert_eq!(serde_json::from_str::<String>(&escaped).unwrap(), text);
        assert_eq!(json("{\"ä\":1}".into()), "{\"ä\":1}");
    }
}
