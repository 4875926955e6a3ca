mod answers;
mod any;
mod requests;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, MessageDescriptor};

use super::shape::{Kind, Label, MAX_FIELDS};
use super::tables::EVENTS;
use super::{Message, event};

const LIMIT: usize = 1 << 20;

fn descriptor(message: &Message) -> MessageDescriptor {
    let name = format!("centrifugal.centrifugo.proxy.{}", message.name);
    crate::proto::descriptors().get_message_by_name(&name).unwrap_or_else(|| panic!("{name}"))
}

fn decoded(message: &'static Message, protobuf: &[u8]) -> DynamicMessage {
    DynamicMessage::decode(descriptor(message), protobuf).unwrap()
}

fn request(kind: &str, message: &impl prost::Message) -> String {
    let json = event(kind).unwrap().request.to_json(&message.encode_to_vec(), LIMIT).unwrap();
    String::from_utf8(json).unwrap()
}

fn answer(kind: &str, json: &str) -> Result<Vec<u8>, String> {
    event(kind).unwrap().answer.to_protobuf(json.as_bytes()).map_err(|error| error.to_string())
}

fn mistake(json: &str) -> String {
    let text = answer("connect", json).unwrap_err();
    text.strip_prefix("the worker's answer is not a valid ConnectResponse: ").unwrap().to_owned()
}

/// All messages that occur in the tables.
fn messages() -> Vec<&'static Message> {
    let mut found: BTreeMap<&str, &'static Message> = BTreeMap::new();
    let mut rest: Vec<&'static Message> =
        EVENTS.iter().flat_map(|event| [event.request, event.answer].into_iter().chain(event.part)).collect();
    while let Some(message) = rest.pop() {
        if found.insert(message.name, message).is_none() {
            rest.extend(message.fields.iter().filter_map(|field| match field.kind {
                Kind::Message(inner) => Some(inner),
                _ => None,
            }));
        }
    }
    found.into_values().collect()
}

#[test]
fn the_tables_have_every_field_of_every_message() {
    assert!(messages().len() > 40);
    for message in messages() {
        let descriptor = descriptor(message);
        assert!(message.fields.len() <= MAX_FIELDS, "{}", message.name);
        for field in descriptor.fields() {
            let row = &message.fields[message.numbered(field.number()).unwrap()];
            assert_eq!(row.name, field.name(), "{}", message.name);
            assert!(row.number < 32, "{}.{}", message.name, row.name);
            let label = match row.label {
                Label::Map => field.is_map(),
                Label::Repeated => field.is_list(),
                Label::Always => field.name() == "user",
                Label::Optional => !field.is_list() && !field.is_map(),
            };
            assert!(label, "{}.{}", message.name, row.name);
        }
    }
}

#[derive(serde::Deserialize)]
struct Recording {
    requests: Vec<Recorded>,
    answers: Vec<Recorded>,
}

#[derive(serde::Deserialize)]
struct Recorded {
    r#type: String,
    protobuf: String,
    #[serde(default)]
    json: String,
    #[serde(default)]
    error: bool,
}

fn recording() -> Recording {
    serde_json::from_str(include_str!("../../../tests/vectors/centrifugo-http-proxy.json")).unwrap()
}

/// The keys of an object as they are written, with their values.
fn entries(json: &str) -> Vec<(String, serde_json::Value)> {
    let entries: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    entries.into_iter().collect()
}

#[test]
fn requests_are_those_of_centrifugo_s_http_proxy() {
    for recorded in recording().requests {
        let protobuf = STANDARD.decode(&recorded.protobuf).unwrap();
        let json = event(&recorded.r#type).unwrap().request.to_json(&protobuf, LIMIT).unwrap();
        let json = String::from_utf8(json).unwrap();
        if recorded.error {
            // Centrifugo fails such a call: its data is no JSON.
            assert!(json.contains(r#""b64data":"#) || json.contains(r#""b64meta":"#), "{json}");
        } else {
            assert_eq!(entries(&json), entries(&recorded.json), "{}", recorded.r#type);
        }
    }
}

#[test]
fn answers_mean_what_they_mean_to_centrifugo_s_http_proxy() {
    // Where this codec accepts what Centrifugo does not.
    let accepted = [r#"{"result":{"expire_at":"7"}}"#];
    for recorded in recording().answers {
        let message = event(&recorded.r#type).unwrap().answer;
        let result = message.to_protobuf(recorded.json.as_bytes());
        if recorded.error {
            assert_eq!(result.is_ok(), accepted.contains(&recorded.json.as_str()), "{}", recorded.json);
        } else {
            let result = result.unwrap_or_else(|error| panic!("{}: {error}", recorded.json));
            let wanted = STANDARD.decode(&recorded.protobuf).unwrap();
            assert!(decoded(message, &result) == decoded(message, &wanted), "{}", recorded.json);
        }
    }
}
