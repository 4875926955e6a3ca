//! A password in front of pages, by HTTP's basic authentication.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::Deserialize;
use tracing::warn;

use super::answer::{Answer, plain};
use super::site::{Answering, Page};
use crate::findings::Findings;
use crate::net::Incident;
use crate::secrets::is_same;

/// Requests are no longer refused if none was for this time.
const CALM: Duration = Duration::from_secs(10);

/// Makes browsers ask for a password.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Basic realm=\"Causeway\", charset=\"UTF-8\"");

/// `basic_auth` of a section.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct BasicAuth {
    /// The only user.
    pub username: String,
    /// The password.
    pub password: String,
}

impl BasicAuth {
    /// Reports settings that would admit no user, or all.
    pub(super) fn validate(&self, section: &str, is_readable: bool, findings: &mut Findings) {
        let key = format!("{section}.basic_auth");
        if self.username.is_empty() || self.username.contains(':') {
            findings.mistake(format!("{key}.username"), "expected a name without a colon");
        }
        if self.password.is_empty() {
            findings.mistake(format!("{key}.password"), "expected a password");
        }
        if is_readable {
            let text = format!(
                "the password crosses the network in plaintext, as this address is reachable from other machines; {section}.tls encrypts it"
            );
            findings.odd(key, text);
        }
    }

    fn matches(&self, headers: &HeaderMap) -> bool {
        let presented = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some((scheme, presented)) = presented.and_then(|value| value.split_once(' ')) else {
            return false;
        };
        let Ok(decoded) = STANDARD.decode(presented.trim()) else { return false };
        let Some(colon) = decoded.iter().position(|byte| *byte == b':') else { return false };
        let (username, password) = (&decoded[..colon], &decoded[colon + 1..]);
        // Both are compared, whichever is wrong.
        scheme.eq_ignore_ascii_case("basic")
            && is_same(self.username.as_bytes(), username) & is_same(self.password.as_bytes(), password)
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("username", &self.username).finish_non_exhaustive()
    }
}

/// What stands in front of the pages of a section.
#[derive(Debug)]
pub(super) struct Guard {
    section: &'static str,
    auth: BasicAuth,
    refusing: Mutex<Incident>,
}

/// A page behind it.
struct Guarded {
    guard: Arc<Guard>,
    page: Arc<dyn Page>,
}

impl Guard {
    /// A guard if the section has a password.
    pub(super) fn of(section: &'static str, auth: Option<&BasicAuth>) -> Option<Arc<Self>> {
        let auth = auth?.clone();
        Some(Arc::new(Self { section, auth, refusing: Mutex::new(Incident::new(CALM)) }))
    }

    fn refuse(&self, headers: &HeaderMap) -> Option<Answer> {
        if self.auth.matches(headers) {
            return None;
        }
        // Browsers present nothing at first.
        if headers.contains_key(header::AUTHORIZATION)
            && let Some(times) = self.refusing.lock().unwrap_or_else(PoisonError::into_inner).happened()
        {
            let section = self.section;
            warn!(target: "net", section, refused = times, "request refused: wrong username or password");
        }
        let mut answer = plain(StatusCode::UNAUTHORIZED, "401 Unauthorized\n");
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        Some(answer)
    }
}

/// The page behind the guard, if there is one.
pub(super) fn behind(guard: Option<&Arc<Guard>>, page: Arc<dyn Page>) -> Arc<dyn Page> {
    match guard {
        Some(guard) => Arc::new(Guarded { guard: Arc::clone(guard), page }),
        None => page,
    }
}

impl Page for Guarded {
    fn refuse(&self, headers: &HeaderMap) -> Option<Answer> {
        self.guard.refuse(headers).or_else(|| self.page.refuse(headers))
    }

    fn answer<'a>(&'a self, request: &'a Request<Bytes>) -> Answering<'a> {
        self.page.answer(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_with_the_password_is_admitted_and_no_other() {
        let auth = BasicAuth { username: "ann".into(), password: "a:b \u{e4}".into() };
        let guard = Guard::of("metrics", Some(&auth)).unwrap();
        let refused = |header: Option<String>| {
            let mut headers = HeaderMap::new();
            if let Some(header) = header {
                headers.insert(header::AUTHORIZATION, header.parse().unwrap());
            }
            guard.refuse(&headers).map(|answer| {
                assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], CHALLENGE);
                answer.status().as_u16()
            })
        };
        let basic = |text: &str| Some(format!("Basic {}", STANDARD.encode(text)));
        assert_eq!(refused(basic("ann:a:b \u{e4}")), None);
        assert_eq!(refused(Some(format!("bAsIc  {}", STANDARD.encode("ann:a:b \u{e4}")))), None);
        for wrong in ["ann:", "ann", ":a:b \u{e4}", "ann:a:b", "bob:a:b \u{e4}", "ann:a:b \u{e4}x", ""] {
            assert_eq!(refused(basic(wrong)), Some(401), "{wrong}");
        }
        for wrong in ["Bearer x", "Basic", "Basic !", "x"] {
            assert_eq!(refused(Some(wrong.into())), Some(401), "{wrong}");
        }
        assert_eq!(refused(None), Some(401));
        assert!(!format!("{auth:?}").contains("a:b"));
    }
}
