//! Globs for types, methods and channels.
//!
//! `*` stands for any characters, even none, `?` for one, and a backslash makes the next character literal. No character is a separator:
//! `*` also matches `.`, `:` and `/`. One list holds alternatives, so braces are literal. The glob crates are for paths, where `*` ends at
//! a slash, and none says whether one glob covers another.

use std::fmt;
use std::str::Chars;

use serde::Deserialize;
use serde::de::{self, Deserializer};

/// A compiled glob.
#[derive(Clone, PartialEq, Eq)]
pub struct Glob {
    text: String,
    tokens: Box<[Token]>,
    /// The characters before the first wildcard, which decide most comparisons.
    prefix: Box<str>,
    /// The tokens from there on.
    rest: Box<[Token]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    /// `*`
    Any,
    /// `?`
    One,
    Char(char),
}

/// A text that is not a glob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a glob such as \"chat:*\"")]
pub struct InvalidGlob;

impl Glob {
    /// Compiles a glob.
    ///
    /// # Errors
    /// When it is empty, or ends with a backslash.
    pub fn new(text: &str) -> Result<Self, InvalidGlob> {
        let mut tokens = Vec::new();
        let mut chars = text.chars();
        while let Some(char) = chars.next() {
            tokens.push(match char {
                '*' if tokens.last() == Some(&Token::Any) => continue,
                '*' => Token::Any,
                '?' => Token::One,
                '\\' => Token::Char(chars.next().ok_or(InvalidGlob)?),
                char => Token::Char(char),
            });
        }
        if tokens.is_empty() {
            return Err(InvalidGlob);
        }
        let literal = |token: &Token| if let Token::Char(char) = token { Some(*char) } else { None };
        let prefix: String = tokens.iter().map_while(literal).collect();
        let rest = tokens[prefix.chars().count()..].into();
        Ok(Self { text: text.to_owned(), tokens: tokens.into(), prefix: prefix.into(), rest })
    }

    /// Whether it matches all of `text`.
    pub fn matches(&self, text: &str) -> bool {
        let Some(rest) = text.strip_prefix(&*self.prefix) else { return false };
        match &*self.rest {
            [] => rest.is_empty(),
            tokens => matches(tokens, rest.chars()),
        }
    }

    /// Whether it certainly matches every text that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        matches(&self.tokens, other.tokens.iter().copied())
    }

    /// Whether it matches one text only.
    pub fn is_literal(&self) -> bool {
        self.rest.is_empty()
    }

    /// The glob as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// What a glob is compared with: the characters of a text, or the tokens of another glob.
trait Input: Iterator<Item: Copy> + Clone {
    fn is_taken(item: Self::Item, by: Token) -> bool;
}

impl Input for Chars<'_> {
    fn is_taken(char: char, by: Token) -> bool {
        by == Token::One || by == Token::Char(char)
    }
}

impl Input for std::iter::Copied<std::slice::Iter<'_, Token>> {
    fn is_taken(token: Token, by: Token) -> bool {
        by == token && by != Token::Any || by == Token::One && token != Token::Any
    }
}

/// Takes time in proportion to the product of both lengths, at most: only the last `*` is tried again.
fn matches<I: Input>(glob: &[Token], input: I) -> bool {
    let (mut glob, mut input) = (glob, input);
    // What follows the last `*`, and the input that this `*` has not taken.
    let mut retry: Option<(&[Token], I)> = None;
    loop {
        if let Some((Token::Any, rest)) = glob.split_first() {
            if rest.is_empty() {
                return true;
            }
            retry = Some((rest, input.clone()));
            glob = rest;
            continue;
        }
        match (glob.split_first(), input.next()) {
            (None, None) => return true,
            (Some((token, rest)), Some(item)) if I::is_taken(item, *token) => glob = rest,
            // Not even all of the input is enough.
            (Some(_), None) => return false,
            _ => {
                let Some((rest, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (glob, input) = (rest, from.clone());
            }
        }
    }
}

impl fmt::Debug for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.text)
    }
}

impl<'de> Deserialize<'de> for Glob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn glob(text: &str) -> Glob {
        Glob::new(text).unwrap()
    }

    #[test]
    fn a_star_matches_any_characters_and_a_question_mark_one() {
        for (text, matching, others) in [
            (
                "report.*",
                &["report.", "report.daily", "report.a.b:c/d"][..],
                &["report", "xreport.a", ""][..],
            ),
            ("*", &["", "a", "чат:1"], &[]),
            ("chat:?", &["chat:1", "chat:ж"], &["chat:", "chat:12"]),
            ("*:private", &[":private", "a:b:private"], &["a:private:b", "private"]),
            ("a*b*c", &["abc", "aXbXbXc"], &["ab", "acb", "abcd"]),
            ("export", &["export"], &["exports", "Export", "expor"]),
            (r"a\*\?\\", &[r"a*?\"], &["abc"]),
            ("{a,b}[c]", &["{a,b}[c]"], &["ac", "bc"]),
        ] {
            for other in matching {
                assert!(glob(text).matches(other), "{text} {other}");
            }
            for other in others {
                assert!(!glob(text).matches(other), "{text} {other}");
            }
        }
        for text in ["", "a\\"] {
            assert_eq!(Glob::new(text), Err(InvalidGlob));
        }
    }

    #[test]
    fn a_glob_covers_narrower_ones() {
        for (wide, narrow) in [
            ("*", "a*"),
            ("*", "*"),
            ("report.*", "report.daily*"),
            ("a?", "ab"),
            ("a?*", "a?"),
            ("*a*", "*ba?"),
        ] {
            assert!(glob(wide).covers(&glob(narrow)), "{wide} {narrow}");
        }
        for (wide, narrow) in [("a*", "*"), ("a?", "a*"), ("ab", "a?"), ("chat:*", "chat*"), (r"\*", "*")] {
            assert!(!glob(wide).covers(&glob(narrow)), "{wide} {narrow}");
        }
    }

    /// The same by the definition.
    fn slow(glob: &[Token], text: &[char]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some((Token::Any, rest)) => (0..=text.len()).any(|at| slow(rest, &text[at..])),
            Some((token, rest)) => text
                .split_first()
                .is_some_and(|(char, more)| Chars::is_taken(*char, *token) && slow(rest, more)),
        }
    }

    proptest! {
        #[test]
        fn matching_follows_the_definition(pattern in "[ab*?]{1,8}", other in "[ab*?]{1,8}", text in "[ab]{0,8}") {
            let (pattern, other) = (glob(&pattern), glob(&other));
            let chars: Vec<char> = text.chars().collect();
            prop_assert_eq!(pattern.matches(&text), slow(&pattern.tokens, &chars));
            if pattern.covers(&other) && other.matches(&text) {
                prop_assert!(pattern.matches(&text));
            }
        }
    }
}
