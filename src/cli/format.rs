//! Numbers and texts, formatted for people.

use std::fmt::Write as _;
use std::time::Duration;

/// Bytes as in RoadRunner's tables: decimal units, one decimal below ten.
pub(super) fn bytes(bytes: u64) -> String {
    let mut unit = "B";
    // In tenths, to avoid floating point; rounded at each step.
    let mut tenths = u128::from(bytes) * 10;
    for larger in ["kB", "MB", "GB", "TB", "PB", "EB"] {
        if tenths < 9_995 {
            break;
        }
        tenths = (tenths + 500) / 1000;
        unit = larger;
    }
    if unit == "B" || tenths >= 100 {
        format!("{} {unit}", (tenths + 5) / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// An age in its two largest units: `45s`, `3m 20s`, `2d 5h`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A short time, given in seconds: `850 µs`, `1.2 ms`, `34 ms`, `1.5 s`.
pub(super) fn latency(seconds: f64) -> String {
    let (number, unit) = match seconds {
        _ if seconds < 0.001 => (seconds * 1e6, "µs"),
        _ if seconds < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    if number < 10.0 && unit != "µs" { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

/// A count with thousands separators: `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A peer's text for one line of a terminal: characters that control it become blanks.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if controls(c) { ' ' } else { c }).collect()
}

/// A peer's text for a terminal: characters that control it, other than newlines and tabs, become blanks.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|c| if controls(c) && !"\n\t".contains(c) { ' ' } else { c }).collect()
}

/// A peer's JSON for a terminal: characters that control it become escapes. Newlines are between its values.
pub(super) fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if controls(c) && c != '\n' {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    out
}

/// Whether a character may move a terminal's cursor, begin a line, or change the direction of writing.
fn controls(c: char) -> bool {
    let is_bidi =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_bidi || matches!(c, '\u{2028}' | '\u{2029}') || c.is_control()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_as_roadrunner_does() {
        for (number, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_463_000, "1.5 MB"),
            (9_949_000, "9.9 MB"),
            (9_960_000, "10 MB"),
            (26_000_000, "26 MB"),
            (999_400_000, "999 MB"),
            (999_600_000, "1.0 GB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(bytes(number), text, "{number}");
        }
    }

    #[test]
    fn ages_have_two_units() {
        for (seconds, text) in
            [(0, "0s"), (59, "59s"), (200, "3m 20s"), (7265, "2h 1m"), (86400 * 2 + 5 * 3600, "2d 5h")]
        {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn latencies_have_the_unit_that_fits() {
        for (seconds, text) in [
            (0.0, "0 µs"),
            (0.00085, "850 µs"),
            (0.0012, "1.2 ms"),
            (0.034, "34 ms"),
            (1.5, "1.5 s"),
            (61.0, "61 s"),
        ] {
            assert_eq!(latency(seconds), text);
        }
    }

    #[test]
    fn thousands_are_set_apart_and_control_characters_are_blanks() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(one_line("php\u{1b}[2J app\n"), "php [2J app ");
        assert_eq!(plain("php\u{1b}[2J\n\tapp\r"), "php [2J\n\tapp ");
        assert_eq!(one_line("a\u{202e}b\u{200f}c\u{2028}d\u{9b}"), "a b c d ");
        assert_eq!(json("{\n  \"a\u{9b}2J\u{202e}\": 1\n}"), "{\n  \"a\\u009b2J\\u202e\": 1\n}");
    }
}
