//! What is wrong with a value, as serde reports it, and with which value.

use std::fmt;

use serde::de::{self, Unexpected};

use super::node::{At, Node};
use super::shown;

/// A value that cannot be read.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) message: String,
    /// Where the value is: its place in the file, and its dotted path.
    pub(super) place: Option<(At, String)>,
    /// The key that is missing.
    pub(super) missing: Option<&'static str>,
    /// Whether the message is to end with what was found. That is added where the key is known: the value may be a secret.
    lacks_found: bool,
}

impl Wrong {
    pub(super) fn expected(what: impl fmt::Display) -> Self {
        Self { lacks_found: true, ..<Self as de::Error>::custom(format_args!("expected {what}")) }
    }

    /// Adds the value's place. The innermost one is right, so a later call changes nothing.
    pub(super) fn or_at(self, node: &Node, path: String) -> Self {
        if self.place.is_some() {
            return self;
        }
        let message = if self.lacks_found {
            format!("{}, found {}", self.message, shown::found(node, &path))
        } else {
            shown::without_value(self.message, node, &path)
        };
        Self { message, place: Some((node.at.clone(), path)), ..self }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Wrong {}

impl de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), lacks_found: false, place: None, missing: None }
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::expected(expected)
    }

    fn missing_field(key: &'static str) -> Self {
        Self { missing: Some(key), ..Self::custom("missing") }
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::expected(format_args!("one of {}", expected.join(", ")))
    }
}
