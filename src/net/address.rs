//! Where something listens: `tcp://host:port` or `unix://path`, as `.rr.yaml` files write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; without a host, every address of the machine.
    Tcp(String),
    /// A socket file; a relative path starts in the working directory.
    Unix(PathBuf),
}

/// The longest path of a socket in bytes: the kernel stores 108, including a terminating zero.
pub(super) const MAX_SOCKET_PATH: usize = 107;

/// The form of an address, for messages.
const FORM: &str = "tcp://host:port or unix://path";

/// A text that is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {FORM}")]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    /// Parses `tcp://host:port`, `host:port`, `tcp://:port` and `unix://path`.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() { Err(InvalidAddress) } else { Ok(Self::Unix(path.into())) };
        }
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        host_and_port(rest).map(|_| Self::Tcp(rest.to_owned())).ok_or(InvalidAddress)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| de::Error::invalid_value(Unexpected::Str(&text), &FORM))
    }
}

/// Both parts of `host:port`. The host may be missing; an IPv6 address has brackets, which are removed.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    let host = match host.strip_prefix('[') {
        Some(rest) => {
            let address = rest.strip_suffix(']')?;
            let (bare, _zone) = address.split_once('%').unwrap_or((address, ""));
            bare.parse::<Ipv6Addr>().ok()?;
            address
        }
        None if host
            .contains(|c: char| c.is_whitespace() || c.is_control() || "/\\:@?#[]\"'<>".contains(c)) =>
        {
            return None;
        }
        None => host,
    };
    Some((host, port))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp://{address}"),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

impl Address {
    /// The address to bind, as system calls take it: without a host, every address of the machine.
    pub(crate) fn bindable(host_and_port: &str) -> String {
        if host_and_port.starts_with(':') {
            format!("0.0.0.0{host_and_port}")
        } else {
            host_and_port.to_owned()
        }
    }

    /// This address for a process in any working directory: with the whole path of a socket, unless that is too long to connect to.
    pub(crate) fn absolute(&self) -> Self {
        match self {
            Self::Unix(path) => {
                let absolute = std::path::absolute(path).ok();
                let fits = absolute.filter(|path| path.as_os_str().len() <= MAX_SOCKET_PATH);
                Self::Unix(fits.unwrap_or_else(|| path.clone()))
            }
            Self::Tcp(_) => self.clone(),
        }
    }

    /// This address, with the port that `bound` has if it leaves the port to the kernel.
    pub(super) fn with_port_of(self, bound: &Self) -> Self {
        match (self, bound) {
            (Self::Tcp(text), Self::Tcp(bound)) => match (text.strip_suffix(":0"), host_and_port(bound)) {
                (Some(host), Some((_, port))) => Self::Tcp(format!("{host}:{port}")),
                _ => Self::Tcp(text),
            },
            (address, _) => address,
        }
    }

    /// The address to connect to from the same machine: a listener on every address is at the loopback, too.
    pub(crate) fn reachable(host_and_port: &str) -> String {
        match host_and_port.rsplit_once(':') {
            Some(("" | "0.0.0.0", port)) => format!("127.0.0.1:{port}"),
            Some(("[::]", port)) => format!("[::1]:{port}"),
            _ => host_and_port.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_a_socket_is_completed_unless_it_gets_too_long() {
        let absolute = |path: &str| match Address::Unix(path.into()).absolute() {
            Address::Unix(path) => path,
            Address::Tcp(address) => panic!("{address}"),
        };
        assert_eq!(absolute("rpc.sock"), std::env::current_dir().unwrap().join("rpc.sock"));
        assert_eq!(absolute("/run/rpc.sock"), PathBuf::from("/run/rpc.sock"));
        let long = "x".repeat(MAX_SOCKET_PATH);
        assert_eq!(absolute(&long), PathBuf::from(long));
    }

    #[test]
    fn both_kinds_are_parsed_and_tcp_needs_no_scheme() {
        assert_eq!("tcp://127.0.0.1:1".parse(), Ok(Address::Tcp("127.0.0.1:1".into())));
        assert_eq!("127.0.0.1:1".parse(), Ok(Address::Tcp("127.0.0.1:1".into())));
        assert_eq!("tcp://:1".parse(), Ok(Address::Tcp(":1".into())));
        assert_eq!("tcp://[::1]:1".parse(), Ok(Address::Tcp("[::1]:1".into())));
        assert_eq!("unix://a/b.sock".parse(), Ok(Address::Unix("a/b.sock".into())));
    }

    #[test]
    fn a_listener_on_every_address_is_reached_at_the_loopback() {
        for (listens, reached) in [
            (":1", "127.0.0.1:1"),
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("host:1", "host:1"),
        ] {
            assert_eq!(Address::reachable(listens), reached);
        }
    }

    #[test]
    fn other_schemes_and_missing_ports_are_invalid() {
        for text in [
            "udp://127.0.0.1:1",
            "tcp4://127.0.0.1:1",
            "http://127.0.0.1:1",
            "localhost",
            "unix://",
            "",
            "a:b",
            "a:70000",
            "a:+80",
            "a:",
            "a b:1",
            "user:pass@a:1",
            "::1:1",
            "a:b:1",
            "[a]:1",
            "[::1:1",
            "::1]:1",
        ] {
            assert_eq!(text.parse::<Address>(), Err(InvalidAddress), "{text}");
        }
    }
}
