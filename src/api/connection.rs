//! The one HTTP/2 connection to Centrifugo: opened by the first call, checked after silence, replaced when it is gone.
//!
//! ```text
//!               ┌── open, active lately ────────────────────────────────▶ use it
//!  get ─▶ is it ┼── open, but silent for DOUBT ─▶ PING ── answered ─────▶ use it
//!               └── closed, or never opened     └──────── no answer ──┐
//!                        └────────────────────────────────────────────┴─▶ dial, use the new one
//! ```
//!
//! The first path is the usual one and takes no lock. On the others callers queue, so that one of them dials or pings and the rest find
//! the result. If its deadline passes meanwhile, the next one goes on.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Ping, PingPong};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::AbortHandle;
use tokio::time::timeout;
use tracing::debug;

use super::tls::Identity;
use super::{Config, Error, SetupError};
use crate::net::{Coalesce, dial};

/// A connection that was silent for this long is pinged before it is used. It is no shorter, since Centrifugo disconnects clients that
/// ping often and call seldom.
const DOUBT: Duration = Duration::from_secs(5);

/// How long the answer to a ping may take.
const PONG: Duration = Duration::from_secs(1);

/// Flow-control windows in bytes, for one answer and for all of them.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// The connection that all calls share.
#[derive(Debug)]
pub(super) struct Connections {
    address: String,
    tls: Option<Identity>,
    current: Mutex<Option<Connection>>,
    queue: tokio::sync::Mutex<()>,
}

impl Connections {
    pub(super) fn new(config: &Config) -> Result<Self, SetupError> {
        let address = config.address.clone();
        let wrong = || SetupError::Address(address.clone());
        let authority: http::uri::Authority = address.parse().map_err(|_| wrong())?;
        authority.port_u16().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let tls = config.tls.as_ref().map(|tls| Identity::new(tls, host)).transpose()?;
        Ok(Self { address, tls, current: Mutex::new(None), queue: tokio::sync::Mutex::new(()) })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Returns a connection that works, as far as can be known.
    pub(super) async fn get(&self) -> Result<Connection, Error> {
        if let Some(connection) = self.current().filter(Connection::is_trusted) {
            return Ok(connection);
        }
        let _turn = self.queue.lock().await;
        if let Some(connection) = self.current()
            && (connection.is_trusted() || connection.answers().await)
        {
            return Ok(connection);
        }
        self.set(None);
        let connection = self.open().await?;
        self.set(Some(connection.clone()));
        debug!(target: "centrifuge", address = self.address, "connected to Centrifugo's API");
        Ok(connection)
    }

    fn current(&self) -> Option<Connection> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, connection: Option<Connection>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = connection;
    }

    async fn open(&self) -> Result<Connection, Error> {
        let unreachable = |cause: io::Error| Error::dial(&self.address, &cause);
        let stream = dial::tcp(&self.address).await.map_err(unreachable)?;
        match &self.tls {
            None => self.speak(stream).await,
            Some(Identity { connector, server_name }) => {
                let connecting = connector.connect(server_name.clone(), stream);
                let stream = connecting.await.map_err(|cause| Error::handshake(&cause))?;
                self.speak(stream).await
            }
        }
    }

    async fn speak<S>(&self, stream: S) -> Result<Connection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut builder = h2::client::Builder::new();
        builder
            .enable_push(false)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            // Many calls may run out of time at once, which is no reason to disconnect.
            .max_local_error_reset_streams(None);
        let broken = |cause: h2::Error| Error::broken(&self.address, &cause);
        let calls = Arc::new(AtomicUsize::new(0));
        let others = Arc::clone(&calls);
        let stream = Coalesce::new(stream, move || others.load(Ordering::Relaxed) > 1);
        let (sender, mut connection) = builder.handshake(stream).await.map_err(broken)?;
        let ping = connection.ping_pong();
        let address = self.address.clone();
        let driver = tokio::spawn(async move {
            let end = connection.await;
            let error = end.err().map(tracing::field::display);
            debug!(target: "centrifuge", address, error, "disconnected from Centrifugo's API");
        });
        let life = Life { opened: Instant::now(), heard: AtomicU64::new(0), driver: driver.abort_handle() };
        let ping = Arc::new(tokio::sync::Mutex::new(ping));
        Ok(Connection { sender, life: Arc::new(life), calls, ping })
    }
}

