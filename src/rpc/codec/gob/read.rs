//! Decoding: the parts of the sender's types that match ours.

use serde_json::{Map, Value};

use super::Error;
use super::wire::{Defined, Definitions, FIRST_FREE, Reader, id};
use crate::rpc::codec::layout::{Kind, Layout, MAX_DEPTH};
use crate::rpc::codec::{Items, Shape, scalar};

/// Decodes an argument.
///
/// # Errors
/// When the stream is malformed, or its types do not match.
pub(in crate::rpc::codec) fn decode(shape: &Shape, bytes: &[u8], items: Items) -> Result<Value, Error> {
    let layout = &Layout::of(shape);
    let mut stream = Reader::new(bytes);
    let mut definitions = Definitions::default();
    loop {
        if stream.is_empty() {
            return Err(Error::Truncated);
        }
        let mut message = Reader::new(stream.bytes()?);
        let number = message.int()?;
        if number >= 0 {
            return Values { layout, definitions, message, items }.root(number);
        }
        definitions.define(number.saturating_neg(), &mut message)?;
    }
}

/// A value and the types on both sides.
struct Values<'a> {
    layout: &'a Layout,
    definitions: Definitions<'a>,
    message: Reader<'a>,
    items: Items,
}

impl Values<'_> {
    fn root(mut self, remote: i64) -> Result<Value, Error> {
        let local = self.layout.root();
        if let Kind::Struct(structure) = &self.layout.get(local).kind {
            let fields = self.remote_fields(local, remote)?;
            let is_known = |name: &str| structure.members.iter().any(|member| member.go == name);
            if !fields.is_empty() && !fields.iter().any(|(name, _)| is_known(name)) {
                return Err(Error::NoFieldsMatched(structure.name.clone()));
            }
        } else {
            if !self.is_compatible(local, remote) {
                let (local, remote) = (self.layout.go_type(local), self.definitions.name(remote).to_owned());
                return Err(Error::Incompatible { local, remote });
            }
            if self.message.uint()? != 0 {
                return Err(Error::DeltaOfSingleton);
            }
        }
        self.value(local, remote, 0)
    }

    /// Whether a value of the sender's type can be read as ours. Structures always can: their fields are checked one by one.
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
    fn value(&mut self, local: usize, remote: i64, depth: usize) -> Result<Value, Error> {
        check_depth(depth)?;
        let kind = &self.layout.get(local).kind;
        if matches!(kind, Kind::List(_) | Kind::Map(_) | Kind::Struct(_)) {
            self.items.container()?;
        }
        self.items.value()?;
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

    fn list(&mut self, items: usize, remote: i64, depth: usize) -> Result<Value, Error> {
        let mut values = Vec::new();
        if let Some(Defined::List(remote)) = self.defined(remote) {
            let remote = *remote;
            self.each_item(|this| {
                values.push(this.value(items, remote, depth + 1)?);
                Ok(())
            })?;
        }
        Ok(Value::Array(values))
    }

    fn map(&mut self, items: usize, remote: i64, depth: usize) -> Result<Value, Error> {
        let mut values = Map::new();
        if let Some(Defined::Map(keys, remote)) = self.defined(remote) {
            let (keys, remote) = (*keys, *remote);
            self.each_item(|this| {
                let key = scalar::to_key(match keys {
                    id::INT => this.message.int()?.into(),
                    id::UINT => this.message.uint()?.into(),
                    id::FLOAT => scalar::of_float(this.message.float()?),
                    _ => scalar::of_text(this.message.bytes()?),
                });
                this.items.value()?;
                values.insert(key, this.value(items, remote, depth + 1)?);
                Ok(())
            })?;
        }
        Ok(Value::Object(values))
    }

    fn structure(&mut self, local: usize, remote: i64, depth: usize) -> Result<Value, Error> {
        let layout = self.layout;
        let Kind::Struct(structure) = &layout.get(local).kind else { return Ok(Value::Null) };
        let mut values = Map::new();
        let mut field = None;
        while let Some(number) = self.message.next_field(field)? {
            let fields = self.remote_fields(local, remote)?;
            let (name, remote_field) = *fields.get(number).ok_or(Error::FieldOutOfBounds)?;
            match structure.members.iter().find(|member| member.go == name) {
                None => self.skip(remote_field, depth + 1)?,
                Some(member) if self.is_compatible(member.place, remote_field) => {
                    let value = self.value(member.place, remote_field, depth + 1)?;
                    values.insert(member.name.clone(), value);
                }
                Some(member) => {
                    let (wanted, field) = (layout.go_type(member.place), name.to_owned());
                    let structure = self.definitions.name(remote).to_owned();
                    return Err(Error::WrongField { wanted, structure, field });
                }
            }
            field = Some(number);
        }
        Ok(Value::Object(values))
    }

    /// Skips a value of a type that only the sender knows.
    fn skip(&mut self, remote: i64, depth: usize) -> Result<(), Error> {
        check_depth(depth)?;
        match remote {
            id::BOOL | id::INT | id::UINT | id::FLOAT => return self.message.uint().map(drop),
            id::BYTES | id::TEXT => return self.message.bytes().map(drop),
            id::COMPLEX => return self.message.uint().and_then(|_| self.message.uint()).map(drop),
            id::INTERFACE => return Err(Error::Interface),
            _ => {}
        }
        match self.defined(remote) {
            Some(Defined::Array(items) | Defined::List(items)) => {
                let items = *items;
                self.each_item(|this| this.skip(items, depth + 1))
            }
            Some(Defined::Map(keys, items)) => {
                let (keys, items) = (*keys, *items);
                self.each_item(|this| this.skip(keys, depth + 1).and_then(|()| this.skip(items, depth + 1)))
            }
            Some(Defined::Opaque) => self.message.bytes().map(drop),
            Some(Defined::Struct(_)) => self.skip_structure(remote, depth),
            None => Err(Error::UndefinedType(remote)),
        }
    }

    fn skip_structure(&mut self, remote: i64, depth: usize) -> Result<(), Error> {
        let mut field = None;
        while let Some(number) = self.message.next_field(field)? {
            let fields = self.definitions.fields(remote).unwrap_or_default();
            let (_, remote_field) = *fields.get(number).ok_or(Error::FieldOutOfBounds)?;
            self.skip(remote_field, depth + 1)?;
            field = Some(number);
        }
        Ok(())
    }

    fn defined(&self, remote: i64) -> Option<&Defined<'_>> {
        self.definitions.get(remote).map(|definition| &definition.kind)
    }

    fn remote_fields(&self, local: usize, remote: i64) -> Result<&[(&str, i64)], Error> {
        self.definitions.fields(remote).ok_or_else(|| {
            if remote >= FIRST_FREE && self.definitions.get(remote).is_none() {
                return Error::UnknownType;
            }
            Error::NotAStruct(self.layout.go_type(local))
        })
    }

    /// Reads a count, and as many items.
    fn each_item(&mut self, mut item: impl FnMut(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        let count = self.message.uint()?;
        for _ in 0..count {
            self.message.expect_item(count)?;
            item(self)?;
        }
        Ok(())
    }
}

/// Nesting is bounded by the bytes sent, but those may be many.
fn check_depth(depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH { Err(Error::TooDeep) } else { Ok(()) }
}
