//! The `metrics` and `status` sections of `.rr.yaml`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::basic_auth::BasicAuth;
use crate::findings::{Findings, Machine};
use crate::net::{Address, can_listen, host_and_port, is_exposed};
use crate::telemetry::metrics::{Collector, CollectorKind, DeclareError, Registry, is_quantile};
use crate::tls::ServerFiles;

/// The `metrics` section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Metrics {
    /// `metrics.address`: `host:port`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// `metrics.collect`: collectors that the application writes to.
    pub collect: BTreeMap<String, Collector>,
    /// `metrics.tls`; TLS is on when it is set (Causeway's own key).
    pub tls: Option<ServerFiles>,
    /// `metrics.basic_auth`: who may read them; all unless set (Causeway's own key).
    pub basic_auth: Option<BasicAuth>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { address: "127.0.0.1:2112".into(), collect: BTreeMap::new(), tls: None, basic_auth: None }
    }
}

impl Metrics {
    /// Finds what would keep metrics from being served.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let address = Address::Tcp(self.address.clone());
        findings.check("metrics.address", can_listen(&address, machine.work_dir));
        secure("metrics", &address, self.tls.as_ref(), self.basic_auth.as_ref(), machine, findings);
        let registry = Registry::default();
        for (name, collector) in &self.collect {
            let key = format!("metrics.collect.{name}");
            match registry.declare(name, collector) {
                Ok(()) => {}
                Err(DeclareError::Buckets(..)) => {
                    findings.mistake(format!("{key}.buckets"), "expected buckets in ascending order");
                }
                Err(reason) => findings.mistake(&key, reason.to_string()),
            }
            if !collector.buckets.is_empty() && collector.kind != CollectorKind::Histogram {
                findings.odd(format!("{key}.buckets"), "has no effect: only a histogram has buckets");
            }
            if !collector.objectives.is_empty() && collector.kind != CollectorKind::Summary {
                findings.odd(format!("{key}.objectives"), "has no effect: only a summary has objectives");
            } else if let Some((quantile, _)) =
                collector.objectives.iter().find(|(quantile, _)| !is_quantile(*quantile))
            {
                let text = format!("{quantile} has no effect: expected a quantile from 0 to 1");
                findings.odd(format!("{key}.objectives"), text);
            }
        }
    }
}

/// The `status` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Status {
    /// `status.address`: `host:port`.
    #[serde(deserialize_with = "address")]
    pub address: String,
    /// `status.unavailable_status_code`, 503.
    #[serde(deserialize_with = "status_code")]
    pub unavailable_status_code: u16,
    /// `status.check_timeout` in seconds or as a duration, 60.
    #[serde(deserialize_with = "crate::duration::seconds")]
    pub check_timeout: Duration,
    /// `status.control`: whether the page has buttons that reset pools, add and remove workers; false.
    pub control: bool,
    /// `status.hosts`: names under which the page is served, besides its addresses and `localhost`.
    pub hosts: Vec<String>,
    /// `status.tls`; TLS is on when it is set (Causeway's own key).
    pub tls: Option<ServerFiles>,
    /// `status.basic_auth`: who may see the page and its data; all unless set (Causeway's own key). Probes need no password.
    pub basic_auth: Option<BasicAuth>,
}

impl Default for Status {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:34333".into(),
            unavailable_status_code: 503,
            check_timeout: Duration::from_mins(1),
            control: false,
            hosts: Vec::new(),
            tls: None,
            basic_auth: None,
        }
    }
}

impl Status {
    /// Finds what would keep health from being served.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let address = Address::Tcp(self.address.clone());
        findings.check("status.address", can_listen(&address, machine.work_dir));
        secure("status", &address, self.tls.as_ref(), self.basic_auth.as_ref(), machine, findings);
        let is_open = self.basic_auth.is_none()
            && !self.tls.as_ref().is_some_and(ServerFiles::verifies_clients)
            && is_exposed(&address);
        if is_open && self.control {
            let text = "anyone who reaches this address can reset pools, add and remove workers; keep it on the loopback interface, or set \
                        status.basic_auth";
            findings.odd("status.control", text);
        } else if is_open {
            let text = "this address is reachable from other machines, and its page shows commands, channels, users and the last lines of dead \
                        workers to anyone; status.basic_auth asks for a password";
            findings.odd("status.address", text);
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let is_name = |part: char| part.is_ascii_alphanumeric() || matches!(part, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(is_name) {
                findings.mistake(format!("status.hosts[{index}]"), "expected a host name without a port");
            }
        }
    }
}

/// Reports what is wrong with the TLS and the password of a section.
fn secure(
    section: &str,
    address: &Address,
    tls: Option<&ServerFiles>,
    auth: Option<&BasicAuth>,
    machine: Machine<'_>,
    findings: &mut Findings,
) {
    if let Some(tls) = tls {
        tls.validate(&format!("{section}.tls"), machine.work_dir, findings);
    }
    if let Some(auth) = auth {
        auth.validate(section, tls.is_none() && is_exposed(address), findings);
    }
}

/// Reports sections that share a listener and disagree about its TLS.
pub(crate) fn validate_shared(status: &Status, metrics: &Metrics, findings: &mut Findings) {
    if is_same_listener(&status.address, &metrics.address) && status.tls != metrics.tls {
        let text = "expected the same as status.tls, since the two sections share an address";
        findings.mistake("metrics.tls", text);
    }
}

/// Whether two of these sections share a listener: they do if they name the same address. Port 0 is any free port, and another one each
/// time.
pub(crate) fn is_same_listener(one: &str, other: &str) -> bool {
    let is_fixed = host_and_port(one).is_some_and(|(_, port)| port != 0);
    is_fixed && Address::bindable(one) == Address::bindable(other)
}

/// `host:port`, with `tcp://` in front or without.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let address = text.strip_prefix("tcp://").unwrap_or(&text);
    match host_and_port(address) {
        Some(_) => Ok(address.to_owned()),
        None => Err(de::Error::custom(format!("expected host:port, found \"{text}\""))),
    }
}

/// The status of an answer that is not ready; 0 stands for the default, as in RoadRunner. Probes take 2xx and 3xx for ready.
fn status_code<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    match u16::deserialize(deserializer)? {
        0 => Ok(Status::default().unavailable_status_code),
        code @ 400..=599 => Ok(code),
        code => Err(de::Error::custom(format!("expected an HTTP status from 400 to 599, found \"{code}\""))),
    }
}

#[cfg(test)]
mod tests {
    use serde::de::IntoDeserializer as _;
    use serde::de::value::{Error, U16Deserializer};

    use super::*;

    #[test]
    fn no_status_of_success_says_that_nothing_can_be_served() {
        let read = |code: u16| {
            let deserializer: U16Deserializer<Error> = code.into_deserializer();
            status_code(deserializer).ok()
        };
        assert_eq!([0, 400, 503, 599].map(read), [Some(503), Some(400), Some(503), Some(599)]);
        assert_eq!([1, 199, 200, 204, 299, 302, 399, 600].map(read), [None; 8]);
    }

    #[test]
    fn sections_with_one_address_share_a_listener() {
        for (one, other) in [("127.0.0.1:2112", "127.0.0.1:2112"), (":2112", "0.0.0.0:2112")] {
            assert!(is_same_listener(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("127.0.0.1:2112", "127.0.0.1:2114"),
            ("127.0.0.1:2112", "0.0.0.0:2112"),
            ("127.0.0.1:0", "127.0.0.1:0"),
        ] {
            assert!(!is_same_listener(one, other), "{one} {other}");
        }
    }
}
