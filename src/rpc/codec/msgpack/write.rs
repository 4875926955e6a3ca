//! Encoding: all fields of every structure, numbers in their full width.

use bytes::Bytes;
use rmp::encode;
use serde_json::{Map, Value};

use super::Error;
use crate::rpc::codec::layout::{Kind, Layout, Structure};
use crate::rpc::codec::{Shape, scalar};

/// Encodes a result.
///
/// # Errors
/// When the value does not have this shape.
pub(in crate::rpc::codec) fn encode(shape: &Shape, value: &Value) -> Result<Bytes, Error> {
    let layout = Layout::of(shape);
    let mut out = Vec::new();
    put_value(&layout, layout.root(), value, &mut out)?;
    Ok(out.into())
}

fn put_value(layout: &Layout, place: usize, value: &Value, out: &mut Vec<u8>) -> Result<(), Error> {
    match &layout.get(place).kind {
        Kind::Bool => encode::write_bool(out, scalar::as_bool(value)?).map_err(io),
        Kind::Int => encode::write_i64(out, scalar::as_int(value)?).map_err(io),
        Kind::Uint => encode::write_u64(out, scalar::as_uint(value)?).map_err(io),
        Kind::Float => encode::write_f64(out, scalar::as_float(value)?).map_err(io),
        Kind::Bytes => encode::write_bin(out, &scalar::as_bytes(value)?).map_err(io),
        Kind::Text => encode::write_str(out, scalar::as_text(value)?).map_err(io),
        Kind::List(items) => {
            let values = scalar::as_list(value)?;
            encode::write_array_len(out, count(values.len())?).map_err(io)?;
            values.iter().try_for_each(|value| put_value(layout, *items, value, out))
        }
        Kind::Map(items) => {
            let values = scalar::as_object(value)?;
            encode::write_map_len(out, count(values.map_or(0, Map::len))?).map_err(io)?;
            values.into_iter().flatten().try_for_each(|(key, value)| {
                encode::write_str(out, key).map_err(io)?;
                put_value(layout, *items, value, out)
            })
        }
        Kind::Struct(structure) => put_structure(layout, structure, value, out),
    }
}

/// All fields, those left out of the value as zero; a structure that is left out is nil.
fn put_structure(
    layout: &Layout,
    structure: &Structure,
    value: &Value,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let Some(values) = scalar::as_object(value)? else {
        return encode::write_nil(out).map_err(io);
    };
    encode::write_map_len(out, count(structure.members.len())?).map_err(io)?;
    structure.members.iter().try_for_each(|member| {
        encode::write_str(out, &member.go).map_err(io)?;
        put_value(layout, member.place, values.get(&member.name).unwrap_or(&Value::Null), out)
    })
}

fn count(count: usize) -> Result<u32, Error> {
    u32::try_from(count).map_err(|_| Error::TooLong)
}

fn io(error: impl Into<std::io::Error>) -> Error {
    Error::Write(error.into())
}
