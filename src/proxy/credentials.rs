//! What calls have to present: the metadata that Centrifugo sends with each of them.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use tracing::warn;

use crate::findings::Findings;
use crate::net::Incident;
use crate::secrets::is_same;

/// Headers that each call has, or that say how it is read.
const OF_GRPC: [&str; 6] = ["content-type", "te", "host", "user-agent", "traceparent", "tracestate"];

/// Calls are no longer refused if none was for this time.
const CALM: Duration = Duration::from_secs(10);

/// `centrifuge.proxy_credentials`.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default)]
pub struct Credentials {
    /// The key of the metadata: Centrifugo's `credentials_key`.
    pub key: String,
    /// The values that are accepted; Centrifugo's `credentials_value` is one of them.
    pub value: Vec<String>,
}

impl Credentials {
    /// Reports what would keep calls from being accepted, or let in others.
    pub(super) fn validate(&self, findings: &mut Findings) {
        const SECTION: &str = "centrifuge.proxy_credentials";
        if self.name().is_none() {
            let text = "expected the key of gRPC metadata, such as authorization, that is not gRPC's own and does not end with -bin";
            findings.mistake(format!("{SECTION}.key"), text);
        }
        let key = format!("{SECTION}.value");
        if self.value.is_empty() || self.value.iter().any(String::is_empty) {
            findings.mistake(&key, "expected a value, or a list of values");
        } else if self.value.iter().any(|value| HeaderValue::from_str(value).is_err()) {
            findings.mistake(&key, "it has characters that are not allowed in metadata");
        }
    }

    /// Metadata is in lower case, that of `-bin` is in base64, and some has a meaning for gRPC and is not removed.
    fn name(&self) -> Option<HeaderName> {
        let key = self.key.to_ascii_lowercase();
        let is_own = !key.ends_with("-bin") && !key.starts_with("grpc-") && !OF_GRPC.contains(&&*key);
        HeaderName::from_bytes(key.as_bytes()).ok().filter(|_| is_own)
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Checks the credentials of calls. They can be replaced while calls go on.
#[derive(Debug)]
pub struct CredentialCheck {
    is_on: AtomicBool,
    expected: RwLock<Option<(HeaderName, Credentials)>>,
    refusing: Mutex<Incident>,
}

impl CredentialCheck {
    /// Without credentials, every call is admitted.
    pub(crate) fn new(credentials: Option<&Credentials>) -> Self {
        let refusing = Mutex::new(Incident::new(CALM));
        let check = Self { is_on: AtomicBool::new(false), expected: RwLock::new(None), refusing };
        check.replace(credentials);
        check
    }

    /// Admits calls with these credentials from now on.
    pub fn replace(&self, credentials: Option<&Credentials>) {
        let expected = credentials.and_then(|credentials| Some((credentials.name()?, credentials.clone())));
        let mut current = self.expected.write().unwrap_or_else(PoisonError::into_inner);
        self.is_on.store(expected.is_some(), Relaxed);
        *current = expected;
    }

    /// Whether a call with these headers is admitted. Removes its credentials: they are not for workers.
    #[inline]
    pub(super) fn admits(&self, headers: &mut HeaderMap) -> bool {
        !self.is_on.load(Relaxed) || self.compare(headers)
    }

    fn compare(&self, headers: &mut HeaderMap) -> bool {
        let expected = self.expected.read().unwrap_or_else(PoisonError::into_inner);
        let Some((name, Credentials { value, .. })) = &*expected else { return true };
        // As many comparisons whichever matches.
        let is_known = |presented: &HeaderValue| {
            value.iter().fold(false, |found, value| found | is_same(value.as_bytes(), presented.as_bytes()))
        };
        let is_admitted = headers.get_all(name).iter().fold(false, |found, value| found | is_known(value));
        headers.remove(name);
        if !is_admitted
            && let Some(times) = self.refusing.lock().unwrap_or_else(PoisonError::into_inner).happened()
        {
            warn!(target: "centrifuge", key = %name, refused = times, "call refused: missing or wrong credentials");
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(key: &str, values: &[&str]) -> Credentials {
        Credentials { key: key.into(), value: values.iter().map(ToString::to_string).collect() }
    }

    fn headers(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("x-secret", HeaderValue::from_static(value));
        }
        headers.insert("x-other", HeaderValue::from_static("one"));
        headers
    }

    #[test]
    fn any_of_the_values_is_admitted_and_none_is_passed_on() {
        let check = CredentialCheck::new(Some(&credentials("X-Secret", &["one", "two"])));
        for (values, admitted) in [
            (&["one"][..], true),
            (&["two"], true),
            (&["three", "two"], true),
            (&["three"], false),
            (&["on"], false),
            (&["onee"], false),
            (&[""], false),
            (&[], false),
        ] {
            let mut headers = headers(values);
            assert_eq!(check.admits(&mut headers), admitted, "{values:?}");
            assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-other"]);
        }
    }

    #[test]
    fn credentials_are_replaced_while_calls_go_on() {
        let check = CredentialCheck::new(None);
        assert!(check.admits(&mut headers(&[])));
        check.replace(Some(&credentials("x-secret", &["one"])));
        assert!(!check.admits(&mut headers(&[])));
        check.replace(Some(&credentials("x-secret", &["two"])));
        assert!(!check.admits(&mut headers(&["one"])));
        assert!(check.admits(&mut headers(&["two"])));
        check.replace(None);
        assert!(check.admits(&mut headers(&[])));
    }

    #[test]
    fn a_key_and_values_that_no_call_can_have_are_mistakes() {
        let found = |key: &str, values: &[&str]| {
            let mut findings = Findings::default();
            credentials(key, values).validate(&mut findings);
            let keys = findings.into_list().into_iter().map(|finding| finding.key);
            keys.map(|key| key.rsplit('.').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(found("Authorization", &["Bearer x", "y"]), [""; 0]);
        for key in ["", "a b", "x-bin", "X-Bin", ":path", "Grpc-Timeout", "te"] {
            assert_eq!(found(key, &["x"]), ["key"], "{key}");
        }
        for values in [&[][..], &[""], &["x", ""], &["x\n"]] {
            assert_eq!(found("x", values), ["value"], "{values:?}");
        }
    }
}
