//! A call's deadline, as its caller sends it.

use std::time::Duration;

use http::HeaderMap;

/// A `grpc-timeout` that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed grpc-timeout: \"{0}\"")]
pub(super) struct Malformed(String);

/// How long the caller waits; `None`: for ever.
///
/// Source: the gRPC protocol over HTTP/2: up to eight digits and a unit of `H M S m u n`.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Malformed> {
    let Some(value) = headers.get("grpc-timeout") else { return Ok(None) };
    let malformed = || Malformed(value.as_bytes().escape_ascii().to_string());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<Option<Duration>, Malformed> {
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", http::HeaderValue::from_static(text));
        timeout(&headers)
    }

    #[test]
    fn all_units_are_read() {
        assert_eq!(timeout(&HeaderMap::new()), Ok(None));
        assert_eq!(read("1H"), Ok(Some(Duration::from_hours(1))));
        assert_eq!(read("2M"), Ok(Some(Duration::from_mins(2))));
        assert_eq!(read("3S"), Ok(Some(Duration::from_secs(3))));
        assert_eq!(read("99999999m"), Ok(Some(Duration::from_millis(99_999_999))));
        assert_eq!(read("5u"), Ok(Some(Duration::from_micros(5))));
        assert_eq!(read("0n"), Ok(Some(Duration::ZERO)));
    }

    #[test]
    fn what_is_no_timeout_is_an_error() {
        for text in ["", "S", "1", "1s", "-1S", "123456789S", "1 S", "1.5S"] {
            read(text).unwrap_err();
        }
    }
}
