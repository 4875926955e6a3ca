//! `$NAME`, `${NAME}` and `${NAME:-default}` in values.
//!
//! Where RoadRunner and a shell agree, Causeway does too. Where they differ:
//!
//! | text | RoadRunner | Causeway, as in a shell |
//! | --- | --- | --- |
//! | `${HOST}:${PORT:-6001}` | empty: one `:-` anywhere changes what all references mean | each reference by itself |
//! | `$HOST:-x` | empty | the value, then `:-x` |
//! | `${A:-a:-b}` | empty | the default is `a:-b` |
//! | `${A:-${B}}` | the text `${B}` | the default is expanded too |
//! | `${A:=x}`, `${A-x}` | empty | the default; with `-` alone only if `A` is not set |
//! | `\$A` | backslash and value | the text `$A` |
//!
//! As in RoadRunner, a name that is not set is empty, and so are `$$`, `$1`, `$*` and invalid names; a `${` without its brace is left
//! out. The last two cause a warning, which shows nothing of the text: it may be a password with a dollar sign in it.

use super::node::Shown;

/// A text with its references replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// How it is shown.
    pub(super) shown: Shown,
    /// What is wrong with an invalid reference.
    pub(super) malformed: Option<&'static str>,
}

impl Expanded {
    fn push(&mut self, literal: &str) {
        self.text.push_str(literal);
        self.shown.text.push_str(literal);
    }

    fn push_value(&mut self, name: &str, value: &str) {
        self.text.push_str(value);
        let reference = format!("${{{name}}}");
        self.shown.text.push_str(&reference);
        self.shown.values.push((reference, value.to_owned()));
    }
}

impl Expanded {
    /// How the text is shown. Around an invalid reference, anything may be part of a password.
    pub(super) fn safe(&self) -> Shown {
        const UNKNOWN: &str = "${...}";
        if self.malformed.is_none() {
            return self.shown.clone();
        }
        let parts = self.text.split('/').filter(|part| !part.is_empty());
        Shown { text: UNKNOWN.into(), values: parts.map(|part| (UNKNOWN.into(), part.into())).collect() }
    }
}

/// Nesting of references within defaults.
const MAX_DEPTH: usize = 32;

/// Expands `text`; `None` when there is nothing to expand.
pub(super) fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<Expanded> {
    if !text.contains('$') {
        return None;
    }
    let mut expanded = Expanded { text: String::new(), shown: Shown::default(), malformed: None };
    into(text, variable, &mut expanded, 0);
    (expanded.text != text || expanded.malformed.is_some()).then_some(expanded)
}

fn into(text: &str, variable: &dyn Fn(&str) -> Option<String>, out: &mut Expanded, depth: usize) {
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, from) = rest.split_at(at);
        if let Some(before) = before.strip_suffix('\\') {
            out.push(before);
            out.push("$");
            rest = &from[1..];
            continue;
        }
        out.push(before);
        let reference = &from[1..];
        rest = match reference.chars().next() {
            Some('{') => braced(&reference[1..], variable, out, depth),
            Some(special @ ('*' | '#' | '$' | '@' | '!' | '?' | '-' | '0'..='9')) => {
                &reference[special.len_utf8()..]
            }
            _ => match name_length(reference) {
                0 => {
                    out.push("$");
                    reference
                }
                length => {
                    let name = &reference[..length];
                    out.push_value(name, &variable(name).unwrap_or_default());
                    &reference[length..]
                }
            },
        };
    }
    out.push(rest);
}

/// Expands what follows `${`; returns what follows its brace.
fn braced<'a>(
    text: &'a str,
    variable: &dyn Fn(&str) -> Option<String>,
    out: &mut Expanded,
    depth: usize,
) -> &'a str {
    let Some(end) = closing_brace(text) else {
        out.malformed = Some("\"${\" without \"}\"");
        return text;
    };
    let (inner, rest) = (&text[..end], &text[end + 1..]);
    let (name, default) = inner.split_at(name_length(inner));
    let value = variable(name);
    let (default, value) = match default {
        "" => (Some(""), value),
        _ => match default.strip_prefix(":-").or_else(|| default.strip_prefix(":=")) {
            Some(default) => (Some(default), value.filter(|value| !value.is_empty())),
            None => (default.strip_prefix('-').or_else(|| default.strip_prefix('=')), value),
        },
    };
    match (name.is_empty(), value, default) {
        (false, Some(value), Some(_)) => out.push_value(name, &value),
        // An empty default is shown as the reference.
        (false, None, Some("")) => out.push_value(name, ""),
        (false, None, Some(default)) if depth < MAX_DEPTH => into(default, variable, out, depth + 1),
        _ => out.malformed = Some("no variable name between \"${\" and \"}\""),
    }
    rest
}

