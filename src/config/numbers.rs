//! Whole numbers and truth values in every notation of YAML and JSON.

use std::str::FromStr;

/// Reads a number: as Rust writes it, with `_` between digits, or as another notation of a whole number.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim().replace('_', "");
    text.parse().ok().or_else(|| whole(&text)?.to_string().parse().ok())
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

/// Reads a truth value; an empty text is false.
pub(super) fn truth(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "t" | "y" => Some(true),
        "false" | "no" | "off" | "0" | "" | "f" | "n" => Some(false),
        _ => None,
    }
}
