//! The context of a request: a call's metadata as JSON, in the form that workers know from RoadRunner.
//!
//! It is a Go `map[string][]string` written by Go's `encoding/json`: sorted keys, `<`, `>`, `&` and the line separators escaped, invalid
//! UTF-8 replaced. Headers become metadata as in grpc-go's server: all but pseudo headers (`:authority` stays), `host` and the
//! protocol's own `grpc-timeout`, `grpc-encoding`, `te` and the like. Keys that end in `-bin` are base64 and are decoded first.
//!
//! `traceparent` names the span of the worker, if the call is traced here, and is the caller's otherwise.
//!
//! The bridge adds `type`, and for streams `stream` and `reason`. A client's header of such a name is dropped: RoadRunner puts it in front of its own value, and PHP reads the first.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use bytes::BufMut as _;
use http::HeaderMap;

/// With or without padding, as grpc-go accepts it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A `-bin` value that is not base64.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed binary metadata in header \"{key}\"")]
pub(super) struct Malformed {
    key: String,
}

/// The place of a request in a trace, if it is not what the call's headers say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) traceparent: [u8; 55],
    /// Whether the call's `tracestate` is about the same trace.
    pub(super) keeps_state: bool,
}

/// Returns the context of a call of type `kind`; with the id of its stream, if it opens one.
pub(super) fn build(
    kind: &str,
    stream: Option<&str>,
    authority: Option<&str>,
    headers: &HeaderMap,
    place: Option<&Place>,
) -> Result<Vec<u8>, Malformed> {
    let mut entries: Vec<(&str, &[u8])> = Vec::with_capacity(headers.len() + 4);
    entries.push(("type", kind.as_bytes()));
    if let Some(id) = stream {
        entries.push(("stream", id.as_bytes()));
    }
    let host = || headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
    if let Some(authority) = authority.map(str::as_bytes).or_else(host) {
        entries.push((":authority", authority));
    }
    let sent = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    if let Some(place) = place {
        entries.push(("traceparent", &place.traceparent));
    }
    let is_own = |name: &str| match name {
        "stream" | "reason" => stream.is_some(),
        "traceparent" => place.is_some(),
        "tracestate" => place.is_some_and(|place| !place.keeps_state),
        _ => false,
    };
    entries.extend(sent.filter(|(name, _)| is_metadata(name) && !is_own(name)));
    // Stable: values of one key keep their order.
    entries.sort_by_key(|(name, _)| *name);

    let mut out = Vec::with_capacity(
        64 + entries.iter().map(|(name, value)| name.len() + value.len() + 8).sum::<usize>(),
    );
    out.put_u8(b'{');
    for (index, (name, value)) in entries.iter().enumerate() {
        if index > 0 && entries[index - 1].0 == *name {
            out.put_u8(b',');
        } else {
            out.put_slice(if index > 0 { b"]," } else { b"" });
            write_string(&mut out, name.as_bytes());
            out.put_slice(b":[");
        }
        write_value(&mut out, name, value)?;
    }
    out.put_slice(b"]}");
    Ok(out)
}

/// Whether grpc-go passes this header to its application. Pseudo headers are never in the map.
fn is_metadata(name: &str) -> bool {
    !matches!(
        name,
        "type"
            | "host"
            | "te"
            | "grpc-timeout"
            | "grpc-encoding"
            | "grpc-message"
            | "grpc-message-type"
            | "grpc-status"
            | "grpc-status-details-bin"
    )
}

fn write_value(out: &mut Vec<u8>, name: &str, value: &[u8]) -> Result<(), Malformed> {
    if name.ends_with("-bin") {
        let decoded = BASE64.decode(value).map_err(|_| Malformed { key: name.to_owned() })?;
        write_string(out, &decoded);
    } else {
        write_string(out, value);
    }
    Ok(())
}

/// Writes a JSON string as Go's encoder does.
fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u8(b'"');
    if is_plain(bytes) {
        out.put_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            write_text(out, chunk.valid());
            // Go replaces byte by byte.
            for _ in chunk.invalid() {
                out.put_slice(b"\\ufffd");
            }
        }
    }
    out.put_u8(b'"');
}

/// Whether no byte needs an escape, whatever is next to it. Without a branch per byte: mostly none does.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| plain & PLAIN[usize::from(*byte)])
}

/// The bytes that need no escape, whatever is next to them.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\\' | b'<' | b'>' | b'&');
        byte += 1;
    }
    plain
};

