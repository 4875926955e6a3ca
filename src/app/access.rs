//! Who may connect: the certificates of all listeners, and the credentials of the proxy's callers.

use std::sync::Arc;

use crate::config::Config;
use crate::offload;
use crate::proxy::{CredentialCheck, Credentials};
use crate::tls::{self, Acceptor, ServerFiles};

/// What decides who may connect.
#[derive(Debug)]
pub(super) struct Access {
    /// Of each listener that has TLS.
    certificates: Vec<Arc<Acceptor>>,
    credentials: Arc<CredentialCheck>,
}

/// What another configuration says about it. Dropped, it changes nothing.
#[must_use = "nothing changes until it is committed"]
pub(super) struct Prepared<'a> {
    certificates: Vec<tls::Prepared>,
    check: &'a CredentialCheck,
    credentials: Option<Credentials>,
}

impl Access {
    pub(super) fn new(certificates: Vec<Arc<Acceptor>>, credentials: Arc<CredentialCheck>) -> Self {
        Self { certificates, credentials }
    }

    /// Reads the certificates of this configuration, also if its files have the same names as before.
    ///
    /// # Errors
    /// Which of them cannot be used, and why.
    pub(super) async fn prepare(&self, config: &Config) -> Result<Prepared<'_>, String> {
        let files = |acceptor: &Arc<Acceptor>| {
            Some((Arc::clone(acceptor), files(config, acceptor.section())?.clone()))
        };
        let all: Vec<_> = self.certificates.iter().filter_map(files).collect();
        let read = offload::background(move || {
            let read = all.into_iter().map(|(acceptor, files)| {
                acceptor.prepare(files).map_err(|error| format!("{}: {error}", acceptor.section()))
            });
            read.collect::<Result<Vec<_>, _>>()
        });
        let certificates = read.await.map_err(|panic| panic.to_string())??;
        Ok(Prepared { certificates, check: &self.credentials, credentials: config.proxy.credentials.clone() })
    }
}

impl Prepared<'_> {
    /// In force from the next handshake and the next call on.
    pub(super) fn commit(self) {
        for prepared in self.certificates {
            prepared.commit();
        }
        self.check.replace(self.credentials.as_ref());
    }
}

/// The files of the section of a listener.
fn files<'a>(config: &'a Config, section: &str) -> Option<&'a ServerFiles> {
    let Config { proxy, rpc, status, metrics, .. } = config;
    match section {
        "centrifuge.proxy_tls" => proxy.tls.as_ref(),
        "rpc.tls" => rpc.as_ref()?.tls.as_ref(),
        "rpc.operators.tls" => rpc.as_ref()?.operators.as_ref()?.tls.as_ref(),
        "status.tls" => status.as_ref()?.tls.as_ref(),
        "metrics.tls" => metrics.as_ref()?.tls.as_ref(),
        _ => None,
    }
}

/// Whether a listener has TLS by both configurations: then other files take no restart.
pub(super) fn keeps_tls(old: &Config, new: &Config, section: &str) -> bool {
    files(old, section).is_some() && files(new, section).is_some()
}
