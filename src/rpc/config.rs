//! The `rpc` section of `.rr.yaml`.

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};

use crate::net::{self, Address, Network};

/// The `rpc` section.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// `rpc.listen`, `tcp://127.0.0.1:6001` unless set.
    #[serde(deserialize_with = "address")]
    pub listen: Address,
    /// `rpc.socket_mode`: the permissions of a unix socket's file, 0660 unless set (Causeway's own key).
    #[serde(deserialize_with = "crate::net::socket_mode")]
    pub socket_mode: u32,
    /// `rpc.allow`: the networks that may connect; all, unless set (Causeway's own key).
    pub allow: Vec<Network>,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: Address::Tcp("127.0.0.1:6001".into()), socket_mode: 0o660, allow: Vec::new() }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| de::Error::invalid_value(Unexpected::Str(&text), &net::FORM))
}
