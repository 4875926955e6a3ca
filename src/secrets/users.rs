//! Users and passwords in addresses.

use super::tokens::{HIDDEN, is_token};

/// Hides the password of `scheme://user:password@host`, and a user without one, which may be a token. A URL ends at a quote.
pub(super) fn without_users(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        shown.push_str(before);
        let end = behind.find(['"', '\'']).unwrap_or(behind.len());
        // A second URL in the same word begins with its own scheme.
        let end = behind[..end].find("://").map_or(end, |next| next.min(end));
        let is_address = ["tcp://", "unix://"].iter().any(|scheme| before.ends_with(scheme));
        let user = user_length(&behind[..end], is_address);
        if let Some(length) = user {
            shown.push_str(&without_password(&behind[..length]));
        }
        rest = &behind[user.unwrap_or(0)..];
    }
    shown.push_str(rest);
    shown
}

/// `user:***`, or `***` where the user may be a token, as in `TOKEN:x-oauth-basic` or `TOKEN:`.
fn without_password(user: &str) -> String {
    match user.split_once(':') {
        Some((user, password))
            if !is_token(user) && !password.is_empty() && !password.starts_with("x-oauth") =>
        {
            format!("{user}:{HIDDEN}")
        }
        _ => HIDDEN.into(),
    }
}

/// The length of `user:password` in `user:password@host/path`. Without an `@`, anything that cannot be a port is a password, except in the
/// address of a listener.
fn user_length(url: &str, is_address: bool) -> Option<usize> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    if let Some(at) = authority.rfind('@') {
        return Some(at);
    }
    let (_, port) = authority.split_once(':')?;
    // A password may contain characters that should have been encoded. A port has only digits, and an `@` behind it belongs to the path.
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_password = || {
        let digits = port.trim_start_matches(|c: char| c.is_ascii_digit());
        let is_port = port.is_empty()
            || port == "port"
            || port.starts_with("${")
            || (digits.len() < port.len() && !digits.starts_with(char::is_alphanumeric));
        !is_port && !is_address && !authority.starts_with('[')
    };
    url.rfind('@').or_else(|| is_password().then_some(authority.len()))
}

/// Hides the password of `user:password@host` without a scheme before it, as in `user:password@tcp(host)/name`.
pub(super) fn without_user(word: &str) -> Option<String> {
    let (before, host) = word.split_at(word.rfind('@')?);
    let begin = before.rfind(['=', '"', '\'', '(', '[', '{', ',']).map_or(0, |at| at + 1);
    let (user, password) = before[begin..].split_once(':')?;
    let is_user =
        !user.is_empty() && !user.contains('/') && !password.is_empty() && !password.starts_with("//");
    is_user.then(|| format!("{}{user}:{HIDDEN}{host}", &before[..begin]))
}
