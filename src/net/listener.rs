//! Accepting connections, whatever the address is.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::connections::Reached;
use super::incident::Incident;
use super::pace::Pace;
use super::secured::Tls;
use super::socket::{self, Socket};
use super::unix_socket::{self, SocketFile};
use super::{
    Address, Attributes, Connections, Inherited, Limit, LimitSettings, Network, Peer, Registration, Sockets,
    Stream,
};
use crate::tls::Acceptor;

/// The pause after accepting has failed, which most likely means that there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepting works again if it has not failed for this time.
const RECOVERED: Duration = Duration::from_secs(1);

/// The limit is no longer reached, or strangers are gone, if no connection was closed or refused for this time.
const CALM: Duration = Duration::from_secs(10);

/// Where to listen, and for which peers.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// The key of the address in the configuration, for messages.
    pub(crate) key: &'a str,
    /// The sockets of this process, some of which it has inherited, and the name of this listener among them; none if it is always bound
    /// here, and never passed on.
    pub(crate) sockets: Option<(&'a Sockets, &'a str)>,
    pub(crate) address: &'a Address,
    /// The attributes of a unix socket's file.
    pub(crate) attributes: Attributes,
    /// The networks that may connect over TCP; all if empty. Who may connect to a socket file is up to its permissions.
    pub(crate) allow: &'a [Network],
    pub(crate) limit: Limit,
    pub(crate) settings: LimitSettings,
    /// What speaks TLS with peers over TCP, if the listener has TLS.
    pub(crate) tls: Option<&'a Arc<Acceptor>>,
}

/// A listening socket. The socket file that it has created is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Dropped before the socket: see [`SocketFile`].
    file: Option<Arc<SocketFile>>,
    socket: Arc<Socket>,
    key: String,
    address: Address,
    allow: Vec<Network>,
    tls: Option<Arc<Tls>>,
    connections: Arc<Connections>,
    handshake_timeout: Duration,
    /// Accepted, but not registered yet: the limit is reached.
    waiting: Option<(Stream, Peer)>,
    /// Until when nothing is accepted, since that has failed.
    paused: Option<Instant>,
    pace: Pace,
    failing: Incident,
    evicting: Incident,
    refusing: Incident,
    crowding: Incident,
}

/// An accepted connection.
#[derive(Debug)]
#[must_use = "nothing may be read from it before it is secured"]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// Counts it among the listener's connections.
    pub(crate) registration: Registration,
    /// Until the handshake: see [`Accepted::secured`].
    pub(super) tls: Option<Arc<Tls>>,
    /// When its handshake has to be complete: that of TLS, and the first bytes of the protocol.
    pub(crate) handshake_until: Instant,
}

impl Listener {
    /// Listens on the inherited socket of this listener, or else binds the address. From now on peers can connect, and wait to be accepted.
    ///
    /// # Errors
    /// If the address cannot be bound; the message names its key.
    pub(crate) async fn bind(options: Options<'_>) -> io::Result<Self> {
        let inherited = options.sockets.and_then(|(sockets, name)| sockets.take(name, options.address));
        let listener = match inherited {
            Some(Inherited { socket, file, .. }) => {
                let mut listener = Self::adopt(socket, &options)?;
                if let (Address::Unix(path), Some(inode)) = (&listener.address, file) {
                    listener.file = Some(Arc::new(SocketFile::of_another(path.clone(), inode)));
                }
                listener
            }
            None => Self::bind_anew(&options).await?,
        };
        if let Some((sockets, name)) = options.sockets {
            let socket: Weak<dyn AsFd + Send + Sync> = Arc::<Socket>::downgrade(&listener.socket);
            sockets.add(name, options.address, socket, listener.file.as_ref());
        }
        Ok(listener)
    }

