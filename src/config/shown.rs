//! The configuration without secrets: in messages, and as `rpc.Config` returns it.
//!
//! A message names file, line and key. It quotes a value only if neither its key nor its text suggests a secret; a value that came from a
//! variable is shown as the reference in the file.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::node::{At, Node, Shown, Value};
use crate::secrets::{HIDDEN, is_secret, scrub, scrub_words};
use crate::worker;

/// Sections whose values are always hidden: any of them may be a secret.
const HIDDEN_SECTIONS: [&str; 7] =
    ["env", "environment", "headers", "cookies", "metadata", "params", "credentials"];

/// Bytes of a value that a message quotes.
const MAX_QUOTED: usize = 100;

/// Bytes of a value that a list of changes shows.
const MAX_SHOWN: usize = 200;

/// Bytes of a key that a message names.
const MAX_KEY: usize = 200;

/// The whole tree as JSON, keys sorted except those of pools, secrets hidden.
pub(super) fn shown(tree: &Node) -> String {
    json(tree, "", false).to_string()
}

fn json(node: &Node, path: &str, hidden: bool) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { text, plain, shown } => {
            if hidden || is_inline_secret(path, text) {
                return HIDDEN.into();
            }
            let seen = readable(text, shown.as_deref());
            if *plain { plain_word(seen) } else { scrub(seen).into() }
        }
        // A word may say that the next one is a secret, as in commands. Labels of metrics say nothing.
        Value::List(items) if !hidden && !path.starts_with("metrics.collect.") => {
            let seen = items.iter().map(|item| item.text().map_or("", |text| readable(text, item.shown())));
            let word = |(item, shown): (&Node, String)| match item.text() {
                Some(text) if shown != text && !is_inline_secret(path, text) => shown.into(),
                _ => json(item, path, hidden),
            };
            items.iter().zip(scrub_words(seen)).map(word).collect()
        }
        Value::List(items) => items.iter().map(|item| json(item, path, hidden)).collect(),
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            // The first pool that matches a call answers it.
            if path != "centrifuge.pools" {
                sorted.sort_by(|a, b| a.0.cmp(&b.0));
            }
            let member = |(key, node): &(String, Node)| {
                let path = join(path, key);
                let hidden = hidden || hides(&path);
                // Without its colon, a line is one key made of a key and its value.
                let name = if hidden || key.contains('=') { self::key(key) } else { key.clone() };
                (name, json(node, &path, hidden))
            };
            Json::Object(sorted.into_iter().map(member).collect::<Map<_, _>>())
        }
    }
}

/// The text as `rpc.Config` shows it: RoadRunner's clients read addresses there, so values of variables are shown unless their names denote
/// secrets.
fn readable<'a>(text: &'a str, shown: Option<&'a Shown>) -> &'a str {
    shown.map(|shown| shown.text.as_str()).filter(|shown| names_a_secret(shown)).unwrap_or(text)
}

/// A word without quotes may be a number or a truth value.
fn plain_word(text: &str) -> Json {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        "null" | "~" => Json::Null,
        _ => match text.parse::<serde_json::Number>() {
            Ok(number) => Json::Number(number),
            Err(_) => scrub(text).into(),
        },
    }
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether the last key of a path hides what stands below it.
fn hides(path: &str) -> bool {
    let (section, key) = path.rsplit_once('.').unwrap_or(("", path));
    let key = key.split('[').next().unwrap_or(key);
    // Collectors and pools have names of their own, and the path of a key's file is no secret.
    if matches!(section, "metrics.collect" | "centrifuge.pools") || key == "key" {
        return false;
    }
    HIDDEN_SECTIONS.contains(&key) || is_secret(key)
}

/// `key` is the path of a file in most sections, and a secret in some.
fn is_inline_secret(path: &str, text: &str) -> bool {
    let key = path.rsplit('.').next().unwrap_or(path);
    let is_path = || {
        let extension = text.rsplit_once('.').map(|(_, extension)| extension);
        text.starts_with(['/', '.'])
            || matches!(extension, Some("pem" | "key" | "crt" | "cer" | "der" | "p12"))
    };
    key.split('[').next() == Some("key") && !is_path()
}

/// Whether a value at this path may be a secret.
fn may_be_secret(path: &str, text: &str) -> bool {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    is_inline_secret(path, text) || ends.into_iter().any(|end| hides(&path[..end]))
}

/// Whether one of the `${NAME}` in a text is named like a secret.
fn names_a_secret(shown: &str) -> bool {
    shown.split("${").skip(1).any(|rest| is_secret(rest.split('}').next().unwrap_or(rest)))
}

/// The value at a path in one line, as `rpc.Config` shows it.
pub(super) fn in_line(node: &Node, path: &str) -> String {
    let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
    let hidden = ends.into_iter().any(|end| hides(&path[..end]));
    match json(node, path, hidden) {
        Json::String(text) => clip(&text, MAX_SHOWN),
        other => clip(&other.to_string(), MAX_SHOWN),
    }
}

