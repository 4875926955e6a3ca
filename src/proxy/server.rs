//! The listener: connections in, and their orderly end.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::calls::Calls;
use super::health::Health;
use super::service::Service;
use super::socket::Socket;
use super::statistics::Statistics;
use super::{Backend, Config, connection};
use crate::address::Address;
use crate::os::unix_socket;

/// TCP keepalive after so much silence, for callers whose machine is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    max_message_size: usize,
    statistics: Arc<Statistics>,
    _socket_file: Option<unix_socket::SocketFile>,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every call was answered.
    Clean,
    /// Some connections stayed open though no call was left, and were cut.
    Cut,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        let named = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("centrifuge.proxy_address: cannot listen on {}: {error}", config.address),
            )
        };
        let (listener, file) = match &config.address {
            Address::Tcp(address) => {
                (Listener::Tcp(TcpListener::bind(Address::bindable(address)).await.map_err(named)?), None)
            }
            Address::Unix(path) => {
                let (listener, file) = unix_socket::bind(path).await.map_err(named)?;
                (Listener::Unix(listener), Some(file))
            }
        };
        Ok(Self {
            listener,
            max_message_size: config.max_message_size,
            statistics: Arc::default(),
            _socket_file: file,
        })
    }

    /// Where it listens: `host:port`, or the path of the socket.
    pub fn local_address(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Listener::Unix(listener) => listener
                .local_addr()
                .ok()
                .and_then(|address| address.as_pathname().map(|path| path.display().to_string()))
                .unwrap_or_default(),
        }
    }

    /// How long its calls take.
    pub fn statistics(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics)
    }

    /// Serves until `shutdown` resolves: then no new connection is taken, a new call on an old one is UNAVAILABLE, and the calls in
    /// flight, those that wait for a worker included, are finished. `serving` is what the health service says.
    pub async fn run<B: Backend>(
        self,
        backend: B,
        serving: watch::Receiver<bool>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Stopped {
        let calls = Arc::new(Calls::default());
        let service = Arc::new(Service {
            backend,
            health: Health { serving },
            calls: Arc::clone(&calls),
            statistics: self.statistics,
            max_message_size: self.max_message_size,
        });
        let goodbye = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                socket = accept(&self.listener) => {
                    connections.spawn(connection::serve(socket, Arc::clone(&service), goodbye.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.listener);
        calls.close();
        goodbye.cancel();
        tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => Stopped::Clean,
            () = calls.finished() => Stopped::Cut,
        }
    }
}

/// Accepts a connection, however long it takes: an error, of a connection or of the system, ends neither the listener nor the server.
async fn accept(listener: &Listener) -> Socket {
    loop {
        let accepted = match listener {
            Listener::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                // Without it an answer can wait 40 ms for an acknowledgement.
                stream.set_nodelay(true)?;
                let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                Ok(Socket::Tcp(stream))
            }),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Socket::Unix(stream)),
        };
        match accepted {
            Ok(stream) => return stream,
            Err(error) => {
                // Out of descriptors, most likely: accepting at once again would spin.
                warn!(target: "centrifuge", %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}
