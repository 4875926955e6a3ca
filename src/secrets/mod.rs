//! What must not be shown: which names denote secrets, texts with their secrets hidden, and the comparison of secrets.
//!
//! Messages, `rpc.Config`, `informer.Workers` and the log go through here. Hiding too much costs some comfort, hiding too little a password,
//! so in doubt it is hidden.

mod names;
mod tokens;
mod users;

use percent_encoding::percent_decode_str;
use subtle::ConstantTimeEq as _;

pub(crate) use names::is_secret;
pub(crate) use tokens::HIDDEN;
use tokens::is_token;
use users::{without_user, without_users};

/// Quotes within quotes that are looked into. Each level takes twice the time of the one around it.
const QUOTES: u32 = 4;

/// Words that begin with `p`, as in `-port`. Anything else directly behind `-p` is a password.
const NO_PASSWORDS: [&str; 9] =
    ["port", "path", "pid", "prefix", "profile", "parallel", "print", "proxy", "public"];

/// Compares a secret with what a caller presents; takes as long for any text of the right length.
pub(crate) fn is_same(secret: &[u8], presented: &[u8]) -> bool {
    secret.ct_eq(presented).into()
}

/// Hides secrets that their context gives away: users and passwords of URLs, values of parameters, flags, assignments and headers whose
/// names denote secrets, tokens and private keys.
pub(crate) fn scrub(text: &str) -> String {
    scrub_nested(text, 0)
}

/// Scrubs a text within so many quotes.
fn scrub_nested(text: &str, quotes: u32) -> String {
    if quotes > QUOTES {
        return HIDDEN.into();
    }
    if let Some(begin) = text.find("-----BEGIN") {
        return format!("{}{HIDDEN}", scrub_nested(&text[..begin], quotes));
    }
    // A quote may be an apostrophe, and what looks like one quoted word is several.
    scrub_each(&scrub_each(text, word_length, quotes), blank_length, quotes)
}

/// Scrubs each word of a text; `length` finds the end of the first one.
fn scrub_each(text: &str, length: impl Fn(&str) -> usize, quotes: u32) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = "";
    let mut secret_next = false;
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start().len();
        shown.push_str(&rest[..blanks]);
        rest = &rest[blanks..];
        let (word, behind) = rest.split_at(length(rest));
        rest = behind;
        if let Some(hidden) = hidden_behind(secret_next, word) {
            shown.push_str(hidden);
            close_quote(word, &mut shown);
            // A scheme comes before what it is followed by: `Authorization: Bearer x`.
            secret_next = is_scheme(word);
        } else {
            shown.push_str(&scrub_user_flag(before, word).unwrap_or_else(|| scrub_word(word, quotes)));
            secret_next = hides_next(word) || (secret_next && is_separator(word));
        }
        before = word;
    }
    shown
}

/// The words of a command without secrets. Unlike those of a text, they may have blanks and need no quotes.
pub(crate) fn scrub_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut before = "";
    let mut secret_next = false;
    let mut scrub_next = |word: &'a str| {
        let hidden = hidden_behind(secret_next, word).map(str::to_owned);
        secret_next = match hidden {
            Some(_) => is_scheme(word),
            None => hides_next(word) || (secret_next && is_separator(word)),
        };
        let shown = hidden
            .or_else(|| scrub_user_flag(before, word))
            .unwrap_or_else(|| if is_script_flag(before) { scrub(word) } else { scrub_argument(word) });
        before = word;
        shown
    };
    words.into_iter().map(&mut scrub_next).collect()
}

/// One word of a command: what follows a secret's name is hidden up to the word's end, blanks included.
fn scrub_argument(word: &str) -> String {
    if !word.contains(char::is_whitespace) {
        return scrub(word);
    }
    let name_end = word.find(|c: char| !(c.is_alphanumeric() || "_-.".contains(c))).unwrap_or(0);
    let is_named = word[name_end..].starts_with(['=', ':']) && !word[name_end..].starts_with("://");
    if is_named && is_secret(&word[..name_end]) {
        let begin = name_end + 1 + word[name_end + 1..].len() - word[name_end + 1..].trim_start().len();
        return format!("{}{HIDDEN}", &word[..begin]);
    }
    // A password of a URL may have blanks here.
    scrub(&without_users(word))
}

