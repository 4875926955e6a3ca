//! Messages as JSON, for people and shell scripts.
//!
//! This is proto3 JSON, with one addition for the `bytes` fields in which Centrifugo carries JSON (`data`, `info`, `meta`, ...): a value
//! other than a string is JSON itself, so that `{"data": {"a": 1}}` needs no base64. A string is base64, as in proto3 JSON, or, if it is not
//! base64, a JSON string. In the other direction, bytes that are valid JSON are shown as JSON, and anything else as base64.
//!
//! Names are those of the `.proto` files (`b64data`, `expire_at`); the camel case of proto3 JSON is accepted too.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Map, Value};

/// Converts a message from JSON; unknown fields are errors.
///
/// # Errors
/// Names the field that is wrong.
pub fn from_json(
    descriptor: &MessageDescriptor,
    mut value: Value,
) -> Result<DynamicMessage, serde_json::Error> {
    encode_bytes(descriptor, &mut value);
    let options = DeserializeOptions::new().deny_unknown_fields(true);
    DynamicMessage::deserialize_with_options(descriptor.clone(), value, &options)
}

/// Converts a message to JSON, without fields that are not set.
///
/// # Errors
/// None that a message of this crate's descriptors could have.
pub fn to_json(message: &DynamicMessage) -> Result<Value, serde_json::Error> {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    let mut value = message.serialize_with_options(serde_json::value::Serializer, &options)?;
    decode_bytes(&message.descriptor_ref(), &mut value);
    Ok(value)
}

trait DescriptorRef {
    fn descriptor_ref(&self) -> MessageDescriptor;
}

impl DescriptorRef for DynamicMessage {
    fn descriptor_ref(&self) -> MessageDescriptor {
        prost_reflect::ReflectMessage::descriptor(self)
    }
}

fn field(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name))
}

/// Calls `edit` for every `bytes` value in a message.
fn for_each_bytes(descriptor: &MessageDescriptor, value: &mut Value, edit: &impl Fn(&mut Value)) {
    let Value::Object(object) = value else { return };
    for (name, value) in object.iter_mut() {
        let Some(field) = field(descriptor, name) else { continue };
        if field.is_map() {
            let Kind::Message(entry) = field.kind() else { continue };
            let (Value::Object(entries), Some(field)) = (value, entry.get_field_by_name("value")) else {
                continue;
            };
            entries.values_mut().for_each(|value| visit(&field.kind(), value, edit));
        } else if field.is_list() {
            if let Value::Array(items) = value {
                for value in items {
                    visit(&field.kind(), value, edit);
                }
            }
        } else {
            visit(&field.kind(), value, edit);
        }
    }
}

fn visit(kind: &Kind, value: &mut Value, edit: &impl Fn(&mut Value)) {
    match kind {
        Kind::Bytes => edit(value),
        Kind::Message(descriptor) => for_each_bytes(descriptor, value, edit),
        _ => {}
    }
}

fn encode_bytes(descriptor: &MessageDescriptor, value: &mut Value) {
    for_each_bytes(descriptor, value, &|value| {
        if value.as_str().is_none_or(|text| STANDARD.decode(text).is_err()) {
            *value = STANDARD.encode(value.to_string()).into();
        }
    });
}

fn decode_bytes(descriptor: &MessageDescriptor, value: &mut Value) {
    for_each_bytes(descriptor, value, &|value| {
        let content = value.as_str().and_then(|text| STANDARD.decode(text).ok());
        if let Some(json) = content.and_then(|content| serde_json::from_slice(&content).ok()) {
            *value = json;
        }
    });
}

/// An object without entries.
pub fn empty() -> Value {
    Value::Object(Map::new())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn round(name: &str, value: Value) -> Value {
        let descriptor = crate::proto::descriptors().get_message_by_name(name).unwrap();
        to_json(&from_json(&descriptor, value).unwrap()).unwrap()
    }

    #[test]
    fn data_is_json_or_base64() {
        let publish = "centrifugal.centrifugo.api.PublishRequest";
        let value = json!({"channel": "news", "data": {"a": [1, "x"]}});
        assert_eq!(round(publish, value.clone()), value);
        let descriptor = crate::proto::descriptors().get_message_by_name(publish).unwrap();
        let data = |value: Value| {
            let message = from_json(&descriptor, json!({ "data": value })).unwrap();
            message.get_field_by_name("data").unwrap().as_bytes().unwrap().to_vec()
        };
        assert_eq!(data(json!("AP8=")), [0, 255]);
        assert_eq!(data(json!("plain text!")), b"\"plain text!\"");
        assert_eq!(data(json!(7)), b"7");
        assert_eq!(round(publish, json!({"data": "AP8="})), json!({"data": "AP8="}));
    }

    #[test]
    fn nested_messages_lists_and_maps_are_searched() {
        let value = json!({"result": {"subs": {"news": {"data": {"x": 1}}}, "data": [1]}});
        assert_eq!(round("centrifugal.centrifugo.proxy.ConnectResponse", value.clone()), value);
    }

    #[test]
    fn an_unknown_field_is_an_error() {
        let descriptor = crate::proto::descriptors()
            .get_message_by_name("centrifugal.centrifugo.proxy.RPCRequest")
            .unwrap();
        from_json(&descriptor, json!({"metod": "x"})).unwrap_err();
    }
}
