//! The settings of the listener, in the `centrifuge` section.

use std::time::Duration;

use super::Credentials;
use super::lifetime::MaxAge;
use crate::findings::{Findings, Machine};
use crate::net::{Address, Attributes, SocketSettings, can_listen, is_exposed, risk_of_file};
use crate::tls::ServerFiles;

/// The gRPC listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `centrifuge.proxy_address`, `tcp://127.0.0.1:30000` unless set.
    pub address: Address,
    /// `centrifuge.proxy_socket`: the attributes of a unix socket's file.
    pub socket: SocketSettings,
    /// `centrifuge.socket_mode`, which `centrifuge.proxy_socket.mode` replaces: the permissions of a unix socket's file, 0660 unless set (Causeway's own key).
    pub socket_mode: u32,
    /// `centrifuge.max_message_size` in bytes, 64 MB unless set (Causeway's own key).
    pub max_message_size: usize,
    /// `centrifuge.proxy_tls`; TLS is on when it is set (Causeway's own key).
    pub tls: Option<ServerFiles>,
    /// `centrifuge.proxy_credentials`: what calls have to present (Causeway's own key).
    pub credentials: Option<Credentials>,
    /// `centrifuge.max_connection_age`: when a connection is asked to leave; never unless set (Causeway's own key).
    pub max_connection_age: Option<Duration>,
    /// `centrifuge.max_connection_age_grace`: how long the calls of such a connection may take; no limit unless set (Causeway's own key).
    pub max_connection_age_grace: Option<Duration>,
}

/// Who may open a unix socket, unless set.
const SOCKET_MODE: u32 = 0o660;

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Address::Tcp("127.0.0.1:30000".into()),
            socket: SocketSettings::default(),
            socket_mode: SOCKET_MODE,
            max_message_size: 64 << 20,
            tls: None,
            credentials: None,
            max_connection_age: None,
            max_connection_age_grace: None,
        }
    }
}

impl Config {
    /// The attributes of a unix socket's file.
    pub(super) fn attributes(&self) -> Attributes {
        self.socket.over(Attributes::mode(self.socket_mode))
    }

    /// How old connections may become.
    pub(super) fn max_age(&self) -> MaxAge {
        MaxAge { age: self.max_connection_age, grace: self.max_connection_age_grace }
    }

    /// Reports what would keep calls from being accepted.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        findings.check("centrifuge.proxy_address", can_listen(&self.address, machine.work_dir));
        findings.check("centrifuge.proxy_socket", self.socket.fit(Some(&self.address)));
        if self.socket.mode.is_some() && self.socket_mode != SOCKET_MODE {
            findings.odd("centrifuge.socket_mode", "has no effect: centrifuge.proxy_socket.mode is set");
        }
        if matches!(self.address, Address::Tcp(_)) && self.socket_mode != SOCKET_MODE {
            findings.odd("centrifuge.socket_mode", "has no effect on a TCP port");
        }
        self.validate_callers(machine, findings);
        if let Some(tls) = &self.tls {
            tls.validate("centrifuge.proxy_tls", machine.work_dir, findings);
            if matches!(self.address, Address::Unix(_)) {
                let text = "has no effect on a unix socket: its permissions say who may connect";
                findings.odd("centrifuge.proxy_tls", text);
            }
        }
        if let Some(credentials) = &self.credentials {
            credentials.validate(findings);
        }
        if self.max_connection_age.is_none() && self.max_connection_age_grace.is_some() {
            let text = "has no effect: centrifuge.max_connection_age is not set";
            findings.odd("centrifuge.max_connection_age_grace", text);
        }
    }

    /// Reports who else may call.
    fn validate_callers(&self, machine: Machine<'_>, findings: &mut Findings) {
        const KEY: &str = "centrifuge.proxy_address";
        if let Some(risk) = risk_of_file(&self.address, self.attributes().mode, machine.work_dir)
            && self.credentials.is_none()
        {
            findings.odd(
                KEY,
                format!("{risk}; callers may send any event to the workers, in the name of any user"),
            );
        }
        if !is_exposed(&self.address) {
            return;
        }
        match (&self.credentials, &self.tls) {
            (_, Some(tls)) if tls.verifies_clients() => {}
            (None, _) => {
                let text = "this address is reachable from other machines, and anyone who connects may send any event to the workers, in the name \
                            of any user; centrifuge.proxy_credentials, or certificates of clients (centrifuge.proxy_tls), keep strangers out";
                findings.odd(KEY, text);
            }
            (Some(_), None) => {
                let text = "they cross the network in plaintext, as this address is reachable from other machines; centrifuge.proxy_tls encrypts \
                            them";
                findings.odd("centrifuge.proxy_credentials", text);
            }
            (Some(_), Some(_)) => {}
        }
    }
}
