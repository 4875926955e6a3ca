//! Accepting connections, whatever the address is.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::incident::Incident;
use super::unix_socket::{self, SocketFile};
use super::{Address, Attributes, Connections, Limit, Network, Peer, Registration, Stream};

/// How long it takes before connections are accepted again after that failed: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// Accepting works again when it has not failed for so long.
const RECOVERED: Duration = Duration::from_secs(1);

/// Connections are below the limit, or strangers gone, when nobody was sent away for so long.
const CALM: Duration = Duration::from_secs(10);

/// TCP keepalive after so much silence, then at this interval, so often: a peer whose machine is gone is noticed after a minute.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// What is listened on, and for whom.
#[derive(Debug)]
pub(crate) struct Options<'a> {
    /// Where the address stands in the configuration, for messages.
    pub(crate) key: &'static str,
    pub(crate) address: &'a Address,
    /// Of a unix socket's file.
    pub(crate) attributes: Attributes,
    /// The networks that may connect over TCP; everybody when it is empty. Who may open a socket file is a matter of its permissions.
    pub(crate) allow: &'a [Network],
    pub(crate) limit: Limit,
}

/// A bound listener. Its socket file is removed when it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: Socket,
    key: &'static str,
    address: Address,
    allow: Vec<Network>,
    connections: Arc<Connections>,
    /// Accepted, but there is no room for it yet.
    waiting: Option<(Stream, Peer)>,
    /// Nothing is accepted before, since that failed.
    paused: Option<Instant>,
    failing: Incident,
    evicting: Incident,
    refusing: Incident,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix {
        /// Dropped before the socket, as it has to be.
        _file: SocketFile,
        listener: UnixListener,
    },
}

/// A connection that was accepted.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) stream: Stream,
    pub(crate) peer: Peer,
    /// Its place among the listener's connections.
    pub(crate) registration: Registration,
}

impl Listener {
    /// Binds the address. Callers can connect from now on, and wait.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names its key.
    pub(crate) async fn bind(options: Options<'_>) -> io::Result<Self> {
        let Options { key, address, attributes, allow, limit } = options;
        let bound = match address {
            Address::Tcp(host) => tcp(host).await,
            Address::Unix(path) => unix_socket::bind(path, attributes)
                .map(|(listener, file)| (Socket::Unix { _file: file, listener }, address.clone())),
        };
        let (socket, address) = bound.map_err(|error| {
            io::Error::new(error.kind(), format!("{key}: cannot listen on {address}: {error}"))
        })?;
        Ok(Self {
            socket,
            key,
            address,
            allow: allow.to_vec(),
            connections: Connections::new(limit),
            waiting: None,
            paused: None,
            failing: Incident::new(RECOVERED),
            evicting: Incident::new(CALM),
            refusing: Incident::new(CALM),
        })
    }

    /// Where it listens: as configured, with the real port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Where it listens: `host:port` with the host's own address, or the path of the socket.
    pub(crate) fn local_address(&self) -> String {
        match (&self.socket, &self.address) {
            (Socket::Tcp(listener), Address::Tcp(configured)) => {
                listener.local_addr().map_or_else(|_| configured.clone(), |address| address.to_string())
            }
            (_, Address::Unix(path)) => path.display().to_string(),
            (_, address) => address.to_string(),
        }
    }

    /// Accepts a connection, however long it takes: an error, of a connection or of the system, does not end the listener. The future may
    /// be dropped at any time; no connection is lost.
    pub(crate) async fn accept(&mut self) -> Accepted {
        loop {
            if self.waiting.is_some() {
                let registration = self.register().await;
                if let Some((stream, peer)) = self.waiting.take() {
                    return Accepted { stream, peer, registration };
                }
            }
            if let Some(paused) = self.paused {
                sleep_until(paused).await;
                self.paused = None;
            }
            tokio::select! {
                accepted = self.socket.accept() => self.accepted(accepted),
                times = self.failing.over() => {
                    info!(target: "net", listener = self.key, failed = times, "accepting connections again");
                }
                times = self.evicting.over() => {
                    info!(target: "net", listener = self.key, closed = times, "below the connection limit again");
                }
                times = self.refusing.over() => {
                    info!(target: "net", listener = self.key, refused = times, "no more connections are refused");
                }
            }
        }
    }

    fn accepted(&mut self, accepted: io::Result<(Stream, Peer)>) {
        match accepted {
            Ok((stream, peer)) if self.admits(peer) => self.waiting = Some((stream, peer)),
            Ok((_, peer)) => {
                if let Some(times) = self.refusing.happened() {
                    warn!(
                        target: "net", listener = self.key, %peer, refused = times,
                        "refused a connection from outside of the allowed networks"
                    );
                }
            }
            // It is about this connection, whose peer has gone.
            Err(error) if is_of_the_connection(&error) => {
                debug!(target: "net", listener = self.key, %error, "a connection ended before it was accepted");
            }
            Err(error) => self.failed(&error),
        }
    }

    /// Out of descriptors, most likely: accepting at once again would spin.
    fn failed(&mut self, error: &io::Error) {
        self.paused = Some(Instant::now() + PAUSE);
        self.connections.evict_silent();
        if let Some(times) = self.failing.happened() {
            warn!(target: "net", listener = self.key, %error, failed = times, "cannot accept connections");
        }
    }

    async fn register(&mut self) -> Registration {
        let Self { connections, evicting, key, .. } = self;
        let limit = connections.limit();
        let registration = connections.register(|| {
            if let Some(times) = evicting.happened() {
                warn!(
                    target: "net", listener = *key, limit, closed = times,
                    "connection limit reached: idle connections are closed for new ones"
                );
            }
        });
        registration.await
    }

    fn admits(&self, peer: Peer) -> bool {
        match peer {
            Peer::Address(address) => {
                self.allow.is_empty() || self.allow.iter().any(|network| network.contains(address.ip()))
            }
            Peer::Process(_) => true,
        }
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Without it an answer can wait 40 ms for an acknowledgement. A peer that has gone needs neither.
                let _ = stream.set_nodelay(true);
                let keepalive = socket2::TcpKeepalive::new()
                    .with_time(KEEPALIVE)
                    .with_interval(KEEPALIVE_INTERVAL)
                    .with_retries(KEEPALIVE_PROBES);
                let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
                Ok((Stream::Tcp(stream), Peer::Address(address)))
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                let pid = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
                Ok((Stream::Unix(stream), Peer::Process(pid.and_then(|pid| u32::try_from(pid).ok()))))
            }
        }
    }
}

async fn tcp(host_and_port: &str) -> io::Result<(Socket, Address)> {
    let listener = TcpListener::bind(Address::bindable(host_and_port)).await?;
    let address = match host_and_port.rsplit_once(':') {
        Some((host, "0")) => format!("{host}:{}", listener.local_addr()?.port()),
        _ => host_and_port.to_owned(),
    };
    Ok((Socket::Tcp(listener), Address::Tcp(address)))
}

/// Source: accept(2), which reports errors of the network that belong to the new connection.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkDown,
        NetworkUnreachable,
    };
    let kinds = [
        ConnectionAborted,
        ConnectionRefused,
        ConnectionReset,
        HostUnreachable,
        Interrupted,
        NetworkDown,
        NetworkUnreachable,
    ];
    kinds.contains(&error.kind())
}
