//! `centrifuge.pools`: each pool has the keys of `server` and of `centrifuge.pool` in one section, and two of its own.

use super::nearest::nearest;
use super::node::{Node, Value};
use super::problems::Problems;
use super::{shown, typed};
use crate::pools::{Config, Glob, Match, Routing, TYPES, is_of_unknown_type};
use crate::{pool, worker};

/// Reads all of them, in the order of the file. What a pool does not set itself comes from `server`.
pub(super) fn read(tree: &Node, server: &worker::Config, problems: &Problems) -> Vec<Config> {
    let Some(section) = tree.get("centrifuge").and_then(|node| node.get("pools")) else { return Vec::new() };
    if !section.is_nothing() && !matches!(section.value, Value::Map(_)) {
        let text = "expected pools by their names, such as pools: {reports: {match: {types: [rpc]}}}";
        problems.mistake(&section.at, Some("centrifuge.pools"), text);
    }
    let parts = [typed::keys::<Routing>(), typed::keys::<worker::Config>(), typed::keys::<pool::Config>()];
    // Both of the latter have a command.
    let mut keys: Vec<&str> = Vec::new();
    for key in parts.into_iter().flatten() {
        if !keys.contains(key) {
            keys.push(key);
        }
    }
    section.entries().iter().map(|(name, node)| read_one(name, node, &keys, server, problems)).collect()
}

fn read_one(name: &str, node: &Node, keys: &[&str], server: &worker::Config, problems: &Problems) -> Config {
    let path = format!("centrifuge.pools.{name}");
    check_name(name, node, &path, problems);
    let routing: Routing = typed::read_part(node, &path, keys, problems);
    let own: worker::Config = typed::read_part(node, &path, keys, problems);
    let mut pool: pool::Config = typed::read_part(node, &path, keys, problems);
    let sets_relay = node.get("relay").is_some_and(|node| !node.is_nothing());
    let mut server = own.inherit(server, sets_relay);
    shown::show_reference(node, &["command"], pool.command.as_mut());
    let on_init = server.on_init.as_mut().map(|on_init| &mut on_init.command);
    shown::show_reference(node, &["on_init", "command"], on_init);
    check_commands(&server, &pool, node, &path, problems);
    check_match(&routing.matches, node, &path, problems);
    Config { key: name.to_owned(), routing, server, pool }
}

/// The name becomes a part of `centrifuge.<name>`, in commands, metrics and queries.
fn check_name(name: &str, node: &Node, path: &str, problems: &Problems) {
    let is_fine = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
    let text = if !name.chars().all(is_fine) || name.is_empty() {
        "expected a name of letters, digits, `-` and `_`"
    } else if name == "centrifuge" {
        "this is the name of the default pool, centrifuge.pool; expected another name"
    } else {
        return;
    };
    problems.mistake(&node.at, Some(path), text);
}

fn check_commands(
    server: &worker::Config,
    pool: &pool::Config,
    node: &Node,
    path: &str,
    problems: &Problems,
) {
    let key = format!("{path}.command");
    let is_missing = pool.command.is_none() && server.command.argv.is_empty();
    if is_missing && !problems.spoil(&key) && !problems.spoil("server.command") {
        let text = "missing: expected a command such as \"php app.php\", here or in server";
        problems.mistake(&node.get("command").unwrap_or(node).at, Some(&key), text);
    }
    let key = format!("{path}.on_init.command");
    if server.on_init.as_ref().is_some_and(|on_init| on_init.command.argv.is_empty()) && !problems.spoil(&key)
    {
        problems.mistake(&node.at, Some(&key), "missing");
    }
}

/// A key that is set must have a value: without one, perhaps because a variable is empty, it would match every call.
fn check_match(matches: &Match, node: &Node, path: &str, problems: &Problems) {
    let set = |key: &str| node.get("match").and_then(|node| node.get(key));
    let Match { types, methods, channels } = matches;
    for (name, globs) in [("types", types), ("methods", methods), ("channels", channels)] {
        let key = format!("{path}.match.{name}");
        if let Some(node) = set(name).filter(|_| globs.is_empty() && !problems.spoil(&key)) {
            let text =
                format!("expected at least one glob such as \"chat:*\", found {}", shown::found(node, &key));
            problems.mistake(&node.at, Some(&key), text);
        }
    }
    check_types(types, set("types").unwrap_or(node), &format!("{path}.match.types"), problems);
}

/// Warns of types that Centrifugo does not have; a later one may.
fn check_types(types: &[Glob], node: &Node, key: &str, problems: &Problems) {
    for glob in types.iter().filter(|glob| is_of_unknown_type(glob)) {
        let hint = match nearest(glob.as_str(), TYPES.map(|(kind, _)| kind)) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known types: {}", TYPES.map(|(kind, _)| kind).join(", ")),
        };
        let text =
            shown::without_value(format!("Centrifugo has no type `{}`; {hint}", glob.as_str()), node, key);
        problems.warn(&node.at, Some(key), text);
    }
}
