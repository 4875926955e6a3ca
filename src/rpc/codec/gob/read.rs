//! Reading: what the sender's types have in common with ours.

use serde_json::{Map, Value};

use super::wire::{Defined, Definitions, FIRST_FREE, Reader, TRUNCATED, id, out_of_bounds};
use crate::rpc::codec::layout::{Kind, Layout, MAX_DEPTH};
use crate::rpc::codec::{Items, Shape, scalar};

/// Reads an argument.
///
/// # Errors
/// The text for the caller, as RoadRunner gives it.
pub(in crate::rpc::codec) fn decode(shape: &Shape, bytes: &[u8], items: Items) -> Result<Value, String> {
    read(&Layout::of(shape), bytes, items).map_err(|error| format!("goridge_read_request_body: {error}"))
}

fn read(layout: &Layout, bytes: &[u8], items: Items) -> Result<Value, String> {
    let mut stream = Reader::new(bytes);
    let mut definitions = Definitions::default();
    loop {
        if stream.is_empty() {
            return Err(TRUNCATED.into());
        }
        let mut message = Reader::new(stream.bytes()?);
        let number = message.int()?;
        if number >= 0 {
            return Values { layout, definitions, message, items }.root(number);
        }
        definitions.define(number.saturating_neg(), &mut message)?;
    }
}

/// A value, and the types on both sides.
struct Values<'a> {
    layout: &'a Layout,
    definitions: Definitions<'a>,
    message: Reader<'a>,
    items: Items,
}

