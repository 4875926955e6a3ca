//! The `rpc` section of `.rr.yaml`.

use serde::Deserialize;

use crate::findings::{Findings, Machine};
use crate::net::{Address, Attributes, Network, SocketSettings, can_listen, is_exposed, risk_of_file};
use crate::os::process::Identity;
use crate::pools::Glob;
use crate::tls::ServerFiles;

/// The `rpc` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `rpc.listen`, `tcp://127.0.0.1:6001` unless set.
    pub listen: Address,
    /// `rpc.unix_socket`: the attributes of a unix socket's file.
    pub unix_socket: SocketSettings,
    /// `rpc.socket_mode`, which `rpc.unix_socket.mode` replaces: the permissions of a unix socket's file, 0660 unless set (Causeway's own key).
    #[serde(deserialize_with = "crate::net::socket_mode")]
    pub socket_mode: u32,
    /// `rpc.allow`: the networks that may connect; all, unless set (Causeway's own key).
    pub allow: Vec<Network>,
    /// `rpc.tls`; TLS is on when it is set (Causeway's own key).
    pub tls: Option<ServerFiles>,
    /// `rpc.methods`: the methods that are served; all, unless set (Causeway's own key).
    pub methods: Methods,
    /// `rpc.operators`: a listener for the command line, beside that of the workers (Causeway's own key).
    pub operators: Option<Operators>,
}

/// `rpc.operators`: the same keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Operators {
    /// `rpc.operators.listen`; required.
    pub listen: Option<Address>,
    /// `rpc.operators.unix_socket`.
    pub unix_socket: SocketSettings,
    /// `rpc.operators.socket_mode`.
    #[serde(deserialize_with = "crate::net::socket_mode")]
    pub socket_mode: u32,
    /// `rpc.operators.allow`.
    pub allow: Vec<Network>,
    /// `rpc.operators.tls`.
    pub tls: Option<ServerFiles>,
    /// `rpc.operators.methods`.
    pub methods: Methods,
}

/// Globs of the methods that a listener serves; without any, it serves all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(transparent)]
pub struct Methods(Vec<Glob>);

impl Methods {
    #[inline]
    pub(super) fn contain(&self, method: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|glob| glob.matches(method))
    }
}

/// Who may open a unix socket, unless set.
const SOCKET_MODE: u32 = 0o660;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Address::Tcp("127.0.0.1:6001".into()),
            unix_socket: SocketSettings::default(),
            socket_mode: SOCKET_MODE,
            allow: Vec::new(),
            tls: None,
            methods: Methods::default(),
            operators: None,
        }
    }
}

impl Default for Operators {
    fn default() -> Self {
        Self {
            listen: None,
            unix_socket: SocketSettings::default(),
            socket_mode: SOCKET_MODE,
            allow: Vec::new(),
            tls: None,
            methods: Methods::default(),
        }
    }
}

/// One of the listeners.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listening<'a> {
    /// Its address in the configuration.
    pub(super) key: &'static str,
    /// Its TLS in the configuration.
    pub(super) tls_key: &'static str,
    pub(super) listen: &'a Address,
    pub(super) allow: &'a [Network],
    pub(super) tls: Option<&'a ServerFiles>,
    pub(super) methods: &'a Methods,
    unix_socket: SocketSettings,
    socket_mode: u32,
}

impl Config {
    /// The listeners, that of the workers first.
    pub(super) fn listeners(&self) -> impl Iterator<Item = Listening<'_>> {
        let workers = Listening {
            key: "rpc.listen",
            tls_key: "rpc.tls",
            listen: &self.listen,
            allow: &self.allow,
            tls: self.tls.as_ref(),
            methods: &self.methods,
            unix_socket: self.unix_socket,
            socket_mode: self.socket_mode,
        };
        let operators = self.operators.as_ref().and_then(|operators| {
            Some(Listening {
                key: "rpc.operators.listen",
                tls_key: "rpc.operators.tls",
                listen: operators.listen.as_ref()?,
                allow: &operators.allow,
                tls: operators.tls.as_ref(),
                methods: &operators.methods,
                unix_socket: operators.unix_socket,
                socket_mode: operators.socket_mode,
            })
        });
        std::iter::once(workers).chain(operators)
    }

    /// The listener of the command line: its key, address and TLS.
    pub(crate) fn for_commands(&self) -> (&'static str, &Address, Option<&ServerFiles>) {
        let last = self.listeners().last();
        last.map_or(("rpc.listen", &self.listen, self.tls.as_ref()), |last| (last.key, last.listen, last.tls))
    }

    /// Reports what would keep calls from being answered, or let in more callers than intended.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        for listener in self.listeners() {
            listener.validate(machine, findings);
        }
        match &self.operators {
            Some(operators) if operators.listen.is_none() => {
                findings.mistake("rpc.operators.listen", "expected tcp://host:port or unix://path");
            }
            None if self.tls.is_some() && matches!(self.listen, Address::Tcp(_)) => {
                let text = "workers cannot call RPC, unless they speak TLS, which the packages do not; rpc.operators is a listener of its own for \
                            operators";
                findings.odd("rpc.tls", text);
            }
            _ => {}
        }
    }
}

