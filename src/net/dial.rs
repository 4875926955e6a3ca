//! Outgoing connections.

use std::io;

use tokio::net::{TcpStream, UnixStream};

use super::{Address, Stream};

/// Connects to the address of a listener. One on every address is reached at the loopback.
///
/// # Errors
/// Connection refused, unknown host, no such file, and so on.
pub(crate) async fn connect(address: &Address) -> io::Result<Stream> {
    Ok(match address {
        Address::Tcp(address) => Stream::Tcp(tcp(&Address::reachable(address)).await?),
        Address::Unix(path) => Stream::Unix(UnixStream::connect(path).await?),
    })
}

/// Connects to `host:port`.
///
/// # Errors
/// Connection refused, unknown host, and so on.
pub(crate) async fn tcp(host_and_port: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(host_and_port).await?;
    // Otherwise a call can wait 40 ms for an acknowledgement.
    stream.set_nodelay(true)?;
    Ok(stream)
}
