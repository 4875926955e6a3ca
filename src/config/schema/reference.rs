//! What `config/reference.rr.yaml` says of each key: the comment above it, and its value.

use std::collections::HashMap;

use serde_json::Value as Json;

use crate::config::problems::Problems;
use crate::config::{shown, yaml};

/// The beginning of the comments of keys that change nothing.
pub(super) const NO_EFFECT: &str = "(no effect";

/// Keys that are described where they stand first: the path that has no entry of its own, and the one in its place.
const SAME: [(&str, &str); 8] = [
    ("centrifuge.pools.*", "centrifuge.pools.reports"),
    ("centrifuge.pools.reports", "server"),
    ("centrifuge.pools.reports", "centrifuge.pool"),
    ("logs.channels.*", "logs"),
    ("metrics.collect.*", "metrics.collect.app_orders"),
    ("rpc.operators", "rpc"),
    ("centrifuge.proxy_socket", "rpc.unix_socket"),
    ("server.relay_socket", "rpc.unix_socket"),
];

/// A key of the reference.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Entry {
    /// The comment above it, in one line.
    pub(super) description: String,
    /// Its value, if it is not commented out.
    pub(super) default: Option<Json>,
    /// Its value, if it is.
    pub(super) example: Option<Json>,
}

/// The keys of the reference, by their dotted paths.
pub(super) struct Reference(HashMap<String, Entry>);

impl Reference {
    /// The file in the repository.
    pub(super) fn shipped() -> Self {
        Self::read(include_str!("../../../config/reference.rr.yaml"))
    }

    /// Returns what is said of the key at `path`, or of its equal elsewhere.
    pub(super) fn get(&self, path: &str) -> Option<&Entry> {
        let own = self.0.get(path);
        let same = || {
            let equal = |(here, there): &(&str, &str)| {
                let rest = path.strip_prefix(here)?;
                rest.starts_with('.').then(|| self.get(&format!("{there}{rest}"))).flatten()
            };
            SAME.iter().find_map(equal)
        };
        // The keys of TLS are described once.
        let tls = || match path.rsplit_once(".tls.") {
            Some((section, key)) if section != "centrifuge" => {
                self.0.get(&format!("centrifuge.proxy_tls.{key}"))
            }
            _ => None,
        };
        own.filter(|entry| !entry.description.is_empty()).or_else(same).or_else(tls).or(own)
    }

    fn read(text: &str) -> Self {
        let mut entries: HashMap<String, Entry> = HashMap::new();
        // The sections around the current line, with their columns.
        let mut around: Vec<(usize, &str)> = Vec::new();
        let mut comment: Vec<&str> = Vec::new();
        // The key in the line above, which may share its comment with this one.
        let mut above: Option<(String, usize)> = None;
        for line in text.lines() {
            let Some(key) = Key::read(line) else {
                above = None;
                match line.trim_start_matches([' ', '#']) {
                    "" => comment.clear(),
                    words => comment.push(words),
                }
                continue;
            };
            around.retain(|(column, _)| *column < key.column);
            around.push((key.column, key.name));
            let path = around.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(".");
            let own = std::mem::take(&mut comment).join(" ");
            let shared = above.filter(|(_, column)| own.is_empty() && *column == key.column);
            let description = match (key.remark(), shared.and_then(|(above, _)| entries.get(&above))) {
                (Some(remark), _) if own.is_empty() => remark.to_owned(),
                (_, Some(above)) => above.description.clone(),
                _ => own,
            };
            let value = key.value();
            let (default, example) = if key.is_comment { (None, value) } else { (value, None) };
            above = Some((path.clone(), key.column));
            entries.entry(path).or_insert(Entry { description, default, example });
        }
        Self(entries)
    }
}

/// A line with a key, which may be commented out.
struct Key<'a> {
    name: &'a str,
    value: &'a str,
    /// Where it would stand if it were not commented out.
    column: usize,
    is_comment: bool,
}

impl<'a> Key<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let text = line.trim_start_matches([' ', '#']);
        let marks = line.len() - text.len();
        let hashes = line[..marks].matches('#').count();
        let (name, value) = text.split_once(':')?;
        let is_name =
            !name.is_empty() && name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        let is_key = is_name && (value.is_empty() || value.starts_with(' '));
        is_key.then_some(Self { name, value, column: marks - 2 * hashes, is_comment: hashes > 0 })
    }

    /// What is written behind the value.
    fn remark(&self) -> Option<&'a str> {
        self.value.split_once(" # ").map(|(_, remark)| remark.trim())
    }

    /// The value as JSON; none if there is none, or if it shows a variable.
    fn value(&self) -> Option<Json> {
        let node = yaml::parse("", self.value, &Problems::default()).ok()?;
        let value: Json = serde_json::from_str(&shown::shown(&node)).ok()?;
        let is_section = value.as_object().is_some_and(|members| !members.is_empty());
        (!value.is_null() && !is_section && !self.value.contains('$')).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_the_comment_above_it_and_its_value() {
        let text = "# The first.\n# And more.\none:\n  # A number, not a key: it has\n  # text behind it.\n  two: 4 # a remark\n  # (no effect) None.\n  # three: [a, b]\n  # four:\n  #   # Inner.\n  #   five: '7'\n";
        let reference = Reference::read(text);
        let entry = |path: &str| reference.get(path).unwrap();
        assert_eq!(entry("one").description, "The first. And more.");
        assert_eq!(entry("one.two").description, "A number, not a key: it has text behind it.");
        assert_eq!(entry("one.two").default, Some(4.into()));
        assert_eq!(entry("one.three").example, Some(vec!["a", "b"].into()));
        assert_eq!(entry("one.four.five").description, "Inner.");
        assert_eq!(entry("one.four.five").example, Some("7".into()));
        assert_eq!(reference.get("one.six"), None);
    }
}
