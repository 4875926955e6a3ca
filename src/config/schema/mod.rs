//! The JSON schema of the configuration, for editors and other tools: `causeway schema`.
//!
//! ```text
//!  the types of `Config` ──shape──▶ sections, keys, kinds of values ─┐
//!                                                                    ├──▶ JSON schema, draft 2020-12
//!  config/reference.rr.yaml ──reference──▶ descriptions, defaults ───┘
//! ```
//!
//! Invariants:
//! - A file that loads without a warning is valid, whatever notation its values have: `"4"`, `$NAME`, `10s`, `a,b`.
//! - A key that would be reported as unknown is invalid. Keys in capitals and dotted keys (`server.command`) are not checked.

mod reference;
mod shape;

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

use self::reference::{Entry, Reference};
use self::shape::Shape;
use super::sections::{Causeway, Centrifuge, Endure, OTHER_PLUGINS};
use crate::{admin, pool, pools, rpc, telemetry, worker};

/// Returns the schema, as a text of several lines.
pub(crate) fn text() -> String {
    format!("{:#}\n", schema())
}

fn schema() -> Json {
    let reference = Reference::shipped();
    let mut properties = Map::new();
    for (name, schema) in other_keys() {
        properties.insert(name.to_owned(), described(schema, reference.get(name)));
    }
    for (name, shape) in sections() {
        properties.insert(name.to_owned(), described(value(&shape, name, &reference), reference.get(name)));
    }
    for name in OTHER_PLUGINS {
        let text = "A section of another plugin of RoadRunner, which Causeway does not have.";
        properties.insert(name.to_owned(), json!({"description": text}));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Causeway's configuration, .rr.yaml",
        "type": "object",
        "required": ["version"],
        "properties": properties,
        "patternProperties": unchecked_keys(),
        "additionalProperties": false,
        "$defs": definitions(),
    })
}

