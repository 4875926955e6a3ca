//! The settings of the listener, in the `centrifuge` section.

use crate::findings::{Findings, Machine};
use crate::net::{Address, can_listen};

/// The gRPC listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// `centrifuge.proxy_address`, `tcp://127.0.0.1:30000` unless set.
    pub address: Address,
    /// `centrifuge.socket_mode`: the permissions of a unix socket's file, 0660 unless set (Causeway's own key).
    pub socket_mode: u32,
    /// `centrifuge.max_message_size` in bytes, 64 MB unless set (Causeway's own key).
    pub max_message_size: usize,
}

/// Who may open a unix socket, unless set.
const SOCKET_MODE: u32 = 0o660;

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Address::Tcp("127.0.0.1:30000".into()),
            socket_mode: SOCKET_MODE,
            max_message_size: 64 << 20,
        }
    }
}

impl Config {
    /// Reports what would keep calls from being accepted.
    pub(crate) fn validate(&self, machine: Machine<'_>, findings: &mut Findings) {
        findings.check("centrifuge.proxy_address", can_listen(&self.address, machine.work_dir));
        if matches!(self.address, Address::Tcp(_)) && self.socket_mode != SOCKET_MODE {
            findings.odd("centrifuge.socket_mode", "has no effect on a TCP port");
        }
    }
}
