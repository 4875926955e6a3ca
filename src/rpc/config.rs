//! The `rpc` section of `.rr.yaml`.

use serde::Deserialize;

use crate::findings::{Findings, Machine};
use crate::net::{Address, Attributes, Network, SocketSettings, can_listen, is_exposed};
use crate::os::process::Identity;

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
        }
    }
}

impl Config {
    /// The attributes of a unix socket's file, which belongs to `workers`, the user that workers run as, unless set otherwise.
    pub(super) fn attributes(&self, workers: Option<&Identity>) -> Attributes {
        let (uid, gid) = workers.map(Identity::owner).unwrap_or_default();
        self.unix_socket.over(Attributes { mode: self.socket_mode, uid, gid })
    }

    /// Reports what would keep calls from being answered, or let in more callers than intended.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        findings.check("rpc.listen", can_listen(&self.listen, machine.work_dir));
        findings.check("rpc.unix_socket", self.unix_socket.fit(Some(&self.listen)));
        if self.unix_socket.mode.is_some() && self.socket_mode != SOCKET_MODE {
            findings.odd("rpc.socket_mode", "has no effect: rpc.unix_socket.mode is set");
        }
        if self.allow.is_empty() && is_exposed(&self.listen) {
            let text = "this address is reachable from other machines, and anyone who connects may publish to any channel, replace the workers and \
                        stop the server; rpc.allow names the networks that may connect";
            findings.odd("rpc.listen", text);
        }
        match &self.listen {
            Address::Unix(_) if !self.allow.is_empty() => {
                let text =
                    "has no effect on a unix socket: its permissions (rpc.socket_mode) say who may connect";
                findings.odd("rpc.allow", text);
            }
            Address::Tcp(_) if self.socket_mode != SOCKET_MODE => {
                findings
                    .odd("rpc.socket_mode", "has no effect on a TCP port: rpc.allow says who may connect");
            }
            _ => {}
        }
    }
}
