//! Which requests the page and its data answer.
//!
//! Without `status.basic_auth`, anyone who reaches the page's address may read it. What is kept out in any case are other sites, which a browser
//! behind the same firewall has open:
//! - **DNS rebinding.** A site may let its own name point to this address, and would be of the page's origin then. So a request's `Host` has to
//!   be an address, `localhost`, or a name from `status.hosts`.
//! - **Requests across sites.** Answers have no CORS headers and are not to be embedded, so other sites cannot read them; and requests that
//!   browsers mark as those of another site are refused, since streams of events are few.
//! - **Changes on behalf of the user (CSRF).** A change needs `status.control`, a POST of JSON, an `Origin` that is the page's own, and a token
//!   that only the page contains.
//!
//! Pure: from headers to a decision.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::{HeaderMap, HeaderName, header};

use crate::net::host_and_port;
use crate::os;
use crate::secrets::is_same;

/// The header of the token.
const TOKEN: HeaderName = HeaderName::from_static("x-causeway-token");

/// In which relation the site that asks is to this one. Source: <https://www.w3.org/TR/fetch-metadata/>.
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is allowed.
#[derive(Debug)]
pub(super) struct Gate {
    /// In lower case, without the dot of the root.
    hosts: Vec<String>,
    /// Present if changes are allowed. Another one after each start of the server.
    token: Option<String>,
}

/// Why a request is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("the request has no single Host")]
    NoHost,
    #[error(
        "the page is not served under the name in Host; expected an address, localhost, or a name in status.hosts"
    )]
    Host,
    #[error("the request comes from another site")]
    OtherSite,
    #[error("the page changes nothing unless status.control is true")]
    NoControl,
    #[error("expected Content-Type: application/json")]
    ContentType,
    #[error("expected an Origin that is the page's own")]
    Origin,
    #[error("the token is missing or not that of the page; reload the page")]
    Token,
}

impl Gate {
    /// A gate for the names `hosts`, and that of `address`, if it has one.
    pub(super) fn new(address: &str, hosts: &[String], has_control: bool) -> Self {
        let own = host_and_port(address).map(|(host, _)| host.to_owned());
        let hosts = hosts.iter().cloned().chain(own).filter(|host| !host.is_empty());
        Self { hosts: hosts.map(|host| name_of(&host)).collect(), token: has_control.then(os::random::text) }
    }

    /// What a change has to present.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// The page itself may be opened from anywhere, by a link for instance.
    pub(super) fn admits_page(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.host(headers).map(drop)
    }