/// Whether a shell's script follows this flag: `-c`, `-lc`.
fn is_script_flag(word: &str) -> bool {
    let flags = word.strip_prefix('-').and_then(|flags| flags.strip_suffix('c'));
    flags.is_some_and(|flags| flags.bytes().all(|flag| flag.is_ascii_alphabetic()))
}

/// curl's `-u user:password`. Two numbers are a user and a group.
fn scrub_user_flag(before: &str, word: &str) -> Option<String> {
    let (user, password) = word.split_once(':').filter(|_| matches!(before, "-u" | "--user"))?;
    let is_secret = !password.is_empty() && !password.bytes().all(|byte| byte.is_ascii_digit());
    is_secret.then(|| format!("{user}:{HIDDEN}"))
}

/// What to show of a word that may be a secret because of the word before it; none if it is not hidden.
fn hidden_behind(secret_next: bool, word: &str) -> Option<&str> {
    let is_hidden = secret_next && !word.starts_with('-') && !is_separator(word);
    is_hidden.then(|| if is_reference(word) { word } else { HIDDEN })
}

/// `--token : x`.
fn is_separator(word: &str) -> bool {
    matches!(word, ":" | "=" | ":=" | "=>")
}

fn blank_length(text: &str) -> usize {
    text.find(char::is_whitespace).unwrap_or(text.len())
}

/// The length of the first word of a command line, which ends at a blank outside quotes and not behind a backslash.
fn word_length(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            // An apostrophe within a word may never be closed.
            None if matches!(c, '"' | '\'') && text[at + 1..].contains(c) => quote = Some(c),
            None if c.is_whitespace() && !text[..at].ends_with('\\') => return at,
            _ => {}
        }
    }
    text.len()
}

/// `${NAME}` refers to a secret, and is none itself.
fn is_reference(word: &str) -> bool {
    let name = word.strip_prefix("${").and_then(|word| word.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric()))
}

/// Whether a secret follows this word, such as `--token`, `-p`, `password:`, `Bearer`, or `password` with its colon forgotten.
fn hides_next(word: &str) -> bool {
    let word = word.trim_start_matches(['"', '\'', '{', '[', '(', ',']);
    if word == "-p" || is_scheme(word) {
        return true;
    }
    if let Some(name) = word.strip_suffix([':', '=']) {
        return is_secret(name.trim_matches(['"', '\'']));
    }
    // The name of a file, such as `token.php`, does not announce a secret.
    let is_of_a_name =
        |c: char| c.is_alphanumeric() || matches!(c, '_' | '-') || (c == '.' && word.starts_with('-'));
    word.chars().all(is_of_a_name) && is_secret(word)
}

fn is_scheme(word: &str) -> bool {
    ["bearer", "basic", "digest"].contains(&word.to_ascii_lowercase().as_str())
}

/// Keeps the closing quote of a hidden word whose opening quote is before it.
fn close_quote(word: &str, shown: &mut String) {
    let last = word.chars().last().filter(|last| matches!(last, '"' | '\''));
    shown.extend(last.filter(|quote| word.matches(*quote).count() == 1));
}

/// One word: `--token=x`, `FOO_TOKEN=x`, `-px`, `?token=x&a=b`, `"password":"x"`, a token of a known form, a quoted command.
fn scrub_word(word: &str, quotes: u32) -> String {
    let word = &without_users(word);
    let inner = word.strip_prefix(['"', '\'']).filter(|inner| inner.len() > 1 && inner.ends_with(&word[..1]));
    if let Some(inner) = inner {
        let quote = &word[..1];
        return format!("{quote}{}{quote}", scrub_nested(&inner[..inner.len() - 1], quotes + 1));
    }
    if let Some(attached) = word.strip_prefix("--user=").and_then(|attached| scrub_user_flag("-u", attached))
    {
        return format!("--user={attached}");
    }
    if let Some(attached) = word.strip_prefix("-p") {
        let is_word = NO_PASSWORDS.iter().any(|known| word[1..].starts_with(known));
        if !attached.is_empty() && !is_word && !attached.bytes().all(|byte| byte.is_ascii_digit()) {
            return format!("-p{HIDDEN}");
        }
    }
    if is_token(word) {
        return HIDDEN.into();
    }
    scrub_pairs(&without_user(word).unwrap_or_else(|| word.clone()))
}

