//! OpenTelemetry's variables, `OTEL_*`.
//!
//! A variable that is empty counts as not set, and one with a wrong value is ignored with a warning, as the specification asks for.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/>.

use std::ffi::OsString;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;

use crate::findings::Findings;

/// The section that warnings about variables are for.
pub(super) const SECTION: &str = "otel";

/// The variables of the process, and those of dotenv files.
pub(super) struct Environment<'a> {
    variables: &'a [(OsString, OsString)],
}

impl<'a> Environment<'a> {
    pub(super) fn new(variables: &'a [(OsString, OsString)]) -> Self {
        Self { variables }
    }

    /// The value of a variable.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.variables.iter().rev().find(|(found, _)| found == name)?;
        value.to_str().map(str::trim).filter(|value| !value.is_empty())
    }

    /// The first of these variables that is set, and its name.
    pub(super) fn first<const N: usize>(&self, names: [&'static str; N]) -> Option<(&'static str, &'a str)> {
        names.into_iter().find_map(|name| Some((name, self.get(name)?)))
    }

    /// Whether the first of these variables that is set is `true`, in any case.
    pub(super) fn is_true<const N: usize>(&self, names: [&'static str; N]) -> bool {
        self.first(names).is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"))
    }

    /// A number.
    pub(super) fn number<T: FromStr>(&self, name: &str, findings: &mut Findings) -> Option<T> {
        let value = self.get(name)?;
        let number = value.parse().ok();
        if number.is_none() {
            ignored(name, "expected a number", findings);
        }
        number
    }

    /// A time in milliseconds.
    pub(super) fn milliseconds(&self, name: &str, findings: &mut Findings) -> Option<Duration> {
        self.number(name, findings).map(Duration::from_millis)
    }

    /// Pairs such as `key=value,key2=value2`, whose values are percent-encoded.
    pub(super) fn pairs(&self, name: &str, findings: &mut Findings) -> Vec<(String, String)> {
        let text = self.get(name).unwrap_or_default();
        let mut pairs = Vec::new();
        for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => {
                    let value = percent_decode_str(value.trim()).decode_utf8_lossy();
                    pairs.push((key.trim().to_owned(), value.into_owned()));
                }
                _ => ignored(name, "expected key=value, separated by commas", findings),
            }
        }
        pairs
    }
}

/// Warns that (a part of) the value of a variable is ignored.
pub(super) fn ignored(name: &str, expected: &str, findings: &mut Findings) {
    findings.odd(SECTION, format!("the variable {name} is ignored: {expected}"));
}
