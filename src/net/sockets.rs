//! The listening sockets of this process: those that it was started with, and those that it listens on and can pass on.

use std::fmt;
use std::net::ToSocketAddrs as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use socket2::SockRef;

use super::Address;
use super::unix_socket::SocketFile;

/// A socket that another process has bound: the service manager, or the server before this one.
#[derive(Debug)]
pub(crate) struct Inherited {
    /// The name of its listener, such as `proxy`; any other if the manager names none.
    pub(crate) name: String,
    pub(crate) socket: OwnedFd,
    /// The setting that it was bound for, if the server before this one has passed it on: with another one, it is another listener's.
    pub(crate) setting: Option<String>,
    /// The device and the inode of its file, if that is to be removed with the listener.
    pub(crate) file: Option<(u64, u64)>,
}

/// The listening sockets of this process. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Sockets(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Those that were bound before this process was started, until a listener takes them.
    inherited: Vec<Inherited>,
    open: Vec<Open>,
}

/// A socket that a listener uses, for as long as it does.
struct Open {
    name: String,
    setting: String,
    socket: Weak<dyn AsFd + Send + Sync>,
    file: Option<Weak<SocketFile>>,
}

impl Sockets {
    /// Sockets that no listener has taken yet.
    pub(crate) fn inherited(sockets: Vec<Inherited>) -> Self {
        Self(Arc::new(Mutex::new(State { inherited: sockets, open: Vec::new() })))
    }

    /// More sockets that no listener has taken yet.
    pub(crate) fn inherit(&self, sockets: Vec<Inherited>) {
        self.state().inherited.extend(sockets);
    }

    /// Takes the socket of a listener: the one of this name, unless it was bound for another setting, or else one that is bound to this
    /// address.
    pub(super) fn take(&self, name: &str, address: &Address) -> Option<Inherited> {
        let mut state = self.state();
        let sockets = &mut state.inherited;
        let setting = address.to_string();
        let is_named = |socket: &Inherited| {
            socket.name == name && socket.setting.as_ref().is_none_or(|known| *known == setting)
        };
        let named = sockets.iter().position(is_named);
        let index = named.or_else(|| sockets.iter().position(|socket| is_at(&socket.socket, address)))?;
        Some(sockets.remove(index))
    }

    /// Closes those that no listener has taken. Returns the name and the address of each.
    pub(crate) fn close_unused(&self) -> Vec<(String, String)> {
        let unused = std::mem::take(&mut self.state().inherited);
        unused.into_iter().map(|unused| (unused.name, shown(&unused.socket))).collect()
    }

    /// A listener uses this socket, and removes its file.
    pub(super) fn add(
        &self,
        name: &str,
        address: &Address,
        socket: Weak<dyn AsFd + Send + Sync>,
        file: Option<&Arc<SocketFile>>,
    ) {
        let mut state = self.state();
        state.open.retain(|open| open.socket.strong_count() > 0);
        state.open.push(Open {
            name: name.to_owned(),
            setting: address.to_string(),
            socket,
            file: file.map(Arc::downgrade),
        });
    }

    /// Copies of the sockets that listeners use, for another process.
    pub(crate) fn open(&self) -> Vec<Inherited> {
        let state = self.state();
        let copies = state.open.iter().filter_map(|open| {
            let socket = open.socket.upgrade()?.as_fd().try_clone_to_owned().ok()?;
            let file = open.file.as_ref().and_then(Weak::upgrade).map(|file| file.inode());
            let (name, setting) = (open.name.clone(), Some(open.setting.clone()));
            Some(Inherited { name, socket, setting, file })
        });
        copies.collect()
    }

    /// The files of the sockets belong to this process, which removes them; or no longer, since another process has taken over.
    pub(crate) fn own_files(&self, yes: bool) {
        for open in &self.state().open {
            if let Some(file) = open.file.as_ref().and_then(Weak::upgrade) {
                file.own(yes);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("name", &self.name).finish_non_exhaustive()
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
        Inherited { name: name.into(), socket: socket.into(), setting: None, file: None }
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
    fn what_the_server_before_has_passed_on_is_taken_by_the_same_setting_or_the_same_address() {
        let sockets = || {
            let socket = TcpListener::bind("127.0.0.1:0").unwrap();
            let bound = Address::Tcp(socket.local_addr().unwrap().to_string());
            let setting = Some("tcp://localhost:0".to_owned());
            (Sockets::inherited(vec![Inherited { setting, ..inherited("proxy", socket) }]), bound)
        };
        let takes = |name, setting: &str| sockets().0.take(name, &setting.parse().unwrap()).is_some();
        assert!(
            takes("proxy", "localhost:0") && !takes("proxy", "localhost:1") && !takes("rpc", "localhost:0")
        );
        let (sockets, bound) = sockets();
        assert!(sockets.take("rpc", &bound).is_some());
    }

    #[test]
    fn open_sockets_are_passed_on_as_long_as_a_listener_uses_them() {
        let sockets = Sockets::default();
        let socket = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let weak: Weak<dyn AsFd + Send + Sync> = Arc::<TcpListener>::downgrade(&socket);
        sockets.add("rpc", &"127.0.0.1:0".parse().unwrap(), weak, None);
        let copies = sockets.open();
        assert_eq!(
            (copies[0].name.as_str(), copies[0].setting.as_deref()),
            ("rpc", Some("tcp://127.0.0.1:0"))
        );
        drop(socket);
        assert!(sockets.open().is_empty());
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
