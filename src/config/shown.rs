//! The configuration as others may see it: what `rpc.Config` answers.

use serde_json::{Map, Value as Json};

use super::node::{Node, Value};

/// What stands in place of a secret.
const HIDDEN: &str = "***";

/// What is part of the names of keys whose values are secrets.
const SECRET: [&str; 8] =
    ["password", "passwd", "secret", "token", "api_key", "apikey", "credential", "authorization"];

/// Sections whose values are hidden whatever their names are: any of them may be a secret.
const HIDDEN_SECTIONS: [&str; 2] = ["env", "headers"];

/// The whole tree as JSON, keys sorted, secrets hidden.
pub(super) fn shown(tree: &Node) -> String {
    json(tree, false).to_string()
}

fn json(node: &Node, hidden: bool) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Scalar { .. } if hidden => HIDDEN.into(),
        Value::Scalar { text, plain: true } => plain(text),
        Value::Scalar { text, plain: false } => without_password(text).into(),
        Value::List(items) => items.iter().map(|item| json(item, hidden)).collect(),
        Value::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            let member = |(key, node): &(String, Node)| (key.clone(), json(node, hidden || is_secret(key)));
            Json::Object(sorted.into_iter().map(member).collect::<Map<_, _>>())
        }
    }
}

fn is_secret(key: &str) -> bool {
    HIDDEN_SECTIONS.contains(&key) || SECRET.iter().any(|part| key.contains(part))
}

/// A word without quotes may be a number or a truth value.
fn plain(text: &str) -> Json {
    match text {
        "true" => true.into(),
        "false" => false.into(),
        "null" | "~" => Json::Null,
        _ => match text.parse::<serde_json::Number>() {
            Ok(number) => Json::Number(number),
            Err(_) => without_password(text).into(),
        },
    }
}

/// Hides the password of `scheme://user:password@host`.
fn without_password(text: &str) -> String {
    let hidden = || {
        let (scheme, rest) = text.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user, _) = authority.rsplit_once('@')?.0.split_once(':')?;
        let host = &rest[authority.rfind('@')?..];
        Some(format!("{scheme}://{user}:{HIDDEN}{host}"))
    };
    hidden().unwrap_or_else(|| text.to_owned())
}
