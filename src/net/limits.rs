//! The limits of listeners: what an operator may set of them (`causeway.limits`), and the connections of each.

use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use serde::Deserialize;

use crate::findings::Findings;

/// The least limit of a listener, and of an address, however few descriptors there are.
const AT_LEAST: usize = 16;

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

/// The limit of connections of a kind of listener: a share of the descriptors of the process, up to a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limit {
    /// The number.
    pub(crate) at_most: usize,
    /// The share: one of this many descriptors, by the soft limit of `RLIMIT_NOFILE`.
    pub(crate) one_of: usize,
    /// Whether a single address is limited to a part of it.
    pub(crate) per_address: bool,
}

/// The limits of one listener in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) all: usize,
    pub(super) per_address: usize,
}

impl Limit {
    pub(super) fn in_numbers(self, settings: LimitSettings) -> Limits {
        let descriptors = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
        let share = usize::try_from(descriptors).unwrap_or(usize::MAX) / self.one_of;
        let all = share.max(AT_LEAST).min(self.at_most.max(AT_LEAST)).min(settings.connections.max(1));
        let per_address = match settings.connections_per_address {
            None if self.per_address => (all / 2).max(AT_LEAST),
            Some(set @ 1..) if self.per_address => set,
            _ => usize::MAX,
        };
        Limits { all, per_address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_share_of_the_descriptors_and_an_address_gets_half_of_it() {
        let limits = |at_most, one_of, settings| {
            let Limits { all, per_address } =
                Limit { at_most, one_of, per_address: true }.in_numbers(settings);
            (all, per_address)
        };
        let (soft, _) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        let any = LimitSettings { connections: usize::MAX, ..LimitSettings::default() };
        let share = usize::try_from(soft).unwrap() / 4;
        assert_eq!(limits(usize::MAX, 4, any), (share, share / 2));
        assert_eq!(limits(40, 1, any), (40, 20));
        assert_eq!(limits(20, 1, any), (20, AT_LEAST));
        assert_eq!(limits(100, usize::MAX, any), (AT_LEAST, AT_LEAST));
        let set = |connections, per_address| LimitSettings {
            connections,
            connections_per_address: Some(per_address),
            ..any
        };
        assert_eq!(limits(100, 1, set(50, 3)), (50, 3));
        assert_eq!(limits(100, 1, set(1, 0)), (1, usize::MAX));
        let local = Limit { at_most: 100, one_of: 1, per_address: false };
        assert_eq!(local.in_numbers(set(50, 3)).per_address, usize::MAX);
    }
}