fn sections() -> [(&'static str, Shape); 10] {
    [
        ("causeway", Shape::of::<Causeway>()),
        ("rpc", Shape::of::<rpc::Config>()),
        ("server", Shape::of::<worker::Config>()),
        ("centrifuge", centrifuge()),
        ("logs", Shape::of::<telemetry::logs::Config>()),
        ("metrics", Shape::of::<admin::Metrics>()),
        ("status", Shape::of::<admin::Status>()),
        ("otel", Shape::of::<telemetry::trace::Otel>()),
        ("lock", Shape::of::<rpc::LockConfig>()),
        ("endure", Shape::of::<Endure>()),
    ]
}

/// Keys and sections without a type of their own.
fn other_keys() -> [(&'static str, Json); 7] {
    let unused = |what: &str| json!({"description": format!("RoadRunner's {what}, without an effect here.")});
    [
        ("version", json!({"type": "string"})),
        ("include", list(&definition("text"))),
        ("envfile", definition("text")),
        ("app", json!({"description": "Settings for the application's own use."})),
        ("informer", unused("section of its informer")),
        ("resetter", unused("section of its resetter")),
        ("service", unused("section of services, which are not supported")),
    ]
}

/// `centrifuge`, whose pools are read in parts.
fn centrifuge() -> Shape {
    let mut shape = Shape::of::<Centrifuge>();
    let parts = [Shape::of::<pools::Routing>(), Shape::of::<worker::Config>(), Shape::of::<pool::Config>()];
    let mut known = BTreeSet::new();
    let keys = parts.into_iter().flat_map(Shape::into_keys).filter(|(name, _)| known.insert(*name));
    let pools = Shape::Entries(Box::new(Shape::Section(keys.collect())));
    if let Shape::Section(keys) = &mut shape
        && let Some((_, shape)) = keys.iter_mut().find(|(name, _)| *name == "pools")
    {
        *shape = pools;
    }
    shape
}

/// The schema of what stands at the dotted path `path`.
fn value(shape: &Shape, path: &str, reference: &Reference) -> Json {
    match shape {
        Shape::Section(keys) => {
            let member = |(name, shape): &(&'static str, Shape)| {
                let path = format!("{path}.{name}");
                ((*name).to_owned(), described(value(shape, &path, reference), reference.get(&path)))
            };
            json!({
                "type": ["object", "null"],
                "properties": keys.iter().map(member).collect::<Map<_, _>>(),
                "patternProperties": unchecked_keys(),
                "additionalProperties": false,
            })
        }
        Shape::Entries(inner) => {
            let inner = value(inner, &format!("{path}.*"), reference);
            json!({"type": ["object", "null"], "additionalProperties": inner})
        }
        Shape::List(inner) => list(&value(inner, path, reference)),
        Shape::Word(words) => word(words),
        Shape::Truth => definition("truth"),
        Shape::Whole => definition("whole"),
        Shape::Signed => definition("signed"),
        Shape::Number => definition("number"),
        Shape::Duration => definition("duration"),
        Shape::Text => definition("text"),
        Shape::Any => json!({}),
    }
}

/// Adds what the reference says of a key.
fn described(mut schema: Json, entry: Option<&Entry>) -> Json {
    if let (Json::Object(schema), Some(entry)) = (&mut schema, entry) {
        if !entry.description.is_empty() {
            schema.insert("description".into(), entry.description.clone().into());
        }
        if let Some(default) = &entry.default {
            schema.insert("default".into(), default.clone());
        }
        if let Some(example) = &entry.example {
            schema.insert("examples".into(), json!([example]));
        }
        if entry.description.starts_with(reference::NO_EFFECT) {
            schema.insert("deprecated".into(), true.into());
        }
    }
    schema
}

/// Keys are case-insensitive, and may be dotted.
fn unchecked_keys() -> Json {
    json!({"[A-Z.]": true})
}

fn definition(name: &str) -> Json {
    json!({"$ref": format!("#/$defs/{name}")})
}

/// A list, one item, or items separated by commas.
fn list(item: &Json) -> Json {
    json!({"anyOf": [{"type": "array", "items": item}, item, {"type": ["string", "null"]}]})
}

/// One of these words. They are case-insensitive, so one in capitals is not checked.
fn word(words: &[&str]) -> Json {
    let mut choices = vec![json!({"enum": words}), definition("variable"), json!({"pattern": "[A-Z]"})];
    // YAML's own notation of a word that means off.
    if words.contains(&"false") {
        choices.push(json!({"const": false}));
    }
    json!({"anyOf": choices})
}

/// The notations of scalars: their own type, the same in quotes, and variables.
fn definitions() -> Json {
    let scalar = |kind: Json, pattern: &str| {
        let quoted = json!({"type": "string", "pattern": pattern});
        json!({"anyOf": [kind, quoted, definition("variable")]})
    };
    let digits = "0[xX][0-9a-fA-F_]+|0[oO]?[0-7_]+|0[bB][01_]+|[0-9][0-9_]*";
    let duration = "\\s*\\+?(0|([0-9]+\\.?[0-9]*|\\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+\\s*";
    json!({
        "variable": {
            "description": "A value with a variable, such as $NAME or ${NAME:-default}, or none: the default applies.",
            "type": ["string", "null"],
            "pattern": "\\$|^$",
        },
        "text": {"type": ["string", "number", "boolean", "null"]},
        "truth": scalar(
            json!({"enum": [true, false, 0, 1]}),
            "^([tT]([rR][uU][eE])?|[fF]([aA][lL][sS][eE])?|[yY]([eE][sS])?|[nN]([oO])?|[oO][nN]|[oO][fF][fF]|0|1)$",
        ),
        "whole": scalar(json!({"type": "integer", "minimum": 0}), &format!("^\\+?({digits})$")),
        "signed": scalar(json!({"type": "integer"}), &format!("^[+-]?({digits})$")),
        "number": scalar(
            json!({"type": "number"}),
            "^[+-]?([0-9][0-9_]*\\.?[0-9]*|\\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?\\.?[iI][nN][fF]$",
        ),
        "duration": scalar(
            json!({"type": "number", "minimum": 0}),
            &format!("^({duration}|[0-9][0-9_]*\\.?[0-9]*)$"),
        ),
    })
}
