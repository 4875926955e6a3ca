//! Durations in Go's notation, as `.rr.yaml` files use it: `300ms`, `1h3m40s`, `.5m`.
//!
//! In RoadRunner a number without a unit is in nanoseconds, which few people know: tutorials have `reset_timeout: 10`. No setting is meant to
//! be below a millisecond, so here numbers below a million are seconds, with a warning, and larger ones nanoseconds.
//!
//! Source: Go's `time.ParseDuration`.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};

/// The form of a duration, for messages.
pub(crate) const EXPECTED: &str = "a duration such as 300ms, 1.5s or 1h30m";

/// The newtype name that asks the configuration's deserialiser for a duration; it returns nanoseconds.
pub(crate) const SETTING: &str = "causeway::Duration";

/// The same for keys that are seconds in RoadRunner.
pub(crate) const SECONDS: &str = "causeway::Seconds";

/// A number without a unit is in nanoseconds from this one on.
const NANOSECONDS_FROM: f64 = 1e6;

/// Whether the unit of a setting is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// It is written, or not needed.
    Known,
    /// It is missing, and taken for seconds.
    Assumed,
}

/// Parses a duration of the configuration: Go's notation, or a number without a unit.
///
/// # Errors
/// What is wrong with `text`, in one clause.
pub(crate) fn setting(text: &str, is_of_seconds: bool) -> Result<(Duration, Unit), String> {
    let text = text.trim();
    let plain = text.replace('_', "");
    // Rust also parses words such as `inf`.
    let is_number = plain.ends_with(|last: char| last.is_ascii_digit() || last == '.');
    let Some(number) = plain.parse::<f64>().ok().filter(|_| is_number) else {
        return parse(text).map(|duration| (duration, Unit::Known));
    };
    if number < 0.0 {
        return Err("it is negative".into());
    }
    let seconds = |number| Duration::try_from_secs_f64(number).map_err(|_| too_long());
    let (duration, unit) = match number {
        0.0 => (Duration::ZERO, Unit::Known),
        _ if is_of_seconds => (seconds(number)?, Unit::Known),
        _ if number < NANOSECONDS_FROM => (seconds(number)?, Unit::Assumed),
        // A float of this size is not exact to the nanosecond.
        _ => {
            let exact = plain.parse::<u64>().map(Duration::from_nanos);
            (exact.or_else(|_| seconds(number / 1e9))?, Unit::Known)
        }
    };
    // Go counts nanoseconds in 63 bits.
    let is_short = duration.as_nanos() <= i64::MAX.unsigned_abs().into();
    if is_short { Ok((duration, unit)) } else { Err(too_long()) }
}

/// Parses what Go's `time.ParseDuration` accepts, except negative durations, which no setting needs.
///
/// # Errors
/// What is wrong with `text`, in one clause.
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
        _ => return Err(format!("`{unit}` is not a unit")),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return Err(format!("`{number}` is not a number"));
    }
    let digits =
        |text: &str| if text.is_empty() { Ok(0) } else { text.parse::<u128>().map_err(|_| too_long()) };
    let whole = digits(whole)?.checked_mul(scale).ok_or_else(too_long)?;
    // Digits below a nanosecond are ignored.
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
/// If the value is not a duration; the message has the expected form.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    deserializer.deserialize_newtype_struct(SETTING, Reader)
}

/// For a key that is a number of seconds in RoadRunner, where zero means its default of one minute. Accepts durations too.
pub(crate) fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = deserializer.deserialize_newtype_struct(SECONDS, Reader)?;
    Ok(if duration.is_zero() { MINUTE } else { duration })
}

/// For a key where zero means RoadRunner's default of one minute.
pub(crate) fn minute_if_zero<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = deserialize(deserializer)?;
    Ok(if duration.is_zero() { MINUTE } else { duration })
}

const MINUTE: Duration = Duration::from_mins(1);

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_u64<E: de::Error>(self, nanoseconds: u64) -> Result<Duration, E> {
        Ok(Duration::from_nanos(nanoseconds))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_notation_is_parsed() {
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
    fn what_go_rejects_is_rejected() {
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

    #[test]
    fn small_numbers_are_seconds_and_large_ones_nanoseconds() {
        let seconds = |seconds| (Duration::from_secs_f64(seconds), Unit::Assumed);
        let nanoseconds = |nanoseconds| (Duration::from_nanos(nanoseconds), Unit::Known);
        for (text, expected) in [
            ("0", nanoseconds(0)),
            ("0.0", nanoseconds(0)),
            ("1", seconds(1.0)),
            (" 10 ", seconds(10.0)),
            ("+10", seconds(10.0)),
            ("0.5", seconds(0.5)),
            ("1.", seconds(1.0)),
            ("5e3", seconds(5000.0)),
            ("60_000", seconds(60_000.0)),
            ("999999", seconds(999_999.0)),
            ("1000000", nanoseconds(1_000_000)),
            ("60000000000", nanoseconds(60_000_000_000)),
            ("1e9", nanoseconds(1_000_000_000)),
            ("9223372036854775807", nanoseconds(i64::MAX.cast_unsigned())),
            ("10s", nanoseconds(10_000_000_000)),
            (".5m", nanoseconds(30_000_000_000)),
        ] {
            assert_eq!(setting(text, false), Ok(expected), "{text}");
        }
        for text in
            ["", "-1", "-0.5", "inf", "nan", "infinity", "1e30", "9223372036854775808", "1 0", "x", "10 s"]
        {
            setting(text, false).unwrap_err();
        }
    }

    #[test]
    fn for_keys_of_seconds_large_numbers_are_seconds_too() {
        for (text, seconds) in [("45", 45), ("45s", 45), ("2m", 120), ("1000000", 1_000_000), ("0", 0)] {
            assert_eq!(setting(text, true), Ok((Duration::from_secs(seconds), Unit::Known)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_sum_of_terms_is_parsed(hours in 0_u64..1000, minutes in 0_u64..100, millis in 0_u64..100_000) {
            let text = format!("{hours}h{minutes}m{millis}ms");
            let expected = Duration::from_secs(hours * 3600 + minutes * 60) + Duration::from_millis(millis);
            prop_assert_eq!(parse(&text), Ok(expected));
        }

        #[test]
        fn any_text_is_a_duration_or_an_error(text in ".{0,40}") {
            drop(parse(&text));
            drop(setting(&text, false));
            drop(setting(&text, true));
        }
    }
}
