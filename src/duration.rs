//! Go's notation of durations, the one that `.rr.yaml` files use: `300ms`, `1h3m40s`, `.5m`; a bare number is nanoseconds.
//!
//! Source: Go's `time.ParseDuration`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

/// What a duration has to look like.
const EXPECTED: &str = "a duration such as 300ms, 1.5s or 1h30m";

/// Parses what Go's `time.ParseDuration` accepts, but for negative durations, which no setting has a use for.
///
/// # Errors
/// Says in one clause what is wrong with `text`.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err("it is empty".into());
    }
    if rest.starts_with('-') {
        return Err("it is negative".into());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, behind) = rest.split_at(digits);
        let unit_length = behind.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(behind.len());
        let (unit, more) = behind.split_at(unit_length);
        if number.is_empty() {
            return Err("a number is missing".into());
        }
        if unit.is_empty() {
            return Err("the unit is missing".into());
        }
        total = total.checked_add(term(number, unit)?).ok_or_else(too_long)?;
        rest = more;
    }
    // Go counts nanoseconds in 63 bits.
    u64::try_from(total)
        .ok()
        .filter(|nanoseconds| *nanoseconds <= i64::MAX.cast_unsigned())
        .map(Duration::from_nanos)
        .ok_or_else(too_long)
}

/// A number and its unit, in nanoseconds.
fn term(number: &str, unit: &str) -> Result<u128, String> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return Err(format!("`{unit}` is no unit")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(format!("`{number}` is no number"));
    }
    let digits =
        |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>().map_err(|_| too_long()) };
    let whole = digits(whole)?.checked_mul(scale).ok_or_else(too_long)?;
    // Digits below a nanosecond do not count.
    let fraction = &fraction[..fraction.len().min(18)];
    let places = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or_default());
    Ok(whole + digits(fraction)? * scale / places)
}

fn too_long() -> String {
    "it is too long".into()
}

/// For `#[serde(deserialize_with = "crate::duration::deserialize")]` on a [`Duration`] of a `Config`.
///
/// # Errors
/// When the value is no duration; the message says what one looks like.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_any(Reader)
}

/// The same, where RoadRunner takes zero for its default of one minute.
pub(crate) fn minute_if_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = deserialize(deserializer)?;
    Ok(if duration.is_zero() { Duration::from_mins(1) } else { duration })
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_nanos(nanoseconds))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        parse(text).map_err(|reason| E::custom(format!("expected {EXPECTED}, found \"{text}\": {reason}")))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_s_notation_is_read() {
        let cases = [
            ("5s", 5_000_000_000),
            ("300ms", 300_000_000),
            ("1h3m40s", 3_820_000_000_000),
            (".5m", 30_000_000_000),
            ("1.5s", 1_500_000_000),
            ("1.s", 1_000_000_000),
            ("+5s", 5_000_000_000),
            ("300µs", 300_000),
            ("300us", 300_000),
            ("0", 0),
            ("0s", 0),
            ("0.000000001s", 1),
            ("2562047h47m16.854775807s", i64::MAX.cast_unsigned()),
        ];
        for (text, nanoseconds) in cases {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            "5",
            "1d",
            "-1s",
            "1m 30s",
            "5S",
            "s",
            ".s",
            ".",
            "1..5s",
            "ms5",
            "9999999999h",
            "1e3s",
            "٣s",
        ] {
            parse(text).unwrap_err();
        }
    }

    proptest! {
        #[test]
        fn any_sum_of_terms_is_read(hours in 0_u64..1000, minutes in 0_u64..100, millis in 0_u64..100_000) {
            let text = format!("{hours}h{minutes}m{millis}ms");
            let expected = Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_millis(millis);
            prop_assert_eq!(parse(&text), Ok(expected));
        }

        #[test]
        fn any_text_is_a_duration_or_an_error(text in ".{0,40}") {
            drop(parse(&text));
        }
    }
}
