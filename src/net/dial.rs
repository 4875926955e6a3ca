//! Outgoing connections.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::{Address, Stream};

/// Connects to a listener; one of every address, or without a host, is reached at this machine's loopback.
///
/// # Errors
/// What the system says: refused, no such host, no such file.
pub(crate) async fn connect(address: &Address) -> io::Result<Stream> {
    Ok(match address {
        Address::Tcp(address) => Stream::Tcp(tcp(&Address::reachable(address)).await?),
        Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
    })
}

/// Connects to `host:port`.
///
/// # Errors
/// What the system says: refused, no such host.
pub(crate) async fn tcp(host_and_port: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(host_and_port).await?;
    // Without it a call can wait 40 ms for an acknowledgement.
    stream.set_nodelay(true)?;
    Ok(stream)
}
