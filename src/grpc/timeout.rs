//! `grpc-timeout`: how long the caller waits, as up to eight digits and a unit of `H M S m u n`.

use std::time::Duration;

use http::HeaderMap;

/// A `grpc-timeout` that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed grpc-timeout: \"{0}\"")]
pub(crate) struct MalformedTimeout(String);

/// Returns how long the caller waits; `None` if it set no limit.
///
/// # Errors
/// When the header is malformed.
pub(crate) fn parse_timeout(headers: &HeaderMap) -> Result<Option<Duration>, MalformedTimeout> {
    let Some(value) = headers.get(&super::TIMEOUT) else { return Ok(None) };
    let malformed = || MalformedTimeout(value.as_bytes().escape_ascii().to_string());
    let (unit, digits) = value.as_bytes().split_last().ok_or_else(malformed)?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let count = digits.iter().fold(0_u64, |count, digit| count * 10 + u64::from(digit - b'0'));
    Ok(Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return Err(malformed()),
    }))
}

/// Writes a timeout in milliseconds, or in seconds where those would take more than eight digits.
pub(crate) fn format_timeout(timeout: Duration) -> String {
    let millis = timeout.as_millis().max(1);
    if millis < 100_000_000 {
        format!("{millis}m")
    } else {
        format!("{}S", timeout.as_secs().min(99_999_999))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Option<Duration>, MalformedTimeout> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", http::HeaderValue::from_str(text).unwrap());
        parse_timeout(&headers)
    }

    #[test]
    fn all_units_are_read() {
        assert_eq!(parse_timeout(&HeaderMap::new()), Ok(None));
        assert_eq!(parse("1H"), Ok(Some(Duration::from_hours(1))));
        assert_eq!(parse("2M"), Ok(Some(Duration::from_mins(2))));
        assert_eq!(parse("3S"), Ok(Some(Duration::from_secs(3))));
        assert_eq!(parse("99999999m"), Ok(Some(Duration::from_millis(99_999_999))));
        assert_eq!(parse("5u"), Ok(Some(Duration::from_micros(5))));
        assert_eq!(parse("0n"), Ok(Some(Duration::ZERO)));
    }

    #[test]
    fn malformed_timeouts_are_errors() {
        for text in ["", "S", "1", "1s", "-1S", "123456789S", "1 S", "1.5S"] {
            parse(text).unwrap_err();
        }
    }

    #[test]
    fn timeouts_are_written_with_at_most_eight_digits() {
        for (timeout, text) in [
            (Duration::from_secs(5), "5000m"),
            (Duration::from_micros(1), "1m"),
            (Duration::from_secs(100_000), "100000S"),
            (Duration::MAX, "99999999S"),
        ] {
            assert_eq!(format_timeout(timeout), text);
            parse(text).unwrap();
        }
    }
}
