//! Where something listens: `tcp://host:port` or `unix://path`, as `.rr.yaml` files write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`; without a host it is every address of the machine.
    Tcp(String),
    /// A socket file; a relative path is taken from the working directory.
    Unix(PathBuf),
}

/// What an address has to look like.
pub const EXPECTED: &str = "expected tcp://host:port or unix://path";

/// The same where something else says that it is expected.
pub(crate) const FORM: &str = "tcp://host:port or unix://path";

impl FromStr for Address {
    type Err = String;

    /// Takes `tcp://host:port`, `host:port`, `tcp://:port` and `unix://path`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() { Err(EXPECTED.into()) } else { Ok(Self::Unix(path.into())) };
        }
        let rest = text.strip_prefix("tcp://").unwrap_or(text);
        if host_and_port(rest).is_some() { Ok(Self::Tcp(rest.to_owned())) } else { Err(EXPECTED.into()) }
    }
}

/// The two parts of `host:port`, if it is that. The host may be missing; an IPv6 address stands in brackets, which are left out here.
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
    /// What the system calls take: without a host, every address of the machine.
    pub(crate) fn bindable(host_and_port: &str) -> String {
        if host_and_port.starts_with(':') {
            format!("0.0.0.0{host_and_port}")
        } else {
            host_and_port.to_owned()
        }
    }

    /// Where a listener at this address is reached from the same machine: one of every address is at the loopback too.
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
    fn both_kinds_are_read_and_a_scheme_is_not_needed() {
        assert_eq!("tcp://127.0.0.1:1".parse(), Ok(Address::Tcp("127.0.0.1:1".into())));
        assert_eq!("127.0.0.1:1".parse(), Ok(Address::Tcp("127.0.0.1:1".into())));
        assert_eq!("tcp://:1".parse(), Ok(Address::Tcp(":1".into())));
        assert_eq!("tcp://[::1]:1".parse(), Ok(Address::Tcp("[::1]:1".into())));
        assert_eq!("unix://a/b.sock".parse(), Ok(Address::Unix("a/b.sock".into())));
    }

    #[test]
    fn a_listener_of_every_address_is_reached_at_the_loopback() {
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
    fn other_schemes_and_missing_ports_are_errors() {
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
            assert_eq!(text.parse::<Address>(), Err(EXPECTED.into()), "{text}");
        }
    }
}
