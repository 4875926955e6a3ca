//! The listener: connections in, and their orderly end.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::calls::Calls;
use super::health::Health;
use super::service::Service;
use super::statistics::Statistics;
use super::{Backend, Config};
use crate::address::Address;
use crate::os::unix_socket;

/// Calls at the same time on one connection. Centrifugo has one connection for all its calls.
const MAX_CONCURRENT_STREAMS: u32 = 100_000;

/// HTTP/2 PING after so much silence; a peer that does not answer within the next constant is gone.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of a message may be under way, per call and per connection, before the receiver has to acknowledge it. HTTP/2's own 64 KiB
/// cost a round trip for each 64 KiB of a large message.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Metadata of one call. HTTP/2 has no limit of its own; this is ample for cookies.
const MAX_HEADERS: u32 = 1 << 20;

/// Calls that a peer may cancel, or that may fail, at once before HTTP/2's protection against floods ends the connection, with all the
/// other calls on it. The peer is Centrifugo, whose deadlines end many calls at once when workers are slow.
const MAX_RESETS: usize = 100_000;

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    socket: Socket,
    max_message_size: usize,
    statistics: Arc<Statistics>,
    _socket_file: Option<unix_socket::SocketFile>,
}

#[derive(Debug)]
enum Socket {
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
        let (socket, file) = match &config.address {
            Address::Tcp(address) => {
                (Socket::Tcp(TcpListener::bind(Address::bindable(address)).await.map_err(named)?), None)
            }
            Address::Unix(path) => {
                let (listener, file) = unix_socket::bind(path).await.map_err(named)?;
                (Socket::Unix(listener), Some(file))
            }
        };
        Ok(Self {
            socket,
            max_message_size: config.max_message_size,
            statistics: Arc::default(),
            _socket_file: file,
        })
    }

    /// Where it listens: `host:port`, or the path of the socket.
    pub fn local_address(&self) -> String {
        match &self.socket {
            Socket::Tcp(listener) => {
                listener.local_addr().map(|address| address.to_string()).unwrap_or_default()
            }
            Socket::Unix(listener) => listener
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
        let http = http();
        let goodbye = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                stream = accept(&self.socket) => {
                    let service = Arc::clone(&service);
                    let answer = service_fn(move |request| {
                        let service = Arc::clone(&service);
                        // The clock starts when the call arrives.
                        let arrived = Instant::now();
                        async move { Ok::<_, Infallible>(service.answer(request, arrived).await) }
                    });
                    let connection = Connection { stream, calls: Arc::clone(&calls), gathering: false };
                    let connection = goodbye.watch(http.serve_connection(TokioIo::new(connection), answer));
                    connections.spawn(async move {
                        if let Err(error) = connection.await {
                            debug!(target: "centrifuge", %error, "a connection has ended with an error");
                        }
                    });
                }
                Some(_) = connections.join_next() => {}
            }
        }
        drop(self.socket);
        calls.close();
        tokio::select! {
            () = goodbye.shutdown() => Stopped::Clean,
            () = calls.finished() => Stopped::Cut,
        }
    }
}

/// HTTP/2 as it is spoken with Centrifugo.
fn http() -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        // Like grpc-go, whose answers have no date.
        .auto_date_header(false)
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_header_list_size(MAX_HEADERS)
        .max_pending_accept_reset_streams(MAX_RESETS)
        .max_local_error_reset_streams(MAX_RESETS);
    http
}

/// Accepts a connection, however long it takes: an error, of a connection or of the system, ends neither the listener nor the server.
async fn accept(socket: &Socket) -> Stream {
    loop {
        let accepted = match socket {
            Socket::Tcp(listener) => listener.accept().await.and_then(|(stream, _)| {
                // Without it an answer can wait 40 ms for an acknowledgement.
                stream.set_nodelay(true)?;
                let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
                socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                Ok(Stream::Tcp(stream))
            }),
            Socket::Unix(listener) => listener.accept().await.map(|(stream, _)| Stream::Unix(stream)),
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

/// An accepted connection.
///
/// A write costs more than anything else that a call needs. So while other calls are in flight, a small write waits until the tasks that
/// are ready have run: what they have to say goes out with it.
#[derive(Debug)]
struct Connection {
    stream: Stream,
    calls: Arc<Calls>,
    /// The write in hand has waited.
    gathering: bool,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Writes from this size on are worth it as they are.
const LARGE_WRITE: usize = 8 * 1024;

impl Connection {
    /// Whether a write of so many bytes should wait; it is woken at once, behind all others.
    fn gather(&mut self, bytes: usize, cx: &Context<'_>) -> bool {
        self.gathering = !self.gathering && bytes < LARGE_WRITE && self.calls.in_flight();
        if self.gathering {
            cx.waker().wake_by_ref();
        }
        self.gathering
    }
}

macro_rules! delegate {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match &mut $self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.gather(buf.len(), cx) {
            return Poll::Pending;
        }
        delegate!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.gather(bufs.iter().map(|buf| buf.len()).sum(), cx) {
            return Poll::Pending;
        }
        delegate!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown, cx)
    }
}