/// Hides what follows the name of a secret and `=` or `:`, up to the next query parameter or the end of the word.
fn scrub_pairs(word: &str) -> String {
    let mut shown = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['=', ':']) {
        let name = rest[..at].trim_end_matches(['"', '\'']);
        let begin = name
            .rfind(|c: char| !(c.is_alphanumeric() || "_-.%".contains(c)))
            .map_or(0, |at| at + name[at..].chars().next().map_or(1, char::len_utf8));
        let value = &rest[at + 1..];
        shown.push_str(&rest[..=at]);
        let end = value.find('&').unwrap_or(value.len());
        let is_hidden = !value.is_empty()
            && !value.starts_with("//")
            && (is_token(value[..end].trim_matches(['"', '\'']))
                || is_secret(&percent_decode_str(&name[begin..]).decode_utf8_lossy()));
        if !is_hidden {
            rest = value;
            continue;
        }
        shown.push_str(if is_reference(&value[..end]) { &value[..end] } else { HIDDEN });
        close_quote(&value[..end], &mut shown);
        rest = &value[end..];
    }
    shown.push_str(rest);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_in_a_text_are_hidden_and_the_rest_stays() {
        let cases = [
            ("php app.php", "php app.php"),
            ("tcp://127.0.0.1:6001", "tcp://127.0.0.1:6001"),
            ("amqp://guest:hunter2@localhost:5672/x", "amqp://guest:***@localhost:5672/x"),
            ("amqp://guest:hun/ter2@localhost", "amqp://guest:***@localhost"),
            ("amqp://guest:hun@ter2@localhost", "amqp://guest:***@localhost"),
            ("user:hunter2@tcp(h)/x", "user:***@tcp(h)/x"),
            ("x=user:hun/ter2@h:1", "x=user:***@h:1"),
            ("php token.php x", "php token.php x"),
            ("git@github.com:a/b", "git@github.com:a/b"),
            ("redis://:hunter2@localhost", "redis://:***@localhost"),
            ("postgres://u:hunter2", "postgres://u:***"),
            ("postgres://u:2hunter2/x", "postgres://u:***/x"),
            ("http://h:80: refused, kafka://a:9092,b:9092", "http://h:80: refused, kafka://a:9092,b:9092"),
            ("tcp://host:x https://h:${PORT} x://[::1]:1", "tcp://host:x https://h:${PORT} x://[::1]:1"),
            ("https://hunter2:x-oauth-basic@h", "https://***@h"),
            ("https://hunter2:@h", "https://***@h"),
            ("https://ghp_hunter2hunter2:x@h", "https://***@h"),
            ("x=sk_test_hunter2hunter2", "x=***"),
            ("php --token : hunter2 x", "php --token : *** x"),
            ("curl --user=u:hunter2 h", "curl --user=u:*** h"),
            ("x --db='mysql://u:x hunter2@h/db' y", "x --db='mysql://u:***@h/db' y"),
            ("it's --token hunter2 isn't it", "it's --token *** isn't it"),
            ("https://hunter2@sentry.io/1", "https://***@sentry.io/1"),
            ("http://h:80/a@b", "http://h:80/a@b"),
            ("http://h/x?api_key=hunter2&a=b", "http://h/x?api_key=***&a=b"),
            ("http://h/x?a=b&token=hunter2#f", "http://h/x?a=b&token=***"),
            ("http://h/x?api%5Fkey=hunter2", "http://h/x?api%5Fkey=***"),
            ("http://h/x?%70assword=hunter2", "http://h/x?%70assword=***"),
            ("php app.php --token=hunter2 -v", "php app.php --token=*** -v"),
            ("php app.php --token hunter2 -v", "php app.php --token *** -v"),
            ("php app.php --db-password 'hunter2 x' -v", "php app.php --db-password *** -v"),
            ("mysql -phunter2 -h x", "mysql -p*** -h x"),
            ("mysql -p hunter2", "mysql -p ***"),
            ("php -S x -port 80", "php -S x -port 80"),
            ("FOO_TOKEN=hunter2 php app.php", "FOO_TOKEN=*** php app.php"),
            ("FOO_TOKEN='hunter2 x' php app.php", "FOO_TOKEN=*** php app.php"),
            ("FOO_TOKEN=hunter2'x y'z php", "FOO_TOKEN=*** php"),
            (r"FOO_TOKEN=x\ hunter2 --token x\ hunter2 php", "FOO_TOKEN=*** --token *** php"),
            ("sh -c 'FOO_TOKEN=hunter2 exec php'", "sh -c 'FOO_TOKEN=*** exec php'"),
            ("curl -H 'Authorization: Bearer hunter2' h", "curl -H 'Authorization: *** ***' h"),
            ("host=a password=hunter2 port=1", "host=a password=*** port=1"),
            ("{\"password\":\"hunter2\"}", "{\"password\":***"),
            ("{\"password\": \"hunter2\"}", "{\"password\": ***"),
            ("-----BEGIN PRIVATE KEY-----\nhunter2", "***"),
            ("x eyJhbGciOi.eyJzdWIi.hunter2 y", "x *** y"),
            ("it's --token hunter2", "it's --token ***"),
            ("4 api_key hunter2", "4 api_key ***"),
            ("php --token ${TOKEN} --key=${V} --key=${V}x", "php --token ${TOKEN} --key=${V} --key=***"),
        ];
        for (text, shown) in cases {
            assert_eq!(scrub(text), shown, "{text}");
        }
    }

    #[test]
    fn secrets_in_the_words_of_a_command_are_hidden_and_the_rest_stays() {
        let cases: [(&[&str], &[&str]); 14] = [
            (&["php", "w.php", "--token", "hunter2", "x"], &["php", "w.php", "--token", "***", "x"]),
            (
                &["./c", "--grpc_api.key", "hunter2", "-p", "hunter2"],
                &["./c", "--grpc_api.key", "***", "-p", "***"],
            ),
            (&["x", "--token=a hunter2"], &["x", "--token=***"]),
            (&["env", "TOKEN=x hunter2", "x"], &["env", "TOKEN=***", "x"]),
            (&["x", "--header", "X-Api-Key: a hunter2"], &["x", "--header", "X-Api-Key: ***"]),
            (&["x", "-H", "Authorization: Bearer hunter2"], &["x", "-H", "Authorization: ***"]),
            (&["sh", "-c", "TOKEN='x hunter2' x y"], &["sh", "-c", "TOKEN=*** x y"]),
            (&["bash", "-lc", "php x --token='a hunter2' y"], &["bash", "-lc", "php x --token=*** y"]),
            (&["x", "--db=mysql://u:x hunter2@h/db"], &["x", "--db=mysql://u:***@h/db"]),
            (&["x", "--token", "-v", "y"], &["x", "--token", "-v", "y"]),
            (&["curl", "-u", "u:hunter2", "h"], &["curl", "-u", "u:***", "h"]),
            (&["docker", "-u", "33:33", "h"], &["docker", "-u", "33:33", "h"]),
            (&["x", "Bearer", "hunter2"], &["x", "Bearer", "***"]),
            (&["x", "--token", "${TOKEN}", "a b"], &["x", "--token", "${TOKEN}", "a b"]),
        ];
        for (words, shown) in cases {
            assert_eq!(scrub_words(words.iter().copied()), shown, "{words:?}");
        }
    }

    #[test]
    fn what_is_in_too_many_quotes_is_hidden() {
        let nested = |levels: usize, text| format!("{}{text}{}", "'".repeat(levels), "'".repeat(levels));
        assert_eq!(scrub(&nested(4, "--a x")), nested(4, "--a x"));
        assert_eq!(scrub(&nested(10_000, "hunter2")), nested(5, HIDDEN));
        let mixed = format!("{}hunter2{}", r#"'""#.repeat(5_000), r#""'"#.repeat(5_000));
        assert_eq!(scrub(&mixed), format!("'\"'\"'{HIDDEN}'\"'\"'"));
    }

    #[test]
    fn no_text_makes_it_panic() {
        bolero::check!().with_type::<String>().with_iterations(20_000).for_each(|text| {
            drop(scrub(text));
            drop(scrub_words(text.split('a')));
        });
    }
}