/// The value at a path, as a message may show it.
pub(super) fn value(node: &Node, path: &str) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::List(_) => "a list".into(),
        Value::Map(_) => "a section".into(),
        Value::Scalar { text, .. } if may_be_secret(path, text) => HIDDEN.into(),
        Value::Scalar { text, shown, .. } => {
            clip(&scrub(shown.as_ref().map_or(text, |shown| &shown.text)), MAX_QUOTED)
        }
    }
}

/// What was found in place of the expected value.
pub(super) fn found(node: &Node, path: &str) -> String {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_nothing() && may_be_secret(path, text) => {
            "a value that may be secret and is not shown".into()
        }
        Value::Scalar { shown: Some(shown), .. } if node.is_nothing() => {
            format!("nothing: {} is empty or not set", clip(&scrub(&shown.text), MAX_QUOTED))
        }
        Value::Scalar { shown: Some(_), .. } => {
            format!("\"{}\" with its variables replaced", value(node, path))
        }
        Value::Scalar { .. } => format!("\"{}\"", value(node, path)),
        Value::Null => "nothing".into(),
        Value::List(_) | Value::Map(_) => value(node, path),
    }
}

/// The message without values that must not be shown.
pub(super) fn without_value(message: String, node: &Node, path: &str) -> String {
    match &node.value {
        Value::Scalar { text, shown: reference, .. } => {
            let shown = value(node, path);
            let is_quoted = !text.trim().is_empty() && shown != *text && message.contains(text.as_str());
            let message = if is_quoted { replaced(&message, text, &shown) } else { message };
            reference.as_deref().map_or(message.clone(), |reference| without_variables(message, reference))
        }
        Value::List(items) => items.iter().fold(message, |message, item| without_value(message, item, path)),
        Value::Null | Value::Map(_) => message,
    }
}

/// The texts of a section in which variables were replaced, and how messages show each.
pub(super) fn references(section: Option<&Node>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    section.cloned().unwrap_or_else(|| Node::empty(At::of_flag(""))).for_each_scalar("", &mut |node, _| {
        let items = node.split();
        let shown = items.iter().filter_map(|item| Some((item.text()?.to_owned(), item.shown()?)));
        let shown = shown.filter(|(text, _)| !text.is_empty());
        found.extend(shown.map(|(text, shown)| (text.clone(), without_variables(text, shown))));
    });
    found
}

/// The message with references in place of the values of variables, of which it may quote a part of the text, such as a directory.
fn without_variables(message: String, shown: &Shown) -> String {
    let mut values: Vec<_> = shown.values.iter().filter(|(_, value)| !value.trim().is_empty()).collect();
    values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
    values.into_iter().fold(message, |message, (reference, value)| replaced(&message, value, reference))
}

/// `message` with `shown` in place of `text`. A short text is replaced only as a whole word.
fn replaced(message: &str, text: &str, shown: &str) -> String {
    let is_short = text.len() < 4;
    let mut out = String::new();
    let mut rest = message;
    while let Some(at) = rest.find(text) {
        let (before, behind) = (&rest[..at], &rest[at + text.len()..]);
        let is_part = before.ends_with(char::is_alphanumeric) || behind.starts_with(char::is_alphanumeric);
        out.push_str(before);
        out.push_str(if is_short && is_part { text } else { shown });
        rest = behind;
    }
    out + rest
}

/// Makes the command at this place below `node` show its references.
pub(super) fn show_reference(node: &Node, keys: &[&str], command: Option<&mut worker::Command>) {
    let node = keys.iter().try_fold(node, |node, key| node.get(key));
    if let (Some(words), Some(command)) = (node.and_then(self::command), command) {
        command.show_as(&words);
    }
}

/// The words of a command, or its text, with references to variables, if it has any.
pub(super) fn command(node: &Node) -> Option<Vec<&str>> {
    let items = if matches!(node.value, Value::List(_)) { node.items() } else { std::slice::from_ref(node) };
    let has_references = items.iter().any(|item| item.reference().is_some());
    has_references.then(|| items.iter().filter_map(|item| item.reference().or(item.text())).collect())
}

/// A key as a message may name it. A line without its colon makes one key of a key and its value, so it is cut.
pub(super) fn key(name: &str) -> String {
    let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '<' | '[' | ']');
    let end = name.find(|c: char| !is_part(c)).unwrap_or(name.len());
    let shown = clip(&name[..end], MAX_KEY);
    if end < name.len() { format!("{shown}...") } else { shown }
}

/// At most `most` bytes of a text, without line breaks and control characters.
fn clip(text: &str, most: usize) -> String {
    let end = (0..=most.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let clean = text[..end].replace(char::is_control, " ");
    if end < text.len() { format!("{clean}...") } else { clean }
}
