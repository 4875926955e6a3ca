//! The listener: who may connect, and a task for each connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::warn;

use super::router::Router;
use super::services::Services;
use super::{Config, Network, connection};
use crate::address::Address;
use crate::os::unix_socket;

/// Connections at one time. Each costs a descriptor and a small task; past this, new ones wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 4096;

/// How long it takes before connections are accepted again after that failed: out of descriptors, most likely.
const PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    address: Address,
    allow: Vec<Network>,
    _socket_file: Option<unix_socket::SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who connected, for the log.
#[derive(Debug)]
enum Peer {
    Address(SocketAddr),
    Process(Option<i32>),
}

impl Server {
    /// Binds the address. Nothing is accepted until [`Server::run`], but callers can connect from now on and wait.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        let (socket, address, file) = bind(config).await.map_err(|error| {
            io::Error::new(error.kind(), format!("rpc.listen: cannot listen on {}: {error}", config.listen))
        })?;
        if let Socket::Tcp(listener) = &socket
            && config.allow.is_empty()
            && !listener.local_addr()?.ip().is_loopback()
        {
            warn!(
                target: "rpc",
                address = %address,
                "rpc.listen is reachable from other machines: whoever can connect may publish to any channel, disconnect users, read \
                 the configuration, replace the workers and stop the server; rpc.allow: [10.0.0.0/8] would name who may"
            );
        }
        Ok(Self { socket, address, allow: config.allow.clone(), _socket_file: file })
    }

    /// Where it listens, the real port included.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Answers calls until it is dropped, and with it every connection.
    pub async fn run(self, services: Arc<Services>) {
        let router = Arc::new(Router::new(services));
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let router = Arc::clone(&router);
            match self.socket.accept().await {
                Ok((stream, peer)) if self.admits(&peer) => {
                    connections.spawn(async move {
                        stream.serve(&peer.to_string(), &router).await;
                        drop(place);
                    });
                }
                Ok((_, peer)) => {
                    warn!(target: "rpc", %peer, "refused a connection from outside of rpc.allow");
                }
                Err(error) => {
                    warn!(target: "rpc", %error, "cannot accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            while connections.try_join_next().is_some() {}
        }
    }

    /// Whether a peer may call. Who may open a socket file is a matter of its permissions.
    fn admits(&self, peer: &Peer) -> bool {
        match peer {
            Peer::Address(address) => {
                self.allow.is_empty() || self.allow.iter().any(|network| network.contains(address.ip()))
            }
            Peer::Process(_) => true,
        }
    }
}

async fn bind(config: &Config) -> io::Result<(Socket, Address, Option<unix_socket::SocketFile>)> {
    match &config.listen {
        Address::Tcp(address) => {
            let listener = TcpListener::bind(Address::bindable(address)).await?;
            let told = match address.rsplit_once(':') {
                Some((host, "0")) => format!("{host}:{}", listener.local_addr()?.port()),
                _ => address.clone(),
            };
            Ok((Socket::Tcp(listener), Address::Tcp(told), None))
        }
        Address::Unix(path) => {
            let (listener, file) = unix_socket::bind(path).await?;
            file.set_mode(config.socket_mode)?;
            Ok((Socket::Unix(listener), config.listen.clone(), Some(file)))
        }
    }
}

impl Socket {
    async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Without it a reply can wait 40 ms for an acknowledgement.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Peer::Address(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let pid = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
                Ok((Stream::Unix(stream), Peer::Process(pid)))
            }
        }
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    async fn serve(self, peer: &str, router: &Router) {
        match self {
            Self::Tcp(mut stream) => {
                let (reader, writer) = stream.split();
                connection::serve(reader, writer, peer, router).await;
            }
            Self::Unix(mut stream) => {
                let (reader, writer) = stream.split();
                connection::serve(reader, writer, peer, router).await;
            }
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Process(Some(pid)) => write!(f, "process {pid}"),
            Self::Process(None) => f.write_str("an unknown process"),
        }
    }
}
