//! The configuration as a tree of texts: every value knows its file and line.

use std::fmt;
use std::sync::Arc;

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct At {
    /// The file's name as it was given, or `-o key` for a flag.
    pub(crate) file: Arc<str>,
    /// Counted from one; 0 if there are no lines.
    pub(crate) line: usize,
}

impl At {
    /// The place of the value of `-o key=value`.
    pub(crate) fn of_flag(key: &str) -> Self {
        Self { file: format!("-o {key}").into(), line: 0 }
    }

    /// The key of the flag that the value came from.
    pub(crate) fn flag(&self) -> Option<&str> {
        self.file.strip_prefix("-o ").filter(|_| self.line == 0)
    }
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

/// A value before it has a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    /// A text. Only a plain one, without quotes, can be a number or truth value of its own.
    Scalar {
        text: String,
        plain: bool,
        /// What variables were replaced in the text, if there were any: their values may be secrets.
        shown: Option<Box<Shown>>,
    },
    List(Vec<Node>),
    /// In the order of the file; keys are lower-case and unique.
    Map(Vec<(String, Node)>),
}

/// A text whose variables were replaced, as messages show it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Shown {
    /// The text with a reference in place of each value.
    pub(crate) text: String,
    /// The references and their values.
    pub(crate) values: Vec<(String, String)>,
}

impl Node {
    /// An empty section.
    pub(crate) fn empty(at: At) -> Self {
        Self { value: Value::Map(Vec::new()), at }
    }

    /// Returns the value of `key`.
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

    /// Returns whether there is no value: null, a text that is empty, perhaps because its variables are, or a list of such variables.
    pub(crate) fn is_nothing(&self) -> bool {
        match &self.value {
            Value::Null => true,
            Value::Scalar { text, shown, .. } => {
                text.is_empty() || (shown.is_some() && text.trim().is_empty())
            }
            Value::List(items) => {
                let is_left_out = |item: &Self| item.reference().is_some() && item.is_nothing();
                !items.is_empty() && items.iter().all(is_left_out)
            }
            Value::Map(_) => false,
        }
    }

    /// The text before variables were replaced, as messages show it, if there were any.
    pub(crate) fn reference(&self) -> Option<&str> {
        self.shown().map(|shown| shown.text.as_str())
    }

    /// How the text is shown, if variables were replaced in it.
    pub(crate) fn shown(&self) -> Option<&Shown> {
        match &self.value {
            Value::Scalar { shown, .. } => shown.as_deref(),
            _ => None,
        }
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// Splits a list that is written as one text, at its commas. In flags and variables it may be in brackets.
    pub(crate) fn split(&self) -> Vec<Self> {
        let Value::Scalar { text, plain, shown } = &self.value else { return vec![self.clone()] };
        let is_from_file = self.at.line > 0 && shown.is_none();
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).filter(|_| !is_from_file);
        let unquoted = |item: &str| {
            let quoted = |quote| item.strip_prefix(quote).and_then(|item| item.strip_suffix(quote));
            inner.and_then(|_| quoted('"').or_else(|| quoted('\''))).unwrap_or(item).to_owned()
        };
        let items = split_at_commas(inner.unwrap_or(text));
        let value = |item: &str| Value::Scalar { text: unquoted(item), plain: *plain, shown: shown.clone() };
        items.into_iter().map(|item| Self { value: value(item.trim()), at: self.at.clone() }).collect()
    }

    /// Sets the value at a dotted path. Creates sections on the way, replacing other values.
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

    /// Sets or removes the value at these keys.
    pub(crate) fn restore(&mut self, keys: &[String], node: Option<Self>) {
        let Some((key, rest)) = keys.split_first() else { return };
        let Value::Map(entries) = &mut self.value else {
            // A section was, or is to be, something else: only the whole of it can be restored.
            return;
        };
        let place = entries.iter().position(|(name, _)| name == key);
        match (place, node) {
            (Some(place), Some(node)) if rest.is_empty() => entries[place].1 = node,
            (Some(place), None) if rest.is_empty() => drop(entries.remove(place)),
            (Some(place), node) => entries[place].1.restore(rest, node),
            (None, Some(node)) => {
                let mut section = Self::empty(node.at.clone());
                if rest.is_empty() {
                    section = node;
                } else {
                    section.restore(rest, Some(node));
                }
                entries.push((key.clone(), section));
            }
            (None, None) => {}
        }
    }

    /// Adds an entry to a section.
    pub(crate) fn put(&mut self, key: String, node: Self) {
        if let Value::Map(entries) = &mut self.value {
            entries.push((key, node));
        }
    }

    /// Merges `over` into this: sections key by key, everything else is replaced.
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

    /// Calls `edit` for every scalar below, with its dotted path.
    pub(crate) fn for_each_scalar(&mut self, path: &str, edit: &mut impl FnMut(&mut Self, &str)) {
        match &mut self.value {
            Value::Null => {}
            Value::Scalar { .. } => edit(self, path),
            Value::List(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    item.for_each_scalar(&format!("{path}[{index}]"), edit);
                }
            }
            Value::Map(entries) => {
                for (key, node) in entries {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    node.for_each_scalar(&path, edit);
                }
            }
        }
    }
}

/// Splits at commas, except within braces, where they belong to a pattern: `*.{php,py}`.
fn split_at_commas(text: &str) -> Vec<&str> {
    let mut depth = 0_usize;
    let is_end = |c: char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    };
    text.split(is_end).collect()
}
