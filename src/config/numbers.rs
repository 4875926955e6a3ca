//! Whole numbers and truth values in every notation of YAML and JSON.

use std::str::FromStr;

/// Reads a number: as Rust writes it, with `_` between digits, or as another notation of a whole number.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim().replace('_', "");
    // YAML's infinity is Rust's with a dot.
    let text = if text.to_ascii_lowercase().ends_with(".inf") { text.replace('.', "") } else { text };
    octal(&text).or_else(|| text.parse().ok()).or_else(|| whole(&text)?.to_string().parse().ok())
}

/// Reads a number that begins with a zero, which is octal in Go and YAML.
fn octal<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix('0').filter(|digits| !digits.is_empty())?;
    u64::from_str_radix(digits, 8).ok()?.to_string().parse().ok()
}

/// The other ways to write a whole number: `0x10`, `0o20`, `0b10000`, `16.0`, `1.6e1`.
fn whole(text: &str) -> Option<u64> {
    let based = [("0x", 16), ("0o", 8), ("0b", 2)];
    let lower = text.to_ascii_lowercase();
    if let Some((digits, base)) =
        based.iter().find_map(|(prefix, base)| Some((lower.strip_prefix(prefix)?, *base)))
    {
        return u64::from_str_radix(digits, base).ok().filter(|_| !digits.starts_with('+'));
    }
    // Larger floats do not hold each whole number.
    let number = lower.parse::<f64>().ok()?;
    let is_whole = number.fract() == 0.0 && (0.0..1e15).contains(&number);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is whole and in range")]
    is_whole.then_some(number as u64)
}

/// What RoadRunner makes of a word without quotes where it needs a text: a truth value becomes `1` or `0`, a number its shortest decimal
/// form. None where the word stays as it is.
pub(super) fn plain_text(word: &str) -> Option<String> {
    match word {
        "true" | "True" | "TRUE" => return Some("1".into()),
        "false" | "False" | "FALSE" => return Some("0".into()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some("+Inf".into()),
        "-.inf" | "-.Inf" | "-.INF" => return Some("-Inf".into()),
        ".nan" | ".NaN" | ".NAN" => return Some("NaN".into()),
        _ => {}
    }
    if !word.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let number = word.replace('_', "");
    integer(&number).or_else(|| float(&number)).filter(|text| text != word)
}

/// An integer in decimal form, from any notation of Go.
fn integer(text: &str) -> Option<String> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (digits, base) = match lower.get(..2) {
        Some("0x") => (&lower[2..], 16),
        Some("0o") => (&lower[2..], 8),
        Some("0b") => (&lower[2..], 2),
        Some(_) if lower.starts_with('0') => (&lower[1..], 8),
        _ => (&lower[..], 10),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = u64::from_str_radix(digits, base).ok()?;
    if is_negative {
        (number <= i64::MIN.unsigned_abs()).then(|| (-i128::from(number)).to_string())
    } else {
        Some(number.to_string())
    }
}

/// A float in its shortest decimal form without an exponent.
fn float(text: &str) -> Option<String> {
    let is_float = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    let number =
        text.parse::<f64>().ok().filter(|number| number.is_finite() && text.chars().all(is_float))?;
    Some(number.to_string())
}

/// Reads a truth value; an empty text is false.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Some(true),
        "false" | "no" | "off" | "0" | "" | "f" | "n" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_zero_is_octal_and_infinity_has_a_dot() {
        assert_eq!(number::<u64>("010"), Some(8));
        assert_eq!(number::<u64>("0_17"), Some(15));
        assert_eq!(number::<u64>("089"), Some(89));
        assert_eq!(number::<u64>("0"), Some(0));
        assert_eq!(number::<f64>("0.5"), Some(0.5));
        assert_eq!(
            ["+Inf", ".inf", "-.INF"].map(number::<f64>),
            [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY].map(Some)
        );
        assert_eq!(number::<u64>(".inf"), None);
    }
}
