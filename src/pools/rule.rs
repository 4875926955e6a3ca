//! `match`: which calls a pool answers.

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::glob::Glob;
use super::types::{Subject, TYPES, normalised};

/// `centrifuge.pools.<name>.match`. All keys that are set are required; the values of one key are alternatives. Without any key nothing
/// matches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Match {
    /// Types of calls, such as `rpc`.
    #[serde(deserialize_with = "types")]
    pub types: Vec<Glob>,
    /// Methods of RPCs.
    pub methods: Vec<Glob>,
    /// Channels.
    pub channels: Vec<Glob>,
}

/// Whether a call is matched, or the key that it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is.
    Fits,
    /// There is no match.
    NoMatch,
    /// It is of another type.
    OtherType,
    /// There are `methods`, and calls of its type have none.
    HasNoMethod,
    /// There are `channels`, and calls of its type have none.
    HasNoChannel,
    /// It has another method.
    OtherMethod,
    /// It has another channel.
    OtherChannel,
    /// Its message is broken, so that neither is known.
    Broken,
}

impl Match {
    /// Whether a call of this type is matched; `text` is asked for its method or channel if that matters.
    #[inline]
    pub(super) fn verdict<'a>(
        &self,
        kind: &str,
        subject: Option<Subject>,
        text: impl FnOnce() -> Option<&'a str>,
    ) -> Verdict {
        let of_type = self.of_type(kind, subject);
        if of_type != Verdict::Fits || self.methods.is_empty() && self.channels.is_empty() {
            return of_type;
        }
        let (globs, other) = if self.methods.is_empty() {
            (&self.channels, Verdict::OtherChannel)
        } else {
            (&self.methods, Verdict::OtherMethod)
        };
        match text() {
            None => Verdict::Broken,
            Some(text) if fit(globs, text) => Verdict::Fits,
            Some(_) => other,
        }
    }

    /// Whether calls of this type can be matched.
    fn of_type(&self, kind: &str, subject: Option<Subject>) -> Verdict {
        if !self.types.is_empty() && !fit(&self.types, kind) {
            Verdict::OtherType
        } else if !self.methods.is_empty() && subject != Some(Subject::Method) {
            Verdict::HasNoMethod
        } else if !self.channels.is_empty() && subject != Some(Subject::Channel) {
            Verdict::HasNoChannel
        } else if self.is_empty() {
            Verdict::NoMatch
        } else {
            Verdict::Fits
        }
    }

    /// Whether no key is set.
    pub(super) fn is_empty(&self) -> bool {
        self.types.is_empty() && self.methods.is_empty() && self.channels.is_empty()
    }

    /// Why no call can be matched, if so.
    pub(super) fn unreachable(&self) -> Option<&'static str> {
        if self.is_empty() {
            return Some("expected types, methods or channels");
        }
        // Other types have neither methods nor channels.
        if self.known_types().next().is_some() || self.methods.is_empty() && self.channels.is_empty() {
            return None;
        }
        Some(match (self.methods.is_empty(), self.channels.is_empty()) {
            (false, false) => "no call has both a method and a channel",
            (false, true) => "only calls of the type rpc have a method",
            _ => "calls of these types have no channel",
        })
    }

    /// Those of `earlier` that together match, as far as can be told, every call that this matches; none if some call is left.
    pub(super) fn covered_by(&self, earlier: &[Self]) -> Vec<usize> {
        let mut by: Vec<usize> = Vec::new();
        for (kind, subject) in self.known_types() {
            let covers = |other: &Self| {
                other.of_type(kind, subject) == Verdict::Fits
                    && cover(&other.methods, &self.methods)
                    && cover(&other.channels, &self.channels)
            };
            let Some(first) = earlier.iter().position(covers) else { return Vec::new() };
            by.push(first);
        }
        if self.methods.is_empty() && self.channels.is_empty() {
            for glob in self.types.iter().filter(|glob| !is_known(glob)) {
                let covers = |other: &Self| {
                    other.methods.is_empty()
                        && other.channels.is_empty()
                        && other.types.iter().any(|wide| wide.covers(glob))
                };
                let Some(first) = earlier.iter().position(covers) else { return Vec::new() };
                by.push(first);
            }
        }
        by.sort_unstable();
        by.dedup();
        by
    }

    /// Centrifugo's types that can be matched.
    fn known_types(&self) -> impl Iterator<Item = (&'static str, Option<Subject>)> {
        let types = TYPES.into_iter().map(|(kind, subject)| (kind, subject.map(|(subject, _)| subject)));
        types.filter(|(kind, subject)| self.of_type(kind, *subject) == Verdict::Fits)
    }
}

/// Whether one of the globs matches.
pub(super) fn fit(globs: &[Glob], text: &str) -> bool {
    globs.iter().any(|glob| glob.matches(text))
}

/// Whether `wide`, where it is set, matches whatever `narrow` matches.
fn cover(wide: &[Glob], narrow: &[Glob]) -> bool {
    let covers = |glob: &Glob| wide.iter().any(|wide| wide.covers(glob));
    match (wide, narrow) {
        ([], _) => true,
        // Whatever it is.
        (wide, []) => wide.iter().any(|glob| glob.as_str() == "*"),
        (_, narrow) => narrow.iter().all(covers),
    }
}

/// Whether a glob for types is the name of one of Centrifugo's.
fn is_known(glob: &Glob) -> bool {
    glob.is_literal() && TYPES.iter().any(|(kind, _)| glob.matches(kind))
}

/// Whether a glob for types matches none of Centrifugo's.
pub(crate) fn is_of_unknown_type(glob: &Glob) -> bool {
    !TYPES.iter().any(|(kind, _)| glob.matches(kind))
}

fn types<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Glob>, D::Error> {
    let globs = Vec::<Glob>::deserialize(deserializer)?;
    globs.iter().map(|glob| Glob::new(&normalised(glob.as_str())).map_err(de::Error::custom)).collect()
}
