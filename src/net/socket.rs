//! A listening socket of either kind, and the options of the connections that it accepts.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::{Address, Peer, Stream};

/// TCP keepalive: the silence before the first probe, the interval and the number of probes. A peer whose machine is gone is noticed after a
/// minute.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// Connections that are accepted when the listener closes, at most: those of tokio's backlog.
const BACKLOG: usize = 1024;

#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Socket {
    /// Takes a listening socket; returns it with its own address.
    pub(super) fn adopt(descriptor: OwnedFd) -> io::Result<(Self, Address)> {
        let invalid = |message| io::Error::new(io::ErrorKind::InvalidInput, message);
        let socket = socket2::Socket::from(descriptor);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(invalid("the descriptor is not a listening socket"));
        }
        socket.set_nonblocking(true)?;
        socket.set_cloexec(true)?;
        match socket.domain()? {
            Domain::IPV4 | Domain::IPV6 => {
                let listener = TcpListener::from_std(socket.into())?;
                let address = Address::Tcp(listener.local_addr()?.to_string());
                Ok((Self::Tcp(listener), address))
            }
            Domain::UNIX => {
                let listener = UnixListener::from_std(socket.into())?;
                let address = listener.local_addr()?;
                let path = address.as_pathname().ok_or_else(|| invalid("the socket has no path"))?;
                Ok((Self::Unix(listener), Address::Unix(path.to_owned())))
            }
            _ => Err(invalid("the descriptor is neither a TCP nor a unix socket")),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(of_tcp(stream, address))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok(of_unix(stream))
            }
        }
    }

    /// Closes it. Returns the connections that the kernel has accepted, [`BACKLOG`] at most.
    pub(super) fn close(self) -> Vec<(Stream, Peer)> {
        fn all<T>(accept: impl Fn() -> io::Result<T>) -> impl Iterator<Item = T> {
            let accept = move || loop {
                match accept() {
                    Ok(accepted) => return Some(accepted),
                    Err(error) if is_of_the_connection(&error) => {}
                    Err(_) => return None,
                }
            };
            std::iter::from_fn(accept).take(BACKLOG)
        }
        // What fails here does so for connections that have gone.
        match self {
            Self::Tcp(listener) => listener.into_std().map_or_else(
                |_| Vec::new(),
                |listener| {
                    let adopt = |(stream, address): (std::net::TcpStream, _)| {
                        stream.set_nonblocking(true).ok()?;
                        Some(of_tcp(TcpStream::from_std(stream).ok()?, address))
                    };
                    all(|| listener.accept()).filter_map(adopt).collect()
                },
            ),
            Self::Unix(listener) => listener.into_std().map_or_else(
                |_| Vec::new(),
                |listener| {
                    let adopt = |(stream, _): (std::os::unix::net::UnixStream, _)| {
                        stream.set_nonblocking(true).ok()?;
                        Some(of_unix(UnixStream::from_std(stream).ok()?))
                    };
                    all(|| listener.accept()).filter_map(adopt).collect()
                },
            ),
        }
    }
}

fn of_tcp(stream: TcpStream, address: SocketAddr) -> (Stream, Peer) {
    // Otherwise an answer can wait 40 ms for an acknowledgement. If it fails, the peer has gone and needs neither option.
    let _ = stream.set_nodelay(true);
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    let _ = socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    (Stream::Tcp(stream), Peer::Address(address))
}

fn of_unix(stream: UnixStream) -> (Stream, Peer) {
    let pid = stream.peer_cred().ok().and_then(|credentials| credentials.pid());
    (Stream::Unix(stream), Peer::Process(pid.and_then(|pid| u32::try_from(pid).ok())))
}

/// Listens on a host and port.
pub(super) async fn tcp(host_and_port: &str) -> io::Result<OwnedFd> {
    let listener = TcpListener::bind(Address::bindable(host_and_port)).await?;
    Ok(listener.into_std()?.into())
}

/// Source: accept(2), which also reports network errors that concern only the new connection.
pub(super) fn is_of_the_connection(error: &io::Error) -> bool {
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