    /// Its data may be read by the page, and by programs that are no browsers.
    pub(super) fn admits_data(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        self.host(headers)?;
        match text(headers, &FETCH_SITE) {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) => Err(Refusal::OtherSite),
        }
    }

    /// Changes may be made by the page.
    pub(super) fn admits_change(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.host(headers)?;
        let token = self.token.as_deref().ok_or(Refusal::NoControl)?;
        self.admits_data(headers)?;
        let origin = text(headers, &header::ORIGIN).and_then(|origin| origin.split_once("://"));
        if !origin
            .is_some_and(|(scheme, of)| matches!(scheme, "http" | "https") && of.eq_ignore_ascii_case(host))
        {
            return Err(Refusal::Origin);
        }
        let content_type = text(headers, &header::CONTENT_TYPE).unwrap_or_default();
        if content_type.split(';').next().unwrap_or_default().trim() != "application/json" {
            return Err(Refusal::ContentType);
        }
        let presented = text(headers, &TOKEN).unwrap_or_default();
        if is_same(token.as_bytes(), presented.as_bytes()) { Ok(()) } else { Err(Refusal::Token) }
    }

    /// The host and port that were asked for, if they can only be this server's.
    fn host<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        if headers.get_all(header::HOST).iter().count() != 1 {
            return Err(Refusal::NoHost);
        }
        let host = text(headers, &header::HOST).ok_or(Refusal::Host)?;
        if self.is_own(without_port(host)) { Ok(host) } else { Err(Refusal::Host) }
    }

    fn is_own(&self, host: &str) -> bool {
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
            || host.parse::<Ipv4Addr>().is_ok()
        {
            return true;
        }
        let name = name_of(host);
        // Source: RFC 6761, section 6.3: the names below `localhost` are loopback addresses as well.
        name == "localhost" || name.ends_with(".localhost") || self.hosts.contains(&name)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// In lower case, without the dot of the root.
fn name_of(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_page_has_addresses_and_few_names() {
        let gate = Gate::new(
            "Bridge.internal:34333",
            &["status.example.com".into(), "Dotted.example.".into()],
            false,
        );
        for host in [
            "127.0.0.1:34333",
            "10.0.0.5",
            "[::1]:34333",
            "[fe80::1]",
            "localhost:1",
            "LOCALHOST",
            "bridge.localhost:34333",
            "bridge.internal:34333",
            "status.example.com",
            "Status.Example.com.:443",
            "dotted.example",
        ] {
            assert_eq!(gate.admits_page(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:34333",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "xlocalhost",
            "",
            "x",
            "[evil]",
            "::1",
            "0x7f.1",
        ] {
            assert_eq!(gate.admits_page(&headers(&[("host", host)])), Err(Refusal::Host), "{host}");
        }
        assert_eq!(gate.admits_page(&headers(&[])), Err(Refusal::NoHost));
        let mut two = headers(&[("host", "localhost")]);
        two.append(header::HOST, "localhost".parse().unwrap());
        assert_eq!(gate.admits_page(&two), Err(Refusal::NoHost));
    }

    #[test]
    fn the_data_is_not_for_other_sites() {
        let gate = Gate::new("127.0.0.1:34333", &[], false);
        let from = |site| gate.admits_data(&headers(&[("host", "localhost"), ("sec-fetch-site", site)]));
        assert_eq!(gate.admits_data(&headers(&[("host", "localhost")])), Ok(()), "no browser");
        assert_eq!(["same-origin", "none"].map(from), [Ok(()), Ok(())]);
        for site in ["cross-site", "same-site", "else"] {
            assert_eq!(from(site), Err(Refusal::OtherSite), "{site}");
        }
    }

    #[test]
    fn a_change_needs_all_that_only_the_page_can_send() {
        let gate = Gate::new("127.0.0.1:34333", &[], true);
        let token = gate.token().unwrap().to_owned();
        let whole = [
            ("host", "127.0.0.1:34333"),
            ("origin", "http://127.0.0.1:34333"),
            ("content-type", "application/json; charset=utf-8"),
            ("sec-fetch-site", "same-origin"),
            ("x-causeway-token", &token),
        ];
        assert_eq!(gate.admits_change(&headers(&whole)), Ok(()));
        let with = |name: &'static str, value: &str| {
            let mut headers = headers(&whole);
            headers.insert(name, value.parse().unwrap());
            gate.admits_change(&headers)
        };
        assert_eq!(with("origin", "https://127.0.0.1:34333"), Ok(()), "behind a proxy with TLS");
        for origin in [
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:34334",
            "null",
            "ftp://127.0.0.1:34333",
        ] {
            assert_eq!(with("origin", origin), Err(Refusal::Origin), "{origin}");
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonx"]
        {
            assert_eq!(with("content-type", kind), Err(Refusal::ContentType), "{kind}");
        }
        for wrong in ["", "x", &token[1..], &"0".repeat(token.len())] {
            assert_eq!(with("x-causeway-token", wrong), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(with("sec-fetch-site", "same-site"), Err(Refusal::OtherSite));
        assert_eq!(with("host", "evil.example"), Err(Refusal::Host));
        for (missing, refusal) in [
            ("origin", Refusal::Origin),
            ("content-type", Refusal::ContentType),
            ("x-causeway-token", Refusal::Token),
        ] {
            let mut headers = headers(&whole);
            headers.remove(missing);
            assert_eq!(gate.admits_change(&headers), Err(refusal), "without {missing}");
        }
        let off = Gate::new("127.0.0.1:34333", &[], false);
        assert_eq!(off.admits_change(&headers(&whole)), Err(Refusal::NoControl));
        assert_ne!(Gate::new("127.0.0.1:34333", &[], true).token(), Some(&*token), "one for each start");
    }
}
