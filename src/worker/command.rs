//! A program and its arguments, as the configuration has them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::scalar::Scalar;
use crate::secrets::{HIDDEN, scrub_words};

/// A program and its arguments. Shown, it contains no secrets.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// The words; the first one is the program.
    pub argv: Vec<String>,
    /// The words with references in place of variables, whose values may be secrets.
    shown: Option<Vec<String>>,
}

impl Command {
    /// Shows these words, or the words of a single text, instead of those of `argv`.
    pub(crate) fn show_as(&mut self, words: &[&str]) {
        self.shown = Some(match words {
            [text] => split(text).unwrap_or_else(|_| vec![HIDDEN.into()]),
            words => words.iter().map(|word| (*word).to_owned()).collect(),
        });
    }

    /// The words as they may be shown: without secrets, in quotes where a shell needs them.
    pub(crate) fn shown_words(&self) -> Vec<String> {
        let words = self.shown.as_ref().unwrap_or(&self.argv);
        let scrubbed = scrub_words(words.iter().map(String::as_str));
        scrubbed.iter().map(|word| quoted(word).into_owned()).collect()
    }
}

/// The word in quotes if a shell needs them. `***` and references stand for other text; `=` needs none.
fn quoted(word: &str) -> Cow<'_, str> {
    let bare = word.replace(HIDDEN, "x").replace("${", "").replace(['}', '='], "x");
    if shell_words::quote(&bare) == bare { word.into() } else { shell_words::quote(word) }
}

impl fmt::Display for Command {
    /// As one would type it into a shell, without secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown_words().join(" "))
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl<'de> Deserialize<'de> for Command {
    /// A string is split into words (see `split`); a list is taken as it is.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl<'de> Visitor<'de> for Words {
            type Value = Command;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command such as \"php app.php\" or [\"php\", \"app.php\"]")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Command, E> {
                let argv =
                    split(text).map_err(|reason| E::custom(format!("expected a command: {reason}")))?;
                if argv.is_empty() {
                    return Err(E::custom("expected a command, found nothing"));
                }
                without_nul(argv)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Command, A::Error> {
                let mut argv = Vec::new();
                while let Some(Scalar(word)) = items.next_element()? {
                    argv.push(word);
                }
                match &mut argv[..] {
                    [] => Err(de::Error::custom("expected a command, found an empty list")),
                    // RoadRunner splits a list of one.
                    [single] if single.contains(char::is_whitespace) => {
                        let single = std::mem::take(single);
                        self.visit_str(&single)
                    }
                    _ => without_nul(argv),
                }
            }
        }

        /// The kernel takes words that end with a zero byte.
        fn without_nul<E: de::Error>(argv: Vec<String>) -> Result<Command, E> {
            if argv.iter().any(|word| word.contains('\0')) {
                return Err(E::custom("expected a command without zero bytes"));
            }
            Ok(Command { argv, shown: None })
        }

        deserializer.deserialize_any(Words)
    }
}

/// Splits a text into words at blanks, as RoadRunner does, except that quotes group and a backslash escapes a quote or a blank.
///
/// A quote groups only at the beginning of a word, behind `=`, and behind another quoted or escaped part: `it's`, `{"a":1}`, `#x` and
/// `App\Worker` are ordinary text.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    // Whether a quote would group here.
    let mut groups = true;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\'' if groups => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next().ok_or("missing closing quote")? {
                        end if end == c => break,
                        '\\' if c == '"' => word.push(chars.next_if_eq(&'"').unwrap_or('\\')),
                        inner => word.push(inner),
                    }
                }
            }
            c if c.is_whitespace() => {
                words.extend(word.take());
                groups = true;
            }
            c => {
                let escaped = (c == '\\').then(|| chars.next_if(|next| is_escaped(*next))).flatten();
                word.get_or_insert_default().push(escaped.unwrap_or(c));
                groups = escaped.is_some() || c == '=';
            }
        }
    }
    words.extend(word);
    Ok(words)
}

/// Whether a backslash before this character escapes it.
fn is_escaped(c: char) -> bool {
    matches!(c, '"' | '\'') || c.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_at_blanks_and_quotes_group() {
        let cases: [(&str, &[&str]); 22] = [
            (" php  app.php\n", &["php", "app.php"]),
            (r"php w.php App\Worker", &["php", "w.php", r"App\Worker"]),
            (r"env R=App\Run\Time php", &["env", r"R=App\Run\Time", "php"]),
            ("php a.php a #b c", &["php", "a.php", "a", "#b", "c"]),
            ("php a.php it's", &["php", "a.php", "it's"]),
            ("x it's isn't", &["x", "it's", "isn't"]),
            (r#"x --json={"a":1} {"b":2}"#, &["x", r#"--json={"a":1}"#, r#"{"b":2}"#]),
            (r#"x "a b" 'c d' --e="f g" H='i j'"#, &["x", "a b", "c d", "--e=f g", "H=i j"]),
            (r#"x "a"b 'c'"d e" '' """#, &["x", "ab", "cd e", "", ""]),
            (r#"x "a 'b' \"c\"" 'a "b" \'"#, &["x", r#"a 'b' "c""#, r#"a "b" \"#]),
            (r"x 'it'\''s b'", &["x", "it's b"]),
            (r#"x \"a b\" c\ d e\'f"#, &["x", "\"a", "b\"", "c d", "e'f"]),
            (r#"x "App\Worker" 'App\Worker' \\share"#, &["x", r"App\Worker", r"App\Worker", r"\\share"]),
            ("x a;b |c $d `e` *.php ~", &["x", "a;b", "|c", "$d", "`e`", "*.php", "~"]),
            (r"x a\", &["x", r"a\"]),
            ("x --a='b'c", &["x", "--a=bc"]),
            ("x a='b'='c d'", &["x", "a=b=c d"]),
            ("x a\"b c\"", &["x", "a\"b", "c\""]),
            ("sh -c 'exec php \"a b\"'", &["sh", "-c", "exec php \"a b\""]),
            ("", &[]),
            ("  ", &[]),
            ("''", &[""]),
        ];
        for (text, words) in cases {
            assert_eq!(split(text).unwrap(), words, "{text}");
        }
        for text in ["php 'a b", "php \"a", "x --a='b", "x \"a\\\""] {
            split(text).unwrap_err();
        }
    }

    #[test]
    fn a_command_is_shown_without_secrets_and_quoted_where_needed() {
        for (text, shown) in [
            ("env TOKEN='x hunter2' false", "env TOKEN=*** false"),
            ("php a.php 'b c' --token='a hunter2' -v", "php a.php 'b c' --token=*** -v"),
            ("x --header 'X-Api-Key: a hunter2'", "x --header 'X-Api-Key: ***'"),
            ("sh -c \"TOKEN='x hunter2' exec php\"", "sh -c 'TOKEN=*** exec php'"),
            ("bash -lc \"php x --token='a hunter2' y\"", "bash -lc 'php x --token=*** y'"),
            ("x --db='mysql://u:x hunter2@h/db'", "x --db=mysql://u:***@h/db"),
            ("x it's", r"x 'it'\''s'"),
        ] {
            let command = Command { argv: split(text).unwrap(), shown: None };
            assert_eq!(command.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        bolero::check!().with_type::<String>().with_iterations(20_000).for_each(|text| drop(split(text)));
    }
}