    async fn bind_anew(options: &Options<'_>) -> io::Result<Self> {
        let configured = options.address.clone();
        let bound = match &configured {
            Address::Tcp(host_and_port) => socket::tcp(host_and_port).await.map(|socket| (socket, None)),
            Address::Unix(path) => {
                unix_socket::bind(path, options.attributes).map(|(socket, file)| (socket, Some(file)))
            }
        };
        let (socket, file) = bound.map_err(|error| options.cannot_listen(&error))?;
        let mut listener = Self::adopt(socket, options)?;
        listener.address = configured.with_port_of(&listener.address);
        listener.file = file.map(Arc::new);
        Ok(listener)
    }

    /// Takes over a socket that listens already, such as one that this process has inherited. It was bound by another process, so the
    /// attributes are ignored, its file is left alone, and its own address replaces the configured one.
    ///
    /// # Errors
    /// If it is not a listening TCP or unix socket; the message names the key.
    fn adopt(socket: OwnedFd, options: &Options<'_>) -> io::Result<Self> {
        let (socket, address) = Socket::adopt(socket).map_err(|error| options.cannot_listen(&error))?;
        Ok(Self {
            file: None,
            socket: Arc::new(socket),
            key: options.key.to_owned(),
            address,
            allow: options.allow.to_vec(),
            tls: options.tls.map(Tls::new),
            connections: Connections::new(options.limit, options.settings),
            handshake_timeout: options.settings.handshake_timeout,
            waiting: None,
            paused: None,
            pace: Pace::new(),
            failing: Incident::new(RECOVERED),
            evicting: Incident::new(CALM),
            refusing: Incident::new(CALM),
            crowding: Incident::new(CALM),
        })
    }

    /// The address as it is configured, with the real port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Its open connections.
    pub(crate) fn connections(&self) -> &Arc<Connections> {
        &self.connections
    }

    /// The address in the kernel's form: `host:port` with a numeric host, or the path of the socket.
    pub(crate) fn local_address(&self) -> String {
        match (&*self.socket, &self.address) {
            (Socket::Tcp(listener), Address::Tcp(configured)) => {
                listener.local_addr().map_or_else(|_| configured.clone(), |address| address.to_string())
            }
            (_, Address::Unix(path)) => path.display().to_string(),
            (_, address) => address.to_string(),
        }
    }

    /// Accepts a connection like [`Self::accept`], but only as long as `accepts` is true. One that comes meanwhile waits, or is accepted by another process that has
    /// the socket.
    pub(crate) async fn accept_while(&mut self, accepts: &watch::Receiver<bool>) -> Accepted {
        let mut accepts = accepts.clone();
        loop {
            // Without a sender nothing changes any more.
            if accepts.wait_for(|accepts| *accepts).await.is_err() {
                std::future::pending::<()>().await;
            }
            let paused = async {
                if accepts.wait_for(|accepts| !accepts).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                () = paused => {}
                accepted = self.accept() => return accepted,
            }
        }
    }

    /// Accepts a connection, however long it takes: no error, of a connection or of the system, ends the listener. The future may be
    /// dropped at any time without losing a connection.
    pub(crate) async fn accept(&mut self) -> Accepted {
        loop {
            if let Some((_, peer)) = &self.waiting {
                let registration = self.register(*peer).await;
                // Not before: this future may be dropped. One that is refused is closed here.
                if let (Some((stream, peer)), Some(registration)) = (self.waiting.take(), registration) {
                    let tls = tls_of(&stream, self.tls.as_ref());
                    let handshake_until = Instant::now() + self.handshake_timeout;
                    return Accepted { stream, peer, registration, tls, handshake_until };
                }
            }
            if let Some(paused) = self.paused {
                sleep_until(paused).await;
                self.paused = None;
            }
            self.pace.turn().await;
            tokio::select! {
                accepted = self.socket.accept() => self.accepted(accepted),
                times = self.failing.over() => {
                    info!(target: "net", listener = self.key, failed = times, "accepting connections again");
                }
                times = self.evicting.over() => {
                    info!(target: "net", listener = self.key, closed = times, "below the connection limit again");
                }
                times = self.refusing.over() => {
                    info!(target: "net", listener = self.key, refused = times, "no longer refusing connections");
                }
                times = self.crowding.over() => {
                    info!(target: "net", listener = self.key, refused = times, "below the connection limit of an address again");
                }
            }
        }
    }

