//! The listening sockets of this process: those that it was started with, and those that it listens on.

use std::net::ToSocketAddrs as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use socket2::SockRef;

use super::Address;

/// A socket that another process has bound: the service manager, or the server before this one.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// The name of its listener, such as `proxy`; any other if the manager has been told none.
    pub(crate) name: String,
    pub(crate) socket: OwnedFd,
}

/// Listening sockets that were bound before this process was started. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sockets(Arc<Mutex<Vec<Inherited>>>);

impl Sockets {
    /// Sockets that no listener has taken yet.
    pub(crate) fn inherited(sockets: Vec<Inherited>) -> Self {
        Self(Arc::new(Mutex::new(sockets)))
    }

    /// Takes the socket of a listener: the one of this name, or else one that is bound to this address.
    pub(super) fn take(&self, name: &str, address: &Address) -> Option<OwnedFd> {
        let mut sockets = self.sockets();
        let named = sockets.iter().position(|socket| socket.name == name);
        let index = named.or_else(|| sockets.iter().position(|socket| is_at(&socket.socket, address)))?;
        Some(sockets.remove(index).socket)
    }

    /// Closes those that no listener has taken. Returns the name and the address of each.
    pub(crate) fn close_unused(&self) -> Vec<(String, String)> {
        let unused = std::mem::take(&mut *self.sockets());
        unused.into_iter().map(|unused| (unused.name, shown(&unused.socket))).collect()
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<Inherited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a socket is bound to `address`. Every address of the machine is the same in IPv4 and IPv6: systemd's `ListenStream=30000` is
/// `[::]:30000`, which IPv4 reaches, too.
fn is_at(socket: &OwnedFd, address: &Address) -> bool {
    let Ok(bound) = SockRef::from(socket).local_addr() else { return false };
    match address {
        Address::Tcp(host_and_port) => {
            let Some(bound) = bound.as_socket() else { return false };
            let found = Address::bindable(host_and_port).to_socket_addrs();
            found.is_ok_and(|mut found| {
                found.any(|wanted| {
                    let both_any = wanted.ip().is_unspecified() && bound.ip().is_unspecified();
                    wanted == bound || both_any && wanted.port() == bound.port()
                })
            })
        }
        Address::Unix(path) => {
            let absolute = |path: &Path| std::path::absolute(path).ok();
            bound.as_pathname().is_some_and(|bound| absolute(bound) == absolute(path))
        }
    }
}

/// The address of a socket, for messages.
fn shown(socket: &OwnedFd) -> String {
    let Ok(bound) = SockRef::from(socket).local_addr() else { return "no socket".into() };
    match (bound.as_socket(), bound.as_pathname()) {
        (Some(address), _) => Address::Tcp(address.to_string()).to_string(),
        (_, Some(path)) => Address::Unix(path.to_owned()).to_string(),
        _ => "no address".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn inherited(name: &str, socket: impl Into<OwnedFd>) -> Inherited {
        Inherited { name: name.into(), socket: socket.into() }
    }

    #[test]
    fn a_socket_is_found_by_its_name_or_else_by_its_address() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rpc.sock");
        let (one, other) = (TcpListener::bind("127.0.0.1:0").unwrap(), TcpListener::bind("[::]:0").unwrap());
        let ports = [&one, &other].map(|socket| socket.local_addr().unwrap().port());
        let sockets = Sockets::inherited(vec![
            inherited("causeway.socket", UnixListener::bind(&path).unwrap()),
            inherited("proxy", one),
            inherited("causeway.socket", other),
        ]);
        let clone = sockets.clone();
        let take = |name, address: String| clone.take(name, &address.parse().unwrap()).is_some();
        assert!(!take("rpc", "unix:///elsewhere.sock".into()));
        assert!(take("rpc", format!("unix://{}", path.display())));
        assert!(!take("status", format!("127.0.0.1:{}", ports[1])), "it is bound to all addresses");
        assert!(take("status", format!(":{}", ports[1])));
        assert!(take("proxy", "127.0.0.1:1".into()), "by its name");
        assert!(!take("proxy", format!("127.0.0.1:{}", ports[0])), "only once");
        assert!(sockets.close_unused().is_empty());
    }

    #[test]
    fn what_no_listener_has_taken_is_closed_and_named() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let sockets = Sockets::inherited(vec![inherited("prxy", socket)]);
        assert!(sockets.take("proxy", &"127.0.0.1:1".parse().unwrap()).is_none());
        assert_eq!(sockets.close_unused(), [("prxy".to_owned(), format!("tcp://{address}"))]);
        TcpListener::bind(address).unwrap();
    }
}