/// Finds the brace that ends a reference, past those of references within its default.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn name_length(text: &str) -> usize {
    let starts = text.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic());
    let end = text.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    if starts { end } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deliberate differences from RoadRunner; see the table above.
    const BETTER: [(&str, &str); 11] = [
        ("${HOST}:${PORT:-6001}", "127.0.0.1:6001"),
        ("${PORT:-6001}:${HOST}", "6001:127.0.0.1"),
        ("$HOST and text with :- inside", "127.0.0.1 and text with :- inside"),
        ("$HOST:-x", "127.0.0.1:-x"),
        ("${UNSET:-a:-b}", "a:-b"),
        ("${UNSET:-${A}}", "aa"),
        ("${UNSET:=def}", "def"),
        ("${UNSET-def}", "def"),
        ("\\$A", "$A"),
        ("${A:-x}${A}", "aaaa"),
        ("${HOST:-h}:${PORT:-6001}", "127.0.0.1:6001"),
    ];

    fn facts() -> serde_json::Value {
        serde_json::from_str(include_str!("../../tests/vectors/expansion.json")).unwrap()
    }

    fn variable(name: &str) -> Option<String> {
        facts()["environment"][name].as_str().map(str::to_owned)
    }

    fn expanded(text: &str) -> String {
        expand(text, &variable).map_or_else(|| text.to_owned(), |expanded| expanded.text)
    }

    #[test]
    fn all_cases_are_as_in_roadrunner_or_better() {
        let facts = facts();
        let cases = facts["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 43);
        for case in cases {
            let (text, theirs) = (case["in"].as_str().unwrap(), case["out"].as_str().unwrap());
            let better = BETTER.iter().find(|(other, _)| *other == text).map(|(_, better)| *better);
            assert_eq!(expanded(text), better.unwrap_or(theirs), "{text}");
        }
    }

    #[test]
    fn defaults_nest() {
        assert_eq!(expanded("${X:-${Y:-${A}}}!"), "aa!");
        assert_eq!(expanded("${EMPTY:-x}${EMPTY-x}"), "x");
        assert_eq!(expanded("tcp://${HOST}:${PORT:-6001}/${A}"), "tcp://127.0.0.1:6001/aa");
    }

    #[test]
    fn an_invalid_reference_is_reported() {
        for text in ["${", "${A", "${}", "${ A}", "${A }", "${A:?x}"] {
            assert!(expand(text, &variable).unwrap().malformed.is_some(), "{text}");
        }
        assert_eq!(expand("${A}", &variable).unwrap().malformed, None);
    }

    #[test]
    fn values_of_variables_are_not_shown() {
        for (text, shown) in [
            ("$A", "${A}"),
            ("tcp://${HOST}:${PORT:-6001}", "tcp://${HOST}:6001"),
            ("${UNSET:-${A}}/$NOPE", "${A}/${NOPE}"),
            ("${UNSET}${EMPTY:-}", "${UNSET}${EMPTY}"),
        ] {
            assert_eq!(expand(text, &variable).unwrap().shown.text, shown, "{text}");
        }
    }

    #[test]
    fn any_text_can_be_expanded() {
        bolero::check!().with_type::<String>().with_iterations(20_000).for_each(|text| {
            drop(expand(text, &|name| (name.len() % 2 == 0).then(|| "$x".into())));
        });
        expand(&"${A:-".repeat(10_000), &|_| None);
        expand(&format!("{}{}", "${A:-".repeat(1_000), "}".repeat(1_000)), &|_| None);
    }
}