    /// Stops listening. Returns the connections that were not accepted yet: their peers may have sent requests already, which would be lost.
    pub(crate) async fn close(self) -> Vec<Accepted> {
        let Self { file, socket, waiting, allow, connections, tls, handshake_timeout, .. } = self;
        // Before the socket: see [`SocketFile`].
        drop(file);
        let left = waiting.into_iter().chain(Arc::into_inner(socket).map(Socket::close).unwrap_or_default());
        let mut accepted = Vec::new();
        for (stream, peer) in left.filter(|(_, peer)| is_allowed(&allow, *peer)) {
            let Ok(registration) = connections.register(peer, |_| {}).await else { continue };
            let (tls, handshake_until) = (tls_of(&stream, tls.as_ref()), Instant::now() + handshake_timeout);
            accepted.push(Accepted { stream, peer, registration, tls, handshake_until });
        }
        accepted
    }

    fn accepted(&mut self, accepted: io::Result<(Stream, Peer)>) {
        self.pace.accepted();
        match accepted {
            Ok((stream, peer)) if is_allowed(&self.allow, peer) => self.waiting = Some((stream, peer)),
            Ok((_, peer)) => {
                if let Some(times) = self.refusing.happened() {
                    warn!(
                        target: "net", listener = self.key, %peer, refused = times,
                        "connection refused: peer is not in an allowed network"
                    );
                }
            }
            // The peer has already gone.
            Err(error) if socket::is_of_the_connection(&error) => {
                debug!(target: "net", listener = self.key, %error, "connection closed before it was accepted");
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Backs off: without descriptors, accepting at once again would spin.
    fn failed(&mut self, error: &io::Error) {
        self.paused = Some(Instant::now() + PAUSE);
        self.connections.evict_silent();
        if let Some(times) = self.failing.happened() {
            warn!(target: "net", listener = self.key, %error, failed = times, "cannot accept connections");
        }
    }

    /// Registers a connection; `None` if it is refused.
    async fn register(&mut self, peer: Peer) -> Option<Registration> {
        let Self { connections, evicting, crowding, key, .. } = self;
        let registration = connections.register(peer, |Reached { limit, origin }| {
            if let Some(times) = evicting.happened() {
                let address = origin.map(tracing::field::display);
                warn!(
                    target: "net", listener = key.as_str(), limit, address, closed = times,
                    "connection limit reached: closing idle connections for new ones"
                );
            }
        });
        match registration.await {
            Ok(registration) => Some(registration),
            Err(Reached { limit, origin }) => {
                if let Some(times) = crowding.happened() {
                    let address = origin.map(tracing::field::display);
                    warn!(
                        target: "net", listener = key.as_str(), limit, address, refused = times,
                        "connection refused: connection limit of its address reached"
                    );
                }
                None
            }
        }
    }
}

/// The TLS of a connection: on unix sockets there is none.
fn tls_of(stream: &Stream, tls: Option<&Arc<Tls>>) -> Option<Arc<Tls>> {
    tls.filter(|_| matches!(stream, Stream::Tcp(_))).cloned()
}

fn is_allowed(allow: &[Network], peer: Peer) -> bool {
    match peer {
        Peer::Address(address) => {
            allow.is_empty() || allow.iter().any(|network| network.contains(address.ip()))
        }
        Peer::Process(_) => true,
    }
}

impl Options<'_> {
    fn cannot_listen(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: cannot listen on {}: {error}", self.key, self.address))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener as StdUnixListener;

    use tokio::io::AsyncReadExt as _;

    use super::*;
    use crate::net::connection_table::CLOSING;
    use crate::net::dial;

    fn options(address: &Address) -> Options<'_> {
        Options {
            key: "test.listen",
            sockets: None,
            address,
            attributes: Attributes::mode(0o600),
            allow: &[],
            limit: Limit { at_most: 16, one_of: 16, per_address: true },
            settings: LimitSettings::default(),
            tls: None,
        }
    }

    #[tokio::test]
    async fn connections_that_wait_when_the_listener_closes_are_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let addresses = [Address::Tcp("127.0.0.1:0".into()), Address::Unix(folder.path().join("test.sock"))];
        for address in addresses {
            let listener = Listener::bind(options(&address)).await.unwrap();
            let address = listener.address().clone();
            let peers: [_; 3] = std::array::from_fn(|_| dial::connect(&address, None));
            let peers = futures_util::future::join_all(peers).await;
            assert!(peers.iter().all(Result::is_ok));
            assert_eq!(listener.close().await.len(), 3);
            assert!(dial::connect(&address, None).await.is_err());
        }
    }

    #[tokio::test]
    async fn an_address_at_its_limit_does_not_delay_another_one() {
        let local = Address::Tcp("127.0.0.1:0".into());
        let settings = LimitSettings { connections_per_address: Some(1), ..LimitSettings::default() };
        let limit = Limit { at_most: 100, one_of: 1, per_address: true };
        let mut listener = Listener::bind(Options { limit, settings, ..options(&local) }).await.unwrap();
        let Address::Tcp(bound) = listener.address().clone() else { panic!("it is over TCP") };
        let connect = async |from: [u8; 4]| {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((from, 0).into()).unwrap();
            socket.connect(bound.parse().unwrap()).await.unwrap()
        };
        let mut peers = Vec::new();
        for _ in 0..=CLOSING {
            peers.push(connect([127, 0, 0, 2]).await);
        }
        // None of them closes.
        let mut kept = Vec::new();
        for _ in &peers {
            kept.push(listener.accept().await);
        }
        let mut refused = connect([127, 0, 0, 2]).await;
        let other = connect([127, 0, 0, 3]).await;
        let accepted = listener.accept().await;
        assert_eq!(accepted.peer, Peer::Address(other.local_addr().unwrap()));
        assert_eq!(refused.read(&mut [0]).await.unwrap(), 0, "closed at once");
    }

    #[tokio::test]
    async fn an_inherited_tcp_socket_is_served_at_its_own_address() {
        let inherited = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = Address::Tcp(inherited.local_addr().unwrap().to_string());
        let configured = Address::Tcp("192.0.2.1:1".into());
        let mut listener = Listener::adopt(inherited.into(), &options(&configured)).unwrap();
        assert_eq!(listener.address(), &own);
        let (accepted, connected) = tokio::join!(listener.accept(), dial::connect(&own, None));
        assert_eq!(
            accepted.peer,
            Peer::Address(connected.unwrap().local_address().unwrap()),
            "the peer is the one that has connected"
        );
    }

    #[tokio::test]
    async fn the_file_of_an_inherited_unix_socket_outlives_the_listener() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inherited.sock");
        let own = Address::Unix(path.clone());
        let inherited = StdUnixListener::bind(&path).unwrap();
        let mut listener = Listener::adopt(inherited.into(), &options(&own)).unwrap();
        assert_eq!(listener.address(), &own);
        let (accepted, connected) = tokio::join!(listener.accept(), dial::connect(&own, None));
        assert_eq!(accepted.peer, Peer::Process(Some(std::process::id())));
        connected.unwrap();
        drop(listener);
        assert!(path.exists(), "only the server that bound it removes it");
    }

    #[tokio::test]
    async fn what_does_not_listen_is_not_adopted() {
        let address = Address::Tcp("127.0.0.1:1".into());
        let (connected, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let datagram = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let file = tempfile::tempfile().unwrap();
        for descriptor in [connected.into(), datagram.into(), OwnedFd::from(file)] {
            let error = Listener::adopt(descriptor, &options(&address)).unwrap_err().to_string();
            assert!(error.starts_with("test.listen: cannot listen on tcp://127.0.0.1:1: "), "{error}");
        }
    }
}
