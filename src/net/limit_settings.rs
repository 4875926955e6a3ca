//! What an operator may set of the limits of listeners: `causeway.limits`.

use std::time::Duration;

use serde::Deserialize;

use crate::findings::Findings;

/// The limits of each listener. What a listener limits besides, and what it does not, is in docs/reference/limits.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LimitSettings {
    /// `causeway.limits.connections`: connections of one listener.
    pub connections: usize,
    /// `causeway.limits.connections_per_address`: those of one address; half of the listener's unless set, 0: no limit.
    pub connections_per_address: Option<usize>,
    /// `causeway.limits.handshake_timeout`: from accepting a connection until TLS and the first bytes of its protocol have arrived.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub handshake_timeout: Duration,
    /// `causeway.limits.idle_timeout`: until a connection of the proxy without calls is closed; 0: never.
    #[serde(deserialize_with = "crate::duration::deserialize")]
    pub idle_timeout: Duration,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: None,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_hours(1),
        }
    }
}

impl LimitSettings {
    /// Reports limits with which no caller could connect.
    pub(crate) fn validate(self, findings: &mut Findings) {
        if self.connections == 0 {
            findings.mistake("causeway.limits.connections", "expected at least 1, found 0");
        }
        if self.handshake_timeout.is_zero() {
            findings.mistake(
                "causeway.limits.handshake_timeout",
                "expected more than 0: no handshake takes no time",
            );
        }
    }
}
