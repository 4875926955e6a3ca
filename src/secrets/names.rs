//! Which names denote secrets.

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

/// A word with one of these endings denotes a secret as well: keys are read in lower case, `dbPass` as `dbpass`.
const ENDINGS: [&str; 12] =
    ["pass", "pwd", "psw", "pw", "dsn", "auth", "jwt", "cookie", "salt", "creds", "key", "keys"];

/// A word that begins with one of these denotes a secret as well.
const BEGINNINGS: [&str; 4] = ["dsn", "jwt", "hmac", "pwd"];

/// Words that end like the names of secrets, and denote none.
const HARMLESS_WORDS: [&str; 13] = [
    "bypass",
    "compass",
    "encompass",
    "surpass",
    "trespass",
    "underpass",
    "overpass",
    "monkey",
    "turkey",
    "donkey",
    "hotkey",
    "turnkey",
    "basalt",
];

/// Words before `key` in names of keys that are no secrets.
const HARMLESS_KEYS: [&str; 9] =
    ["routing", "partition", "binding", "primary", "foreign", "sort", "public", "message", "cache"];

/// Says how clients are verified, which those who run the server have to see.
const AUTH_TYPE: &str = "client_auth_type";

/// Whether the value of this name (a key, variable, flag or query parameter) has to be treated as a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    if name.ends_with(AUTH_TYPE) {
        return false;
    }
    let words = words(name);
    let joined = words.concat();
    if PARTS.iter().any(|part| joined.contains(part)) {
        return true;
    }
    words.iter().enumerate().any(|(index, word)| {
        let before = index.checked_sub(1).and_then(|before| words.get(before));
        is_of_secret(word, before.map_or("", String::as_str))
    })
}

/// Whether a word of a name, with the word before it, denotes a secret.
fn is_of_secret(word: &str, before: &str) -> bool {
    if HARMLESS_WORDS.contains(&word) {
        return false;
    }
    if let Some(kind) = word.strip_suffix("key").or_else(|| word.strip_suffix("keys")) {
        return !HARMLESS_KEYS.contains(&if kind.is_empty() { before } else { kind });
    }
    WORDS.contains(&word)
        || ENDINGS.iter().any(|ending| word.ends_with(ending))
        || BEGINNINGS.iter().any(|beginning| word.starts_with(beginning))
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
            "dbpass",
            "userpwd",
            "dbdsn",
            "dsnurl",
            "redisauth",
            "mysqlpw",
            "hmackey",
            "jwtkey",
            "masterkeys",
            "sslkey",
            "appkey",
            "serverkey",
            "sessioncookie",
            "passwordsalt",
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
            "publickey",
            "routingkey",
            "underpass",
            "basalt",
            "psql",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
