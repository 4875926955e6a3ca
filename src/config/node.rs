//! The configuration as text in a tree: every value knows where it stands.

use std::fmt;
use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    /// The file's name as it was given, or what else the value came from.
    pub(crate) file: Arc<str>,
    /// Counted from one; 0 where there are no lines.
    pub(crate) line: usize,
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { f.write_str(&self.file) } else { write!(f, "{}:{}", self.file, self.line) }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: At,
}

/// What a value is before anybody wants something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    /// A word. Only a plain one, which stands without quotes, may be a number or a truth value of its own.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file; keys are in lower case and occur once.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// An empty section.
    pub(crate) fn empty(at: At) -> Self {
        Self { value: Value::Map(Vec::new()), at }
    }

    /// What stands under `key`.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, node)| node),
            _ => None,
        }
    }

    /// The sections and values of a section.
    pub(crate) fn entries(&self) -> &[(String, Self)] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a word.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Puts `node` at a dotted path; sections on the way are made as needed, and what is in the way is replaced.
    pub(crate) fn set(&mut self, path: &str, node: Self) {
        let (key, rest) = path.split_once('.').map_or((path, None), |(key, rest)| (key, Some(rest)));
        if !matches!(self.value, Value::Map(_)) {
            self.value = Value::Map(Vec::new());
        }
        let Value::Map(entries) = &mut self.value else { return };
        let place = if let Some(place) = entries.iter().position(|(name, _)| name == key) {
            place
        } else {
            entries.push((key.to_owned(), Self { value: Value::Null, at: node.at.clone() }));
            entries.len() - 1
        };
        match rest {
            Some(rest) => entries[place].1.set(rest, node),
            None => entries[place].1.merge(node),
        }
    }

    /// Adds an entry to a section.
    pub(crate) fn put(&mut self, key: String, node: Self) {
        if let Value::Map(entries) = &mut self.value {
            entries.push((key, node));
        }
    }

    /// Lays `over` over this: sections are merged key by key, everything else is replaced.
    pub(crate) fn merge(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Map(entries), Value::Map(more)) => {
                for (key, node) in more {
                    match entries.iter_mut().find(|(name, _)| *name == key) {
                        Some((_, mine)) => mine.merge(node),
                        None => entries.push((key, node)),
                    }
                }
            }
            (mine, value) => {
                *mine = value;
                self.at = over.at;
            }
        }
    }

    /// Calls `edit` for the text of every word below.
    pub(crate) fn for_each_text(&mut self, edit: &mut impl FnMut(&str, &At) -> Option<String>) {
        match &mut self.value {
            Value::Null => {}
            Value::Scalar { text, plain } => {
                if let Some(edited) = edit(text, &self.at) {
                    *text = edited;
                    *plain = false;
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| item.for_each_text(edit)),
            Value::Map(entries) => entries.iter_mut().for_each(|(_, node)| node.for_each_text(edit)),
        }
    }
}
