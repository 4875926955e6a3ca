//! Properties of GOB and MessagePack, for any bytes and any values.

use std::sync::Arc;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value};

use super::shape::Struct;
use super::{Codec, Field, MAX_ITEMS, Shape};

const CODECS: [Codec; 2] = [Codec::Gob, Codec::Msgpack];

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

pub(super) fn unhex(text: &str) -> Vec<u8> {
    let digits: String = text.split_whitespace().collect();
    let pairs = digits.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// The shapes of all methods, and some messages which are large, recursive or have maps.
fn shapes() -> Vec<Shape> {
    let methods = crate::rpc::methods::table().into_values();
    let mut shapes: Vec<_> =
        methods.flat_map(|method| [method.argument.clone(), method.result.clone()]).collect();
    let messages = ["PublishRequest", "SubscribeRequest", "PresenceResponse", "BatchResponse"];
    shapes.extend(messages.map(|name| Shape::message(&format!("centrifugal.centrifugo.api.{name}"))));
    shapes
}

/// The number of values in a value, itself and the names of a map's entries included.
fn size(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(size).sum::<usize>(),
        Value::Object(values) => 1 + values.values().map(|value| 1 + size(value)).sum::<usize>(),
        Value::String(text) => 1 + text.len(),
        _ => 1,
    }
}

/// A decoded value must be in proportion to its bytes.
fn decode_with_all(shapes: &[Shape], bytes: &[u8]) {
    for (codec, shape) in CODECS.iter().flat_map(|codec| shapes.iter().map(move |shape| (codec, shape))) {
        if let Ok(value) = codec.decode(shape, bytes, MAX_ITEMS) {
            // An invalid byte of UTF-8 becomes three; a flat field implies the structure it belongs to.
            assert!(size(&value) <= 3 * bytes.len() + 1, "{codec:?} {shape:?} {bytes:?}");
        }
    }
}

#[test]
fn any_bytes_are_a_value_in_proportion_or_an_error() {
    let shapes = shapes();
    bolero::check!()
        .with_type::<Vec<u8>>()
        .with_iterations(1_000)
        .for_each(|bytes| decode_with_all(&shapes, bytes));
}

#[test]
fn corrupted_values_are_a_value_in_proportion_or_an_error() {
    let shapes = shapes();
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut samples = Vec::new();
    for (codec, shape) in CODECS.iter().flat_map(|codec| shapes.iter().map(move |shape| (codec, shape))) {
        let value = value_of(shape, 4).new_tree(&mut runner).unwrap().current();
        samples.push(codec.encode(shape, &value).unwrap());
    }
    bolero::check!().with_type::<(u8, Vec<(u16, u8)>, Option<u16>)>().with_iterations(1_000).for_each(
        |(sample, changes, end)| {
            let mut bytes = samples[usize::from(*sample) % samples.len()].to_vec();
            for (at, byte) in changes {
                let at = usize::from(*at) % bytes.len();
                bytes[at] = *byte;
            }
            bytes.truncate(end.map_or(usize::MAX, usize::from));
            decode_with_all(&shapes, &bytes);
        },
    );
}

/// Shapes of all kinds, some levels deep.
fn any_shape() -> impl Strategy<Value = Shape> {
    let scalars = [Shape::Bool, Shape::Int, Shape::Uint, Shape::Float, Shape::Text, Shape::Bytes];
    proptest::sample::select(scalars.to_vec()).prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(Shape::list),
            inner.clone().prop_map(|items| Shape::Map(Box::new(items))),
            vec(inner, 0..5).prop_map(|shapes| {
                let field =
                    |(number, shape)| Field { name: format!("f{number}"), go: format!("F{number}"), shape };
                let fields = shapes.into_iter().enumerate().map(field).collect();
                Shape::Struct(Arc::new(Struct { name: "Any", fields }))
            }),
        ]
    })
}

/// Values of a shape, recursive messages up to a depth.
fn value_of(shape: &Shape, depth: usize) -> BoxedStrategy<Value> {
    let text = "\\PC{0,40}";
    if let Some(fields) = shape.fields() {
        let fields = if depth == 0 { Vec::new() } else { fields };
        let values: Vec<_> = fields
            .into_iter()
            .map(|field| (Just(field.name), proptest::option::of(value_of(&field.shape, depth - 1))))
            .collect();
        return values
            .prop_map(|values| {
                values
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)))
                    .collect::<Map<_, _>>()
                    .into()
            })
            .boxed();
    }
    match shape {
        Shape::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Shape::Int => any::<i64>().prop_map(Value::from).boxed(),
        Shape::Uint => any::<u64>().prop_map(Value::from).boxed(),
        Shape::Float => any::<f64>().prop_map(super::scalar::of_float).boxed(),
        Shape::Bytes => vec(any::<u8>(), 0..300).prop_map(|bytes| super::scalar::of_bytes(&bytes)).boxed(),
        Shape::List(items) => vec(value_of(items, depth), 0..20).prop_map(Value::from).boxed(),
        Shape::Map(items) => btree_map(text, value_of(items, depth), 0..5)
            .prop_map(|values| values.into_iter().collect::<Map<_, _>>().into())
            .boxed(),
        _ => text.prop_map(Value::from).boxed(),
    }
}

/// The value without the fields that are zero.
fn without_zeros(shape: &Shape, value: Value) -> Value {
    match (shape, shape.fields(), value) {
        (_, Some(fields), Value::Object(mut values)) => {
            let mut kept = Map::new();
            for field in fields {
                let value = without_zeros(&field.shape, values.remove(&field.name).unwrap_or_default());
                let is_structure = field.shape.fields().is_some();
                if !value.is_null()
                    && (is_structure || value != field.shape.zero() && value != 0.0 && value != -0.0)
                {
                    kept.insert(field.name, value);
                }
            }
            Value::Object(kept)
        }
        (Shape::List(items), _, Value::Array(values)) => {
            values.into_iter().map(|value| without_zeros(items, value)).collect()
        }
        (Shape::Map(items), _, Value::Object(values)) => {
            let values = values.into_iter().map(|(key, value)| (key, without_zeros(items, value)));
            values.collect::<Map<_, _>>().into()
        }
        (_, _, value) => value,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn encoded_values_are_decoded_as_the_same(
        (shape, value) in any_shape().prop_flat_map(|shape| {
            let value = value_of(&shape, 10);
            (Just(shape), value)
        })
    ) {
        for codec in CODECS {
            let bytes = codec.encode(&shape, &value).unwrap();
            let read = codec.decode(&shape, &bytes, 1_000_000).unwrap();
            prop_assert_eq!(without_zeros(&shape, read), without_zeros(&shape, value.clone()));
        }
    }

    #[test]
    fn encoded_messages_are_decoded_as_the_same(
        value in value_of(&Shape::message("centrifugal.centrifugo.api.SubscribeRequest"), 3)
    ) {
        let shape = Shape::message("centrifugal.centrifugo.api.SubscribeRequest");
        for codec in CODECS {
            let bytes = codec.encode(&shape, &value).unwrap();
            let read = codec.decode(&shape, &bytes, 1_000_000).unwrap();
            prop_assert_eq!(without_zeros(&shape, read), without_zeros(&shape, value.clone()));
        }
    }
}
