//! Encoding, as Go's encoder does: definitions first, zero fields left out.

use bytes::Bytes;
use serde_json::Value;

use super::wire::{FIRST_FREE, put_bytes, put_int, put_uint};
use crate::rpc::codec::layout::{Kind, Layout, Structure};
use crate::rpc::codec::{Shape, scalar};

/// The scalars of a [`Layout`], which come first, in the order of gob's ids.
const SCALARS: usize = 6;

/// Encodes a result.
///
/// # Errors
/// When the value does not have this shape.
pub(in crate::rpc::codec) fn encode(shape: &Shape, value: &Value) -> Result<Bytes, scalar::Error> {
    let layout = Layout::of(shape);
    let root = layout.root();
    let mut out = Vec::new();
    Definer { layout: &layout, is_sent: Vec::new() }.define(root, &mut out);
    let mut message = Vec::new();
    put_int(&mut message, type_id(root));
    if !matches!(layout.get(root).kind, Kind::Struct(_)) {
        // Other values are sent like a field, with a delta of zero.
        put_uint(&mut message, 0);
    }
    put_value(&layout, root, value, &mut message)?;
    put_bytes(&mut out, &message);
    Ok(out.into())
}

/// Types are numbered in the order of the layout, anew for every result. Go's numbers depend on what was sent before.
fn type_id(place: usize) -> i64 {
    let number = |place| i64::try_from(place).unwrap_or(i64::MAX);
    place.checked_sub(SCALARS).map_or_else(|| number(place + 1), |place| number(place) + FIRST_FREE)
}

/// Writes definitions, each type before those it is made of.
struct Definer<'a> {
    layout: &'a Layout,
    is_sent: Vec<usize>,
}

impl Definer<'_> {
    fn define(&mut self, place: usize, out: &mut Vec<u8>) {
        if place < SCALARS || self.is_sent.contains(&place) {
            return;
        }
        self.is_sent.push(place);
        let layout = self.layout;
        let typ = layout.get(place);
        let mut message = Vec::new();
        put_int(&mut message, -type_id(place));
        match &typ.kind {
            Kind::List(items) => {
                put_common(&mut message, 2, &typ.label, place);
                put_id(&mut message, *items);
            }
            Kind::Map(items) => {
                put_common(&mut message, 4, &typ.label, place);
                put_id(&mut message, 5);
                put_id(&mut message, *items);
            }
            Kind::Struct(structure) => {
                put_common(&mut message, 3, &typ.label, place);
                put_fields(&mut message, structure);
            }
            _ => {}
        }
        // The ends of the definition's structure and of the `wireType` around it.
        message.extend([0, 0]);
        put_bytes(out, &message);
        match &typ.kind {
            Kind::List(items) | Kind::Map(items) => self.define(*items, out),
            Kind::Struct(structure) => {
                structure.members.iter().for_each(|member| self.define(member.place, out));
            }
            _ => {}
        }
    }
}

/// Begins a `wireType` whose field `number` is set, with the name and id of that.
fn put_common(message: &mut Vec<u8>, number: u8, label: &str, place: usize) {
    message.extend([number, 1]);
    put_named_id(message, label, type_id(place));
}

/// Adds a field that is an id.
fn put_id(message: &mut Vec<u8>, place: usize) {
    message.push(1);
    put_int(message, type_id(place));
}

fn put_fields(message: &mut Vec<u8>, structure: &Structure) {
    if structure.members.is_empty() {
        return;
    }
    message.push(1);
    put_uint(message, structure.members.len() as u64);
    for member in &structure.members {
        put_named_id(message, &member.go, type_id(member.place));
    }
}

/// `{Name, Id}`; an empty name is left out.
fn put_named_id(message: &mut Vec<u8>, name: &str, id: i64) {
    if name.is_empty() {
        message.push(2);
    } else {
        message.push(1);
        put_bytes(message, name.as_bytes());
        message.push(1);
    }
    put_int(message, id);
    message.push(0);
}

fn put_value(layout: &Layout, place: usize, value: &Value, out: &mut Vec<u8>) -> Result<(), scalar::Error> {
    match &layout.get(place).kind {
        Kind::Bool => put_uint(out, scalar::as_bool(value)?.into()),
        Kind::Int => put_int(out, scalar::as_int(value)?),
        Kind::Uint => put_uint(out, scalar::as_uint(value)?),
        Kind::Float => put_uint(out, scalar::as_float(value)?.to_bits().swap_bytes()),
        Kind::Bytes => put_bytes(out, &scalar::as_bytes(value)?),
        Kind::Text => put_bytes(out, scalar::as_text(value)?.as_bytes()),
        Kind::List(items) => {
            let values = scalar::as_list(value)?;
            put_uint(out, values.len() as u64);
            for value in values {
                put_value(layout, *items, value, out)?;
            }
        }
        Kind::Map(items) => {
            let values = scalar::as_object(value)?;
            put_uint(out, values.map_or(0, |values| values.len() as u64));
            for (key, value) in values.into_iter().flatten() {
                put_bytes(out, key.as_bytes());
                put_value(layout, *items, value, out)?;
            }
        }
        Kind::Struct(structure) => put_structure(layout, structure, value, out)?,
    }
    Ok(())
}

fn put_structure(
    layout: &Layout,
    structure: &Structure,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), scalar::Error> {
    let values = scalar::as_object(value)?;
    let mut delta = 0;
    for member in &structure.members {
        delta += 1;
        let value = values.and_then(|values| values.get(&member.name)).unwrap_or(&Value::Null);
        if !is_zero(&layout.get(member.place).kind, value) {
            put_uint(out, delta);
            delta = 0;
            put_value(layout, member.place, value, out)?;
        }
    }
    out.push(0);
    Ok(())
}

/// Whether a field is left out. A structure is behind a pointer in Go, so an empty one is not zero.
fn is_zero(kind: &Kind, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(values) => values.is_empty() && matches!(kind, Kind::Map(_)),
    }
}
