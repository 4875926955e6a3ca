//! What must not be shown: which names denote secrets, and texts with their secrets hidden.
//!
//! Messages, `rpc.Config`, `informer.Workers` and the log go through here. Hiding too much costs some comfort, hiding too little a password,
//! so in doubt it is hidden.

use std::fmt::Write as _;

use percent_encoding::percent_decode_str;

/// What replaces a secret.
pub(crate) const HIDDEN: &str = "***";

/// A name that contains one of these, in lower case and without separators, denotes a secret.
const PARTS: [&str; 15] = [
    "passw",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "credential",
    "authoriz",
    "privatekey",
    "accesskey",
    "signingkey",
    "encryptionkey",
    "sharedkey",
    "bearer",
    "signature",
];

/// A name that contains one of these as a whole word denotes a secret.
const WORDS: [&str; 16] = [
    "pass", "pwd", "pw", "psw", "dsn", "auth", "jwt", "cookie", "salt", "sig", "cred", "creds", "hmac",
    "otp", "key", "keys",
];

/// Words before `key` in names of keys that are no secrets.
const HARMLESS_KEYS: [&str; 9] =
    ["routing", "partition", "binding", "primary", "foreign", "sort", "public", "message", "cache"];

/// Words that begin with `p`, as in `-port`. Anything else directly behind `-p` is a password.
const NO_PASSWORDS: [&str; 9] =
    ["port", "path", "pid", "prefix", "profile", "parallel", "print", "proxy", "public"];

/// Whether the value of this name (a key, variable, flag or query parameter) has to be treated as a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let words = words(name);
    let joined = words.concat();
    if PARTS.iter().any(|part| joined.contains(part)) {
        return true;
    }
    let is_harmless =
        |before: Option<&String>| before.is_some_and(|word| HARMLESS_KEYS.contains(&word.as_str()));
    words.iter().enumerate().any(|(index, word)| {
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        WORDS.contains(&word.as_str()) && !(word.starts_with("key") && is_harmless(before))
    })
}

/// `apiKey`, `API_KEY` and `api-key` are the words `api` and `key`.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut was_lower = false;
    for c in name.chars() {
        if (!c.is_alphanumeric() || (was_lower && c.is_uppercase())) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        was_lower = c.is_lowercase() || c.is_ascii_digit();
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// Hides secrets that their context gives away: users and passwords of URLs, values of parameters, flags, assignments and headers whose
/// names denote secrets, tokens and private keys.
pub(crate) fn scrub(text: &str) -> String {
    if let Some(begin) = text.find("-----BEGIN") {
        return format!("{}{HIDDEN}", scrub(&text[..begin]));
    }
    let text = without_users(text);
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.as_str();
    let mut before = String::new();
    while !rest.is_empty() {
        let blanks = rest.len() - rest.trim_start().len();
        shown.push_str(&rest[..blanks]);
        rest = &rest[blanks..];
        let (word, behind) = rest.split_at(word_length(rest));
        rest = behind;
        if hides_next(&before) && !word.starts_with('-') {
            shown.push_str(if is_reference(word) { word } else { HIDDEN });
            // The secret follows the scheme: `Authorization: Bearer x`.
            before = if is_scheme(word) { word.to_owned() } else { String::new() };
            close_quote(word, &mut shown);
            continue;
        }
        shown.push_str(&scrub_word(word));
        word.clone_into(&mut before);
    }
    shown
}

/// The length of the first word of a command line, which ends at a blank outside quotes.
fn word_length(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match quote {
            Some(open) if c == open => quote = None,
            // An apostrophe within a word may never be closed.
            None if matches!(c, '"' | '\'') && text[at + 1..].contains(c) => quote = Some(c),
            None if c.is_whitespace() => return at,
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
fn scrub_word(word: &str) -> String {
    let inner = word.strip_prefix(['"', '\'']).filter(|inner| inner.len() > 1 && inner.ends_with(&word[..1]));
    if let Some(inner) = inner {
        let quote = &word[..1];
        return format!("{quote}{}{quote}", scrub(&inner[..inner.len() - 1]));
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
    scrub_pairs(&without_user(word).unwrap_or_else(|| word.to_owned()))
}

/// Hides the password of `user:password@host` without a scheme before it, as in `user:password@tcp(host)/name`.
fn without_user(word: &str) -> Option<String> {
    let (before, host) = word.split_at(word.rfind('@')?);
    let begin = before.rfind(['=', '"', '\'', '(', '[', '{', ',']).map_or(0, |at| at + 1);
    let (user, password) = before[begin..].split_once(':')?;
    let is_user =
        !user.is_empty() && !user.contains('/') && !password.is_empty() && !password.starts_with("//");
    is_user.then(|| format!("{}{user}:{HIDDEN}{host}", &before[..begin]))
}

/// Tokens with a known form: JWTs, and those of some public services.
fn is_token(word: &str) -> bool {
    let is_jwt = word.starts_with("eyJ") && word.matches('.').count() >= 2;
    is_jwt
        || ["ghp_", "gho_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk-", "sk_live_", "AKIA"]
            .iter()
            .any(|prefix| word.starts_with(prefix) && word.len() > prefix.len() + 8)
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
        if value.is_empty()
            || value.starts_with("//")
            || !is_secret(&percent_decode_str(&name[begin..]).decode_utf8_lossy())
        {
            rest = value;
            continue;
        }
        let end = value.find('&').unwrap_or(value.len());
        shown.push_str(if is_reference(&value[..end]) { &value[..end] } else { HIDDEN });
        close_quote(&value[..end], &mut shown);
        rest = &value[end..];
    }
    shown.push_str(rest);
    shown
}

/// Hides the password of `scheme://user:password@host`, and a user without one, which may be a token.
fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = behind.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(behind.len());
        // A second URL in the same word begins with its own scheme.
        let end = behind[..end].find("://").map_or(end, |next| next.min(end));
        let user = user_length(&behind[..end]);
        if let Some(length) = user {
            match behind[..length].split_once(':') {
                Some((user, _)) if !user.is_empty() => {
                    let _ = write!(shown, "{user}:{HIDDEN}");
                }
                Some(_) => {
                    let _ = write!(shown, ":{HIDDEN}");
                }
                None => shown.push_str(HIDDEN),
            }
        }
        rest = &behind[user.unwrap_or(0)..];
    }
    shown.push_str(rest);
    shown
}

/// The length of `user:password` in `user:password@host/path`.
fn user_length(url: &str) -> Option<usize> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    // A password may contain characters that should have been encoded. A port has only digits, and an `@` behind it belongs to the path.
    let (_, port) = authority.split_once(':')?;
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    url.rfind('@')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_recognised() {
        for name in [
            "api_key",
            "apiKey",
            "API-KEY",
            "pass",
            "DB_PASS",
            "passphrase",
            "pwd",
            "dsn",
            "private_key",
            "APP_KEY",
            "accessKeyId",
            "token",
            "FOO_TOKEN",
            "client_secret",
            "Authorization",
            "basic_auth",
            "jwt",
            "key",
            "x-api-key",
            "MYSQL_PWD",
            "redisPassword",
            "secrets",
            "credentials",
            "encryption_key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "num_workers",
            "proxy_address",
            "command",
            "bypass",
            "compass",
            "keyspace",
            "monkey",
            "routing_key",
            "user",
            "path",
            "author",
            "passive",
            "",
            "listen",
            "public_key",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

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
    fn no_text_makes_it_panic() {
        bolero::check!().with_type::<String>().with_iterations(20_000).for_each(|text| drop(scrub(text)));
    }
}
