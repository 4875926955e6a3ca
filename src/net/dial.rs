//! Outgoing connections.

use std::io;

use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{Address, Stream, host_and_port};

/// Connects to the address of a listener, with `tls` if it is one over TCP. One on every address is reached at the loopback.
///
/// # Errors
/// Connection refused, unknown host, no such file, wrong certificate, and so on.
pub(crate) async fn connect(address: &Address, tls: Option<&TlsConnector>) -> io::Result<Stream> {
    let address = match address {
        Address::Tcp(address) => Address::reachable(address),
        Address::Unix(path) => return Ok(Stream::Unix(UnixStream::connect(path).await?)),
    };
    let stream = tcp(&address).await?;
    let Some(tls) = tls else { return Ok(Stream::Tcp(stream)) };
    let (host, _) = host_and_port(&address).unwrap_or_default();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    Ok(Stream::Tls(Box::new(tls.connect(name, stream).await?.into())))
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
