//! Prometheus' text format, version 0.0.4.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, and pages of RoadRunner 2025.1.15.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::collector::CollectorKind;

/// A page of families, sorted by name.
#[derive(Debug, Default)]
pub(crate) struct Page(BTreeMap<String, String>);

impl Page {
    /// Adds a family. One without samples is left out.
    pub(crate) fn add(&mut self, family: FamilyText) {
        if family.has_samples {
            self.0.insert(family.name, family.out);
        }
    }

    /// Adds a family of one sample without labels.
    pub(crate) fn single(&mut self, name: &str, kind: CollectorKind, help: &str, value: f64) {
        let mut family = FamilyText::new(name, kind, help);
        family.sample("", [], value);
        self.add(family);
    }

    /// The page in pieces, in order.
    pub(crate) fn into_pieces(self) -> impl Iterator<Item = String> {
        self.0.into_values()
    }

    /// The whole page.
    pub(crate) fn finish(self) -> String {
        self.into_pieces().collect()
    }
}

/// The text of one family.
#[derive(Debug)]
pub(crate) struct FamilyText {
    name: String,
    written_name: String,
    out: String,
    has_samples: bool,
}

impl FamilyText {
    /// A family without samples.
    pub(crate) fn new(name: &str, kind: CollectorKind, help: &str) -> Self {
        let written_name = legacy(name);
        let help = escape(help, false);
        let out = format!("# HELP {written_name} {help}\n# TYPE {written_name} {}\n", kind.name());
        Self { name: name.to_owned(), written_name, out, has_samples: false }
    }

    /// Adds a sample. Label names are as [`legacy`] makes them; label values are any text.
    pub(crate) fn sample<'a>(
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

    /// Adds the samples of a histogram. `counts` are per bucket, one for each bound and one for what lies beyond.
    pub(crate) fn histogram(&mut self, labels: &[(&str, &str)], bounds: &[f64], counts: &[u64], sum: f64) {
        let mut total = 0;
        for (bound, count) in bounds.iter().chain([&f64::INFINITY]).zip(counts) {
            total += count;
            let bound = number(*bound);
            self.sample("_bucket", labels.iter().copied().chain([("le", &*bound)]), approximate(total));
        }
        self.sample("_sum", labels.iter().copied(), sum);
        self.sample("_count", labels.iter().copied(), approximate(total));
    }
}

/// Samples are floats.
#[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 may lose their last digits")]
pub(crate) fn approximate(count: u64) -> f64 {
    count as f64
}

/// A name as the format allows it: anything but letters, digits, `_` and `:` becomes `_`.
pub(super) fn legacy(name: &str) -> String {
    let mut is_first = true;
    let allowed = |c: char| {
        let digit = c.is_ascii_digit() && !std::mem::take(&mut is_first);
        is_first = false;
        if digit || c.is_ascii_alphabetic() || c == '_' || c == ':' { c } else { '_' }
    };
    name.chars().map(allowed).collect()
}

/// Escapes backslashes and line feeds, and quotes if the text is quoted.
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

/// A number as Go's `strconv` formats it with the shortest `g`, which is what scrapers and people are used to.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        let infinity = if value > 0.0 { "+Inf" } else { "-Inf" };
        return if value.is_nan() { "NaN".into() } else { infinity.into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    // Go switches notations here.
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
    fn numbers_are_formatted_as_in_go() {
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
        let mut family = FamilyText::new("m", CollectorKind::Gauge, "a \\ \"b\"\nc");
        family.sample("", [("path", "/b\"\\\n")], 1.5);
        family.sample("_sum", [], 2.0);
        let mut page = Page::default();
        page.add(family);
        page.add(FamilyText::new("nothing", CollectorKind::Gauge, ""));
        insta::assert_snapshot!(page.finish(), @r#"
        # HELP m a \\ "b"\nc
        # TYPE m gauge
        m{path="/b\"\\\n"} 1.5
        m_sum 2
        "#);
    }
}