fn write_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut written = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let (escape, length): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            0x08 => (b"\\b", 1),
            0x0c => (b"\\f", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            b'\t' => (b"\\t", 1),
            b'<' => (b"\\u003c", 1),
            b'>' => (b"\\u003e", 1),
            b'&' => (b"\\u0026", 1),
            0x00..0x20 => (b"", 1),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa8") => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with(b"\xe2\x80\xa9") => (b"\\u2029", 3),
            _ => continue,
        };
        out.put_slice(&bytes[written..at]);
        out.put_slice(escape);
        if escape.is_empty() {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.put_slice(b"\\u00");
            out.put_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0x0f)]]);
        }
        written = at + length;
    }
    out.put_slice(&bytes[written..]);
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn context(kind: &str, authority: &str, headers: &[(&str, &[u8])]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        let bytes = build(kind, None, Some(authority), &map, None).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// Headers of every call that a Go server hides.
    const HIDDEN: [(&str, &[u8]); 3] =
        [("te", b"trailers"), ("grpc-timeout", b"1S"), ("grpc-encoding", b"gzip")];

    #[test]
    fn contexts_are_those_that_workers_received_from_roadrunner() {
        let recorded: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/vectors/worker-context.json")).unwrap();
        let mut seen = 0;
        for exact in recorded["contexts"].as_array().unwrap() {
            let exact = exact.as_str().unwrap();
            let wanted: serde_json::Value = serde_json::from_str(exact).unwrap();
            let kinds = wanted["type"].as_array().unwrap();
            let kind = kinds.last().unwrap().as_str().unwrap();
            let mut headers: Vec<(String, Vec<u8>)> = Vec::new();
            for (name, values) in wanted.as_object().unwrap() {
                for value in values.as_array().unwrap() {
                    let value = value.as_str().unwrap();
                    match name.as_str() {
                        ":authority" => {}
                        "type" if value == kind => {}
                        "x-bin-bin" => headers.push((name.clone(), b"AP/+".to_vec())),
                        _ => headers.push((name.clone(), value.as_bytes().to_vec())),
                    }
                }
            }
            // The order in which headers arrive does not matter.
            headers.reverse();
            headers.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
            let mut sent: Vec<(&str, &[u8])> =
                headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            sent.sort_by(|a, b| if a.0 == b.0 { a.1.cmp(b.1) } else { std::cmp::Ordering::Equal });
            sent.extend(HIDDEN);
            // Only a hostile `type` is treated differently.
            let wanted = exact.replace("\"type\":[\"refresh\",\"", "\"type\":[\"");
            assert_eq!(context(kind, wanted_authority(exact), &sent), wanted);
            seen += 1;
        }
        assert!(seen >= 8, "{seen} recorded contexts");
    }

    fn wanted_authority(exact: &str) -> &str {
        exact.split("\":authority\":[\"").nth(1).unwrap().split('"').next().unwrap()
    }

    #[test]
    fn a_stream_has_its_own_id_whatever_the_client_sends() {
        let mut headers = HeaderMap::new();
        for name in ["stream", "reason", "x"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        let context =
            |stream| String::from_utf8(build("x", stream, Some("a"), &headers, None).unwrap()).unwrap();
        assert_eq!(context(Some("id")), r#"{":authority":["a"],"stream":["id"],"type":["x"],"x":["1"]}"#);
        assert!(context(None).contains(r#""stream":["1"],"type""#));
    }

    #[test]
    fn a_client_header_named_type_is_dropped() {
        assert_eq!(
            context("connect", "a", &[("type", b"refresh")]),
            r#"{":authority":["a"],"type":["connect"]}"#
        );
    }

    #[test]
    fn go_s_escapes_are_used() {
        let value = "<&>\u{2028}\u{2029}\u{7f}\"\\ é\t";
        assert_eq!(
            context("rpc", "a", &[("x", value.replace('\u{7f}', "").as_bytes())]),
            r#"{":authority":["a"],"type":["rpc"],"x":["\u003c\u0026\u003e\u2028\u2029\"\\ é\t"]}"#
        );
    }

    #[test]
    fn binary_values_are_decoded_with_or_without_padding() {
        let all = base64::engine::general_purpose::STANDARD.encode([0, 8, 12, 10, 13, 31, b'a', 0xe2, 0x82]);
        assert_eq!(
            context("rpc", "a", &[("b-bin", all.as_bytes()), ("b-bin", b"YQ"), ("b-bin", b"YQ==")]),
            r#"{":authority":["a"],"b-bin":["\u0000\b\f\n\r\u001fa\ufffd\ufffd","a","a"],"type":["rpc"]}"#
        );
        let mut map = HeaderMap::new();
        map.insert("b-bin", HeaderValue::from_static("%%%"));
        assert_eq!(build("rpc", None, None, &map, None), Err(Malformed { key: "b-bin".into() }));
    }

    proptest! {
        #[test]
        fn any_metadata_is_valid_json_which_holds_all_values_in_order(
            headers in prop::collection::vec(("[a-h][a-z-]{0,6}x", prop::collection::vec(prop_oneof![0x20..0x7f_u8, 0x80..=0xff_u8], 0..12)), 0..12),
        ) {
            let sent: Vec<(&str, &[u8])> = headers.iter().map(|(n, v)| (n.as_str(), v.as_slice())).collect();
            let text = context("rpc", "a", &sent);
            let read: std::collections::BTreeMap<String, Vec<String>> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(&read["type"], &["rpc"]);
            for (name, _) in &headers {
                let values: Vec<String> = headers.iter().filter(|(other, _)| other == name).map(|(_, value)| go_text(value)).collect();
                prop_assert_eq!(&read[name], &values);
            }
            let keys: Vec<&String> = read.keys().collect();
            prop_assert!(keys.is_sorted());
        }
    }

    /// The slow way: one replacement character for each byte that is not UTF-8.
    fn go_text(bytes: &[u8]) -> String {
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            text.extend(chunk.invalid().iter().map(|_| '\u{fffd}'));
        }
        text
    }
}
