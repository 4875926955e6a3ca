//! `-o key=value`.
//!
//! Source: RoadRunner 2025.1.15, where all values are texts, quotes around one are removed, and references in it are replaced.

use super::node::{At, Node, Value};
use super::problems::Problems;
use super::shown;

/// Reads the flags, in order: lower-case dotted keys and their values. Messages name a flag by its key, never by its value.
pub(super) fn parse(flags: &[String], problems: &Problems) -> Vec<(String, Node)> {
    let one = |(index, flag): (usize, &String)| {
        let read = parse_one(flag);
        if read.is_none() {
            // What was given instead may be a value.
            let at = At { file: format!("-o number {}", index + 1).into(), line: 0 };
            problems.mistake(&at, None, "expected key=value, such as -o centrifuge.pool.num_workers=4");
        }
        read
    };
    flags.iter().enumerate().filter_map(one).collect()
}

fn parse_one(flag: &str) -> Option<(String, Node)> {
    let (key, value) = flag.trim_start_matches([' ', '"', '\'', '`']).split_once('=')?;
    let key = key.trim().to_lowercase();
    if key.is_empty() {
        return None;
    }
    let at = At::of_flag(&shown::key(&key));
    let value = Value::Scalar { text: unquoted(value.trim()), plain: true, shown: None };
    Some((key, Node { value, at }))
}

/// Removes the quotes around a value, and the backslashes before quotes within.
fn unquoted(value: &str) -> String {
    for quote in ['"', '\'', '`'] {
        let inner = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        if let Some(inner) = inner {
            return inner.replace(&format!("\\{quote}"), &quote.to_string());
        }
    }
    value.to_owned()
}
