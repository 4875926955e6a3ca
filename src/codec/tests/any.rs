//! Any message and any text.

use std::collections::HashSet;

use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::super::error::{InvalidRequest, Malformed};
use super::super::text;
use super::{LIMIT, answer, decoded, descriptor, messages};
use crate::proto::proxy::ConnectResponse;

/// A message with content that depends on `entropy`; its bytes are JSON, or not all of them are.
fn arbitrary(
    descriptor: &MessageDescriptor,
    json: bool,
    entropy: &mut impl FnMut() -> u8,
    depth: usize,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if entropy().is_multiple_of(3) {
            continue;
        }
        let value = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!() };
            let pairs = (0..entropy() % 4).map(|_| {
                (
                    MapKey::String(letters(entropy)),
                    single(&entry.map_entry_value_field(), json, entropy, depth),
                )
            });
            Value::Map(pairs.collect())
        } else if field.is_list() {
            Value::List((0..entropy() % 4).map(|_| single(&field, json, entropy, depth)).collect())
        } else {
            single(&field, json, entropy, depth)
        };
        message.set_field(&field, value);
    }
    message
}

fn single(field: &FieldDescriptor, json: bool, entropy: &mut impl FnMut() -> u8, depth: usize) -> Value {
    let mut number = || (0..8).fold(0_u64, |number, _| number << 8 | u64::from(entropy()));
    match field.kind() {
        Kind::Bool => Value::Bool(entropy().is_multiple_of(2)),
        Kind::Int64 => Value::I64(number().cast_signed()),
        Kind::Uint32 => Value::U32((number() >> 32) as u32),
        Kind::Uint64 => Value::U64(number()),
        Kind::Bytes => {
            let texts =
                [r#"{"a":[1,{"b":null}]}"#, "\"\\u00e4\"", " 1", "null", "[]", "not JSON", "\0\u{7f}"];
            let texts = if json { &texts[..5] } else { &texts[..] };
            // Leading whitespace is not part of a value.
            Value::Bytes(texts[usize::from(entropy()) % texts.len()].trim_start().to_owned().into())
        }
        Kind::Message(inner) if depth < 4 => Value::Message(arbitrary(&inner, json, entropy, depth + 1)),
        Kind::Message(inner) => Value::Message(DynamicMessage::new(inner)),
        _ if field.name() == "encoding" => Value::String("json".into()),
        _ => Value::String(letters(entropy)),
    }
}

fn letters(entropy: &mut impl FnMut() -> u8) -> String {
    let letters = ['a', '"', '\\', '\n', '\0', '\u{1f}', 'ä', '\u{2028}', '😀', '/', '<', '\u{7f}'];
    (0..entropy() % 12).map(|_| letters[usize::from(entropy()) % letters.len()]).collect()
}

/// Fails if an object has a key twice.
struct Unique;

impl<'de> serde::Deserialize<'de> for Unique {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Unique;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
                let mut keys = HashSet::new();
                while let Some((key, Unique)) = map.next_entry::<String, Unique>()? {
                    assert!(keys.insert(key), "a key occurs twice");
                }
                Ok(Unique)
            }
            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
                while seq.next_element::<Unique>()?.is_some() {}
                Ok(Unique)
            }
            fn visit_unit<E>(self) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
                Ok(Unique)
            }
            fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
                Ok(Unique)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// JSON as hostile as it comes: pieces of it in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
        "true",
        "false",
        "0",
        "-1",
        "1.5",
        "1e9",
        "\"",
        "\\",
        "\\u00e4",
        "\\ud83d",
        "\\ude00",
        "\"result\"",
        "\"result\":{",
        "\"error\":{",
        "\"code\":1",
        "\"user\":\"a\"",
        "\"data\":",
        "\"subs\":{\"a\":{",
        "\"channels\":[",
        "\"expire_at\":",
        " ",
        "\n",
        "ä",
        "\u{0}",
        "x",
        "}}",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn every_message_survives_both_ways(
        which in any::<prop::sample::Index>(), seed in prop::collection::vec(any::<u8>(), 1..400),
    ) {
        let all = messages();
        let message = all[which.index(all.len())];
        let mut bytes = seed.iter().cycle().enumerate();
        let mut entropy = || bytes.next().map_or(0, |(round, byte)| byte.wrapping_add((round / seed.len()).to_le_bytes()[0]));
        let are_all_json = entropy().is_multiple_of(2);
        let original = arbitrary(&descriptor(message), are_all_json, &mut entropy, 0);
        match message.to_json(&original.encode_to_vec(), LIMIT) {
            Ok(json) => {
                serde_json::from_slice::<Unique>(&json).unwrap();
                let back = message.to_protobuf(&json).unwrap();
                // Bytes that are no JSON come back in the field for base64, if the message has one.
                let again = message.to_json(&back, LIMIT).unwrap();
                prop_assert_eq!(String::from_utf8(json).unwrap(), String::from_utf8(again).unwrap());
                if are_all_json {
                    let plain = decoded(message, &original.encode_to_vec());
                    prop_assert!(decoded(message, &back) == plain, "{}", message.name);
                }
            }
            Err(InvalidRequest::Malformed { cause: Malformed::NotJson(_), .. }) => {}
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn any_bytes_are_refused_or_become_valid_json(
        which in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        // Bytes that look like messages now and then.
        let bytes: Vec<u8> = bytes.iter().map(|byte| if byte % 3 == 0 { (byte % 16) << 3 | 2 } else { byte % 12 }).collect();
        let all = messages();
        let message = all[which.index(all.len())];
        let known = DynamicMessage::decode(descriptor(message), &bytes[..]);
        if let Ok(json) = message.to_json(&bytes, LIMIT) {
            serde_json::from_slice::<Unique>(&json).unwrap();
        } else if let Ok(known) = known {
            // What is refused although it is valid: groups, base64 twice.
            let plain = message.to_json(&known.encode_to_vec(), LIMIT);
            let is_refused = matches!(plain, Err(InvalidRequest::Malformed { cause: Malformed::NotJson(_), .. }));
            prop_assert!(plain.is_ok() || is_refused, "{:?}", plain);
        }
    }

    #[test]
    fn any_text_is_refused_or_becomes_a_valid_message(json in prop_oneof![pieces(), any::<String>()]) {
        if let Ok(protobuf) = answer("connect", &json) {
            serde_json::from_str::<serde_json::Value>(&json).unwrap();
            ConnectResponse::decode(&protobuf[..]).unwrap();
        }
    }

    #[test]
    fn texts_are_json_if_serde_says_so(json in prop_oneof![pieces(), any::<String>()]) {
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
        prop_assert_eq!(text::is_json(json.as_bytes(), 1), expected, "{}", json);
    }

    #[test]
    fn strings_stop_at_the_first_special_byte(bytes in prop::collection::vec(any::<u8>(), 0..40), at in 0..40_usize) {
        let mut bytes: Vec<u8> = bytes.iter().map(|byte| if matches!(byte, 0..0x20 | b'"' | b'\\') { byte | 0x81 } else { *byte }).collect();
        prop_assert_eq!(text::plain(&bytes), bytes.len());
        for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = special;
                prop_assert_eq!(text::plain(&bytes), at);
            }
        }
    }
}
