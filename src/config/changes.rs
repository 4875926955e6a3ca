//! What separates two configurations, key by key, without secrets.

use std::ffi::OsString;

use super::Config;
use super::load::{Loaded, build};
use super::node::{Node, Value};
use super::problems::Problems;
use super::shown::{self, in_line};
use crate::secrets::HIDDEN;

/// The first key of changes of the environment, which is not a section.
const ENVIRONMENT: &str = "environment";

/// A key with another value. Its texts are safe to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// The keys on the way to it.
    pub(crate) path: Vec<String>,
    /// The value until now, if it had one.
    pub(crate) old: Option<String>,
    /// The value from now on, if it has one.
    pub(crate) new: Option<String>,
}

impl Change {
    /// The dotted key.
    pub(crate) fn key(&self) -> String {
        self.path.iter().map(|key| shown::key(key)).collect::<Vec<_>>().join(".")
    }

    /// Whether it is about a variable of the workers' environment.
    pub(crate) fn is_variable(&self) -> bool {
        self.path.first().is_some_and(|first| first == ENVIRONMENT)
    }
}

impl Loaded {
    /// Returns the keys whose values are other ones in `new`, in its order, and the variables that dotenv files have changed.
    pub(crate) fn changes(&self, new: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        compare(Some(&self.tree), Some(&new.tree), &mut Vec::new(), &mut changes);
        variables(&self.env, &new.env, &mut changes);
        changes
    }

    /// Returns the same configuration with the values that `old` has at these keys. It has been valid, and its warnings are kept.
    pub(crate) fn keeping(mut self, old: &Self, keys: &[&Change]) -> Self {
        for change in keys {
            let at =
                |tree: &Node, path: &[String]| path.iter().try_fold(tree, |node, key| node.get(key)).cloned();
            self.tree.restore(&change.path, at(&old.tree, &change.path));
            // A section that was not there is not to stay as an empty one, which may switch something on.
            for length in (1..change.path.len()).rev() {
                let section = &change.path[..length];
                let is_empty = at(&self.tree, section).is_some_and(|node| node.entries().is_empty());
                if is_empty && at(&old.tree, section).is_none() {
                    self.tree.restore(section, None);
                }
            }
        }
        let Config { version, compat, limits, .. } = &old.config;
        self.config = build(&self.tree, version.clone(), *compat, *limits, &Problems::default());
        self.shown = shown::shown(&self.tree);
        self
    }
}

fn compare(old: Option<&Node>, new: Option<&Node>, path: &mut Vec<String>, changes: &mut Vec<Change>) {
    let (old, new) = (present(old), present(new));
    let sections = |node: Option<&Node>| node.is_some_and(|node| matches!(node.value, Value::Map(_)));
    match (old, new) {
        (None, None) => {}
        // A section on one side and nothing on the other, or two sections.
        _ if (sections(old) || sections(new))
            && (old.is_none() || sections(old))
            && (new.is_none() || sections(new)) =>
        {
            let (before, was_there, is_there) = (changes.len(), old.is_some(), new.is_some());
            let section = old.or(new);
            let (old, new) = (old.map_or(&[][..], Node::entries), new.map_or(&[][..], Node::entries));
            order(old, new, path, changes);
            for (key, node) in new {
                path.push(key.clone());
                compare(find(old, key), Some(node), path, changes);
                path.pop();
            }
            for (key, node) in old.iter().filter(|(key, _)| find(new, key).is_none()) {
                path.push(key.clone());
                compare(Some(node), None, path, changes);
                path.pop();
            }
            // One without entries may switch something on, too.
            if was_there != is_there && changes.len() == before {
                let shown = section.map(|node| in_line(node, &path.join(".")));
                let (old, new) = if was_there { (shown, None) } else { (None, shown) };
                changes.push(Change { path: path.clone(), old, new });
            }
        }
        (Some(old), Some(new)) if is_same(old, new) => {}
        _ => {
            let key = path.join(".");
            let shown = |node: Option<&Node>| node.map(|node| in_line(node, &key));
            changes.push(Change { path: path.clone(), old: shown(old), new: shown(new) });
        }
    }
}

/// Pools are tried in the order of the file.
fn order(old: &[(String, Node)], new: &[(String, Node)], path: &[String], changes: &mut Vec<Change>) {
    if path != ["centrifuge", "pools"] {
        return;
    }
    let names = |entries: &[(String, Node)], others: &[(String, Node)]| -> Vec<String> {
        let known = entries.iter().filter(|(key, _)| find(others, key).is_some());
        known.map(|(key, _)| shown::key(key)).collect()
    };
    let (before, after) = (names(old, new), names(new, old));
    if before != after {
        let (old, new) = (Some(before.join(", ")), Some(after.join(", ")));
        changes.push(Change { path: path.to_vec(), old, new });
    }
}

fn variables(old: &[(OsString, OsString)], new: &[(OsString, OsString)], changes: &mut Vec<Change>) {
    let value = |all: &[(OsString, OsString)], name: &OsString| {
        all.iter().rev().find(|(other, _)| other == name).map(|(_, value)| value.clone())
    };
    let gone = old.iter().filter(|(name, _)| value(new, name).is_none());
    for (name, _) in new.iter().chain(gone) {
        let (before, after) = (value(old, name), value(new, name));
        if before != after {
            let path = vec![ENVIRONMENT.to_owned(), name.to_string_lossy().into_owned()];
            let hidden = |value: Option<OsString>| value.map(|_| HIDDEN.to_owned());
            let change = Change { path, old: hidden(before), new: hidden(after) };
            if !changes.contains(&change) {
                changes.push(change);
            }
        }
    }
}

/// An empty value counts as none.
fn present(node: Option<&Node>) -> Option<&Node> {
    node.filter(|node| !node.is_nothing())
}

fn find<'a>(entries: &'a [(String, Node)], key: &str) -> Option<&'a Node> {
    entries.iter().find(|(name, _)| name == key).map(|(_, node)| node)
}

/// Whether two values are the same, wherever they stand and whatever variables they come from.
fn is_same(old: &Node, new: &Node) -> bool {
    match (&old.value, &new.value) {
        (Value::Scalar { text: old, .. }, Value::Scalar { text: new, .. }) => old == new,
        (Value::List(old), Value::List(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| is_same(old, new))
        }
        (Value::Map(old), Value::Map(new)) => {
            let has_same =
                |(key, node): &(String, Node)| find(new, key).is_some_and(|new| is_same(node, new));
            old.len() == new.len() && old.iter().all(has_same)
        }
        (Value::Null, Value::Null) => true,
        _ => false,
    }
}