impl Listening<'_> {
    /// The attributes of a unix socket's file, which belongs to `workers`, the user that workers run as, unless set otherwise.
    pub(super) fn attributes(&self, workers: Option<&Identity>) -> Attributes {
        let (uid, gid) = workers.map(Identity::owner).unwrap_or_default();
        self.unix_socket.over(Attributes { mode: self.socket_mode, uid, gid })
    }

    fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        let section = self.key.trim_end_matches(".listen");
        let key = |key: &str| format!("{section}.{key}");
        findings.check(self.key, can_listen(self.listen, machine.work_dir));
        findings.check(key("unix_socket"), self.unix_socket.fit(Some(self.listen)));
        if self.unix_socket.mode.is_some() && self.socket_mode != SOCKET_MODE {
            let text = format!("has no effect: {section}.unix_socket.mode is set");
            findings.odd(key("socket_mode"), text);
        }
        if let Some(tls) = self.tls {
            tls.validate(self.tls_key, machine.work_dir, findings);
        }
        let is_verified = self.tls.is_some_and(ServerFiles::verifies_clients);
        if self.allow.is_empty() && !is_verified && is_exposed(self.listen) {
            let text = format!(
                "this address is reachable from other machines, and anyone who connects may {}; {section}.allow names the networks that may \
                 connect, and {section}.tls can require certificates of clients",
                self.powers()
            );
            findings.odd(self.key, text);
        }
        if let Some(risk) = risk_of_file(self.listen, self.attributes(None).mode, machine.work_dir) {
            let text = format!("{risk}; callers may {}", self.powers());
            findings.odd(self.key, text);
        }
        match self.listen {
            Address::Unix(_) => {
                let text = format!(
                    "has no effect on a unix socket: its permissions ({section}.socket_mode) say who may connect"
                );
                if !self.allow.is_empty() {
                    findings.odd(key("allow"), text.clone());
                }
                if self.tls.is_some() {
                    findings.odd(self.tls_key, text);
                }
            }
            Address::Tcp(_) if self.socket_mode != SOCKET_MODE => {
                let text = format!("has no effect on a TCP port: {section}.allow says who may connect");
                findings.odd(key("socket_mode"), text);
            }
            Address::Tcp(_) => {}
        }
    }

    /// What callers can do that others would notice.
    fn powers(&self) -> String {
        let powers = [
            ("centrifuge.Publish", "publish to any channel"),
            ("resetter.Reset", "replace the workers"),
            ("causeway.Reload", "reload the configuration"),
            ("causeway.Upgrade", "start another server"),
            ("causeway.Stop", "stop the server"),
        ];
        let powers = powers.into_iter().filter(|(method, _)| self.methods.contain(method));
        let powers: Vec<_> = powers.map(|(_, power)| power).collect();
        match powers.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, others)) => format!("{} and {last}", others.join(", ")),
            None => "call the methods of the list".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn methods(globs: &[&str]) -> Methods {
        Methods(globs.iter().map(|glob| Glob::new(glob).unwrap()).collect())
    }

    #[test]
    fn a_listener_serves_the_methods_of_its_list_or_all() {
        assert!(methods(&[]).contain("causeway.Stop"));
        let some = methods(&["centrifuge.*", "app.Log", "lock.*"]);
        for (method, is_served) in [
            ("centrifuge.Publish", true),
            ("lock.Lock", true),
            ("app.Log", true),
            ("app.LogX", false),
            ("causeway.Stop", false),
            ("resetter.Reset", false),
            ("centrifugeX", false),
            ("", false),
        ] {
            assert_eq!(some.contain(method), is_served, "{method}");
        }
    }
}
