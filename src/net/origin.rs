//! Which connections come from the same place.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Peer;

/// The bits of an IPv6 address that its network chooses; the others are up to the machine, which may use as many as it likes.
const NETWORK: u32 = 64;

/// An IPv4 address, or a network of IPv6 of the size that a single machine gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(IpAddr);

impl Origin {
    /// Returns where a peer comes from; `None` for programs of this machine, which have one address in common: all workers have it.
    ///
    /// Another address of the loopback network, such as 127.0.0.2, is one that a program has chosen.
    pub(super) fn of(peer: Peer) -> Option<Self> {
        let Peer::Address(address) = peer else { return None };
        let address = address.ip().to_canonical();
        if [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()].contains(&address) {
            return None;
        }
        Some(Self(match address {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !(u128::MAX >> NETWORK);
                Ipv6Addr::from(network).into()
            }
            address @ IpAddr::V4(_) => address,
        }))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(address) => address.fmt(f),
            IpAddr::V6(network) => write!(f, "{network}/{NETWORK}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_mapped_addresses_and_machines_of_one_ipv6_network_have_the_same_origin() {
        let of = |text: &str| Origin::of(Peer::Address(text.parse().unwrap())).unwrap();
        assert_eq!(of("10.0.0.1:1"), of("10.0.0.1:2"));
        assert_eq!(of("10.0.0.1:1"), of("[::ffff:10.0.0.1]:1"));
        assert_ne!(of("10.0.0.1:1"), of("10.0.0.2:1"));
        assert_eq!(of("[2001:db8::1]:1"), of("[2001:db8::ffff:0:0:2]:1"));
        assert_ne!(of("[2001:db8::1]:1"), of("[2001:db8:0:1::1]:1"));
        assert_eq!(of("[2001:db8::1]:1").to_string(), "2001:db8::/64");
    }

    #[test]
    fn programs_of_this_machine_have_none() {
        assert_eq!(Origin::of(Peer::Process(Some(1))), None);
        for local in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(Origin::of(Peer::Address(local.parse().unwrap())), None, "{local}");
        }
        assert!(Origin::of(Peer::Address("127.0.0.2:1".parse().unwrap())).is_some());
    }
}