/// A connection. Clones are the same one, which closes when all are dropped and no call is open.
#[derive(Clone)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    life: Arc<Life>,
    /// Calls in flight.
    calls: Arc<AtomicUsize>,
    ping: Arc<tokio::sync::Mutex<Option<PingPong>>>,
}

#[derive(Debug)]
struct Life {
    opened: Instant,
    /// When the last bytes arrived, in milliseconds after `opened`; [`RETIRED`] if calls should go elsewhere.
    heard: AtomicU64,
    /// The task that reads and writes.
    driver: AbortHandle,
}

const RETIRED: u64 = u64::MAX;

impl Connection {
    /// Begins a call, which ends when it is dropped, and returns what opens its stream.
    pub(super) fn begin(&self) -> (SendRequest<Bytes>, CallGuard<'_>) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        (self.sender.clone(), CallGuard(&self.calls))
    }

    /// Bytes arrived on this connection just now.
    pub(super) fn hear(&self) {
        // A retired connection stays retired.
        let now = self.life.now();
        let _ = self
            .life
            .heard
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |heard| (heard < now).then_some(now));
    }

    /// Takes no more calls; open ones may finish.
    pub(super) fn retire(&self) {
        self.life.heard.store(RETIRED, Ordering::Relaxed);
    }

    fn is_trusted(&self) -> bool {
        let heard = self.life.heard.load(Ordering::Relaxed);
        let silent = Duration::from_millis(self.life.now().saturating_sub(heard));
        self.is_open() && silent < DOUBT
    }

    fn is_open(&self) -> bool {
        self.life.heard.load(Ordering::Relaxed) != RETIRED && !self.life.driver.is_finished()
    }

    /// Whether the server is still there. If not, the calls that wait for it fail at once.
    async fn answers(&self) -> bool {
        if !self.is_open() {
            return false;
        }
        let mut ping = self.ping.lock().await;
        let Some(ping) = ping.as_mut() else { return true };
        let answered = matches!(timeout(PONG, ping.ping(Ping::opaque())).await, Ok(Ok(_)));
        if answered {
            self.hear();
        } else {
            self.life.driver.abort();
        }
        answered
    }
}

/// Counts a call in flight while it is held.
#[must_use]
pub(super) struct CallGuard<'a>(&'a AtomicUsize);

impl Drop for CallGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Life {
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(RETIRED - 1)
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("life", &self.life).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn connections(listener: &TcpListener) -> Connections {
        let address = listener.local_addr().unwrap().to_string();
        Connections::new(&Config { address, ..Config::default() }).unwrap()
    }

    /// The same connection after a long silence.
    fn aged(connection: &Connection) -> Connection {
        let opened = Instant::now().checked_sub(2 * DOUBT).unwrap();
        let driver = connection.life.driver.clone();
        let life = Arc::new(Life { opened, heard: AtomicU64::new(0), driver });
        Connection { life, ..connection.clone() }
    }

    #[tokio::test]
    async fn a_connection_whose_server_has_vanished_is_replaced_before_it_takes_a_call() {
        // The kernel accepts, and no answer ever comes.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connections = connections(&listener);
        let first = connections.get().await.unwrap();
        let again = connections.get().await.unwrap();
        assert!(Arc::ptr_eq(&first.life, &again.life), "a young connection is trusted");
        let old = aged(&first);
        connections.set(Some(old.clone()));
        let second = connections.get().await.unwrap();
        assert!(!Arc::ptr_eq(&second.life, &old.life));
    }

    #[tokio::test]
    async fn a_silent_connection_that_answers_a_ping_is_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connections = connections(&listener);
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut server = h2::server::handshake(stream).await.unwrap();
            server.accept().await.is_none()
        });
        let old = aged(&connections.get().await.unwrap());
        connections.set(Some(old.clone()));
        let kept = connections.get().await.unwrap();
        assert!(Arc::ptr_eq(&kept.life, &old.life) && kept.is_trusted());
        kept.retire();
        kept.hear();
        assert!(!kept.is_trusted(), "a retired connection stays retired");
        server.abort();
    }
}
