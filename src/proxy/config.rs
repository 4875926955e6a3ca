//! What the `centrifuge` section says about the listener.

use crate::net::Address;

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

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Address::Tcp("127.0.0.1:30000".into()),
            socket_mode: 0o660,
            max_message_size: 64 << 20,
        }
    }
}
