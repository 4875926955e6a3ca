//! Prometheus' text format, version 0.0.4.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, and pages of RoadRunner 2025.1.15.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A page of families, in the order of their names.
#[derive(Debug, Default)]
pub(super) struct Page(BTreeMap<String, String>);

impl Page {
    /// Adds a family. One without samples is left out.
    pub(super) fn add(&mut self, family: FamilyText) {
        if family.has_samples {
            self.0.insert(family.name, family.out);
        }
    }

    /// The page in pieces, in their order.
    pub(super) fn into_pieces(self) -> impl Iterator<Item = String> {
        self.0.into_values()
    }

    pub(super) fn finish(self) -> String {
        self.into_pieces().collect()
    }
}

/// One family while it is written.
#[derive(Debug)]
pub(super) struct FamilyText {
    name: String,
    written_name: String,
    out: String,
    has_samples: bool,
}

impl FamilyText {
    /// `kind` is a word of the format: counter, gauge, histogram, summary.
    pub(super) fn new(name: &str, kind: &str, help: &str) -> Self {
        let written_name = legacy(name);
        let help = escape(help, false);
        let out = format!("# HELP {written_name} {help}\n# TYPE {written_name} {kind}\n");
        Self { name: name.to_owned(), written_name, out, has_samples: false }
    }

    /// Writes one sample. Names of labels are as [`legacy`] makes them; values are any text.
    pub(super) fn sample<'a>(
        &mut self,
        suffix: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        value: f64,
    ) {
        let out = &mut self.out;
        let _ = write!(out, "{}{suffix}", self.written_name);
        let mut separator = '{';
        for (name, value) in labels {
            let _ = write!(out, "{separator}{name}=\"{}\"", escape(value, true));
            separator = ',';
        }
        if separator == ',' {
            out.push('}');
        }
        let _ = writeln!(out, " {}", number(value));
        self.has_samples = true;
    }
}

/// A name as the format allows it: letters, digits, `_` and `:`; everything else becomes `_`.
pub(super) fn legacy(name: &str) -> String {
    let mut is_first = true;
    let allowed = |c: char| {
        let digit = c.is_ascii_digit() && !std::mem::take(&mut is_first);
        is_first = false;
        if digit || c.is_ascii_alphabetic() || c == '_' || c == ':' { c } else { '_' }
    };
    name.chars().map(allowed).collect()
}

/// Backslashes and line feeds, and quotes where the text stands in quotes.
fn escape(text: &str, is_quoted: bool) -> Cow<'_, str> {
    let special = |c: char| c == '\\' || c == '\n' || (is_quoted && c == '"');
    if !text.contains(special) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            c if special(c) => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.into()
}

/// A number as Go's `strconv` has it in its shortest `g` format, which is what scrapers and people are used to.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        let infinity = if value > 0.0 { "+Inf" } else { "-Inf" };
        return if value.is_nan() { "NaN".into() } else { infinity.into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // The borders between the two notations are Go's.
    if (-4..6).contains(&exponent) {
        return value.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_go_writes_them() {
        for (value, text) in [
            (0.0, "0"),
            (-2.25, "-2.25"),
            (0.5, "0.5"),
            (14_741_504.0, "1.4741504e+07"),
            (999_999.0, "999999"),
            (1_000_000.0, "1e+06"),
            (1e21, "1e+21"),
            (0.0001, "0.0001"),
            (0.000_012_5, "1.25e-05"),
            (1e-300, "1e-300"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn names_become_what_the_format_allows() {
        assert_eq!(legacy("app gauge-ü"), "app_gauge__");
        assert_eq!(legacy("9lives9"), "_lives9");
        assert_eq!(legacy("a:b_1"), "a:b_1");
    }

    #[test]
    fn labels_and_help_are_escaped() {
        let mut family = FamilyText::new("m", "gauge", "a \\ \"b\"\nc");
        family.sample("", [("path", "/b\"\\\n")], 1.5);
        family.sample("_sum", [], 2.0);
        let mut page = Page::default();
        page.add(family);
        page.add(FamilyText::new("nothing", "gauge", ""));
        insta::assert_snapshot!(page.finish(), @r#"
        # HELP m a \\ "b"\nc
        # TYPE m gauge
        m{path="/b\"\\\n"} 1.5
        m_sum 2
        "#);
    }
}