impl Values<'_> {
    fn root(mut self, remote: i64) -> Result<Value, String> {
        let local = self.layout.root();
        if let Kind::Struct(structure) = &self.layout.get(local).kind {
            let fields = self.remote_fields(local, remote)?;
            let is_known = |name: &str| structure.members.iter().any(|member| member.go == name);
            if !fields.is_empty() && !fields.iter().any(|(name, _)| is_known(name)) {
                let name = &structure.name;
                return Err(format!("gob: type mismatch: no fields matched compiling decoder for {name}"));
            }
        } else {
            if !self.is_compatible(local, remote) {
                let (local, remote) = (self.layout.go_type(local), self.definitions.name(remote));
                return Err(format!("gob: decoding into local type *{local}, received remote type {remote}"));
            }
            if self.message.uint()? != 0 {
                return Err("gob: decode: corrupted data: non-zero delta for singleton".into());
            }
        }
        self.value(local, remote, 0)
    }

    /// Whether a value of the sender's type can be read as ours. Structures always can, their fields being looked at one by one.
    fn is_compatible(&self, local: usize, remote: i64) -> bool {
        let defined = self.definitions.get(remote).map(|definition| &definition.kind);
        match (&self.layout.get(local).kind, defined) {
            (Kind::Bool, _) => remote == id::BOOL,
            (Kind::Int, _) => remote == id::INT,
            (Kind::Uint, _) => remote == id::UINT,
            (Kind::Float, _) => remote == id::FLOAT,
            (Kind::Bytes, _) => remote == id::BYTES,
            (Kind::Text, _) => remote == id::TEXT,
            (Kind::List(items), Some(Defined::List(remote))) => self.is_compatible(*items, *remote),
            (Kind::Map(items), Some(Defined::Map(key, remote))) => {
                matches!(*key, id::TEXT | id::INT | id::UINT | id::FLOAT)
                    && self.is_compatible(*items, *remote)
            }
            (Kind::Struct(_), _) => true,
            (Kind::List(_) | Kind::Map(_), _) => false,
        }
    }

    /// Reads a value whose type is compatible.
    fn value(&mut self, local: usize, remote: i64, depth: usize) -> Result<Value, String> {
        check_depth(depth)?;
        let kind = &self.layout.get(local).kind;
        if matches!(kind, Kind::List(_) | Kind::Map(_) | Kind::Struct(_)) {
            self.count(Items::container)?;
        }
        self.count(Items::value)?;
        match kind {
            Kind::Bool => self.message.uint().map(|number| Value::Bool(number != 0)),
            Kind::Int => self.message.int().map(Value::from),
            Kind::Uint => self.message.uint().map(Value::from),
            Kind::Float => self.message.float().map(scalar::of_float),
            Kind::Bytes => self.message.bytes().map(scalar::of_bytes),
            Kind::Text => self.message.bytes().map(scalar::of_text),
            Kind::List(items) => self.list(*items, remote, depth),
            Kind::Map(items) => self.map(*items, remote, depth),
            Kind::Struct(_) => self.structure(local, remote, depth),
        }
    }

    fn list(&mut self, items: usize, remote: i64, depth: usize) -> Result<Value, String> {
        let mut values = Vec::new();
        if let Some(Defined::List(remote)) = self.defined(remote) {
            let remote = *remote;
            self.items(|this| {
                values.push(this.value(items, remote, depth + 1)?);
                Ok(())
            })?;
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, items: usize, remote: i64, depth: usize) -> Result<Value, String> {
        let mut values = Map::new();
        if let Some(Defined::Map(keys, remote)) = self.defined(remote) {
            let (keys, remote) = (*keys, *remote);
            self.items(|this| {
                let key = scalar::to_key(match keys {
                    id::INT => this.message.int()?.into(),
                    id::UINT => this.message.uint()?.into(),
                    id::FLOAT => scalar::of_float(this.message.float()?),
                    _ => scalar::of_text(this.message.bytes()?),
                });
                this.count(Items::value)?;
                values.insert(key, this.value(items, remote, depth + 1)?);
                Ok(())
            })?;
        }
        Ok(Value::Object(values))
    }

    fn structure(&mut self, local: usize, remote: i64, depth: usize) -> Result<Value, String> {
        let layout = self.layout;
        let Kind::Struct(structure) = &layout.get(local).kind else { return Ok(Value::Null) };
        let mut values = Map::new();
        let mut field = None;
        while let Some(number) = self.message.next_field(field)? {
            let fields = self.remote_fields(local, remote)?;
            let (name, remote_field) = *fields.get(number).ok_or_else(out_of_bounds)?;
            match structure.members.iter().find(|member| member.go == name) {
                None => self.skip(remote_field, depth + 1)?,
                Some(member) if self.is_compatible(member.place, remote_field) => {
                    let value = self.value(member.place, remote_field, depth + 1)?;
                    values.insert(member.name.clone(), value);
                }
                Some(member) => {
                    let wanted = layout.go_type(member.place);
                    let from = self.definitions.name(remote);
                    return Err(format!("gob: wrong type ({wanted}) for received field {from}.{name}"));
                }
            }
            field = Some(number);
        }
        Ok(Value::Object(values))
    }

    /// Reads over a value of a type that only the sender knows.
    fn skip(&mut self, remote: i64, depth: usize) -> Result<(), String> {
        check_depth(depth)?;
        match remote {
            id::BOOL | id::INT | id::UINT | id::FLOAT => return self.message.uint().map(drop),
            id::BYTES | id::TEXT => return self.message.bytes().map(drop),
            id::COMPLEX => return self.message.uint().and_then(|_| self.message.uint()).map(drop),
            id::INTERFACE => return Err("gob: interfaces cannot be read here".into()),
            _ => {}
        }
        match self.defined(remote) {
            Some(Defined::Array(items) | Defined::List(items)) => {
                let items = *items;
                self.items(|this| this.skip(items, depth + 1))
            }
            Some(Defined::Map(keys, items)) => {
                let (keys, items) = (*keys, *items);
                self.items(|this| this.skip(keys, depth + 1).and_then(|()| this.skip(items, depth + 1)))
            }
            Some(Defined::Opaque) => self.message.bytes().map(drop),
            Some(Defined::Struct(_)) => self.skip_structure(remote, depth),
            None => Err(format!("gob: bad data: undefined type {remote}")),
        }
    }

    fn skip_structure(&mut self, remote: i64, depth: usize) -> Result<(), String> {
        let mut field = None;
        while let Some(number) = self.message.next_field(field)? {
            let fields = self.definitions.fields(remote).unwrap_or_default();
            let (_, remote_field) = *fields.get(number).ok_or_else(out_of_bounds)?;
            self.skip(remote_field, depth + 1)?;
            field = Some(number);
        }
        Ok(())
    }

    fn count(&mut self, item: fn(&mut Items) -> Result<(), String>) -> Result<(), String> {
        item(&mut self.items).map_err(|error| format!("gob: {error}"))
    }

    fn defined(&self, remote: i64) -> Option<&Defined<'_>> {
        self.definitions.get(remote).map(|definition| &definition.kind)
    }

    fn remote_fields(&self, local: usize, remote: i64) -> Result<&[(&str, i64)], String> {
        self.definitions.fields(remote).ok_or_else(|| {
            if remote >= FIRST_FREE && self.definitions.get(remote).is_none() {
                return "gob: unknown type id or corrupted data".into();
            }
            let wanted = self.layout.go_type(local);
            format!("gob: type mismatch in decoder: want struct type {wanted}; got non-struct")
        })
    }

    /// Reads a count, and as many items.
    fn items(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), String>) -> Result<(), String> {
        let count = self.message.uint()?;
        for _ in 0..count {
            self.message.expect_item(count)?;
            item(self)?;
        }
        Ok(())
    }
}

/// Nesting is bounded by what is sent, but that may be much.
fn check_depth(depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH { Err("gob: invalid nesting depth".into()) } else { Ok(()) }
}
