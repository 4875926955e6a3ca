//! Where workers connect: accepts, asks each connection for its pid, and hands it to whoever expects that process.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::Relay;
use crate::goridge::{Decoder, Item, Reply, classify, pid_request};
use crate::os::{proc_fs, unix_socket};

/// Connections that may be in their handshake at one time. Each costs a descriptor and a small task; past this, new ones wait in the
/// kernel's backlog until an earlier one has shown its pid or missed its deadline.
const HANDSHAKES: usize = 1024;

/// The longest answer to a handshake in bytes. `{"pid":4194304}` is what workers send.
const MAX_PID_ANSWER: usize = 4096;

/// Accepts the workers' connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: String,
    registry: Arc<Registry>,
    accepting: JoinHandle<()>,
    _socket_file: Option<unix_socket::SocketFile>,
}

impl Listener {
    /// Listens on `host:port`; port 0 is any free one. A connection has `patience` to show its pid.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(crate) async fn tcp(address: &str, patience: Duration) -> io::Result<Self> {
        let host = if address.starts_with(':') { format!("0.0.0.0{address}") } else { address.to_owned() };
        let listener = TcpListener::bind(&host).await?;
        let told = match address.rsplit_once(':') {
            Some((host, "0")) => format!("tcp://{host}:{}", listener.local_addr()?.port()),
            _ => format!("tcp://{address}"),
        };
        Ok(Self::start(Socket::Tcp(listener), told, None, patience))
    }

    /// Listens on a unix socket. A connection has `patience` to show its pid.
    ///
    /// # Errors
    /// When the path cannot be bound, or somebody listens on it.
    pub(crate) async fn unix(path: &Path, patience: Duration) -> io::Result<Self> {
        let (listener, file) = unix_socket::bind(path).await?;
        Ok(Self::start(Socket::Unix(listener), format!("unix://{}", path.display()), Some(file), patience))
    }

    fn start(
        socket: Socket,
        address: String,
        socket_file: Option<unix_socket::SocketFile>,
        patience: Duration,
    ) -> Self {
        let registry = Arc::new(Registry::default());
        let accepting = tokio::spawn(accept(socket, Arc::clone(&registry), patience));
        Self { address, registry, accepting, _socket_file: socket_file }
    }

    /// What workers are told in `RR_RELAY`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the connection of the process `pid` or of a descendant of it.
    pub(crate) fn expect(&self, pid: u32) -> Expected {
        let (sender, receiver) = oneshot::channel();
        let mut children = self.registry.lock();
        children.connected.remove(&pid);
        children.expected.insert(pid, sender);
        drop(children);
        self.registry.changed.notify_waiters();
        Expected { pid, receiver, registry: Arc::clone(&self.registry) }
    }

    /// Accepts nobody any more, and hangs up on those who have not shown their pid.
    pub(crate) fn close(&self) {
        self.accepting.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
    }
}

/// A connection to come: resolves to the relay and to the pid that the worker gave.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Expected {
    pid: u32,
    receiver: oneshot::Receiver<(Relay, u32)>,
    registry: Arc<Registry>,
}

impl Future for Expected {
    type Output = io::Result<(Relay, u32)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map_err(|_| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.registry.lock().expected.remove(&self.pid);
    }
}

/// The processes that were started.
#[derive(Debug, Default)]
struct Registry {
    children: Mutex<Children>,
    /// Somebody is expected or has connected. A worker can connect before it is expected, and twice.
    changed: Notify,
}

/// By the pid of the spawned process.
#[derive(Debug, Default)]
struct Children {
    expected: HashMap<u32, oneshot::Sender<(Relay, u32)>>,
    /// Those whose connection has been handed on, as long as they live.
    connected: HashSet<u32>,
}

/// What a connection that has shown its pid is to its process.
enum Claim {
    /// The one that is waited for.
    First(oneshot::Sender<(Relay, u32)>),
    /// One too many.
    Second,
    /// Its process is not expected, or not yet.
    Unknown,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place that waits for `pid` or for an ancestor of it.
    fn take(&self, pid: u32) -> Claim {
        let lineage = proc_fs::lineage(pid);
        let mut children = self.lock();
        match lineage.iter().find_map(|child| children.expected.remove_entry(child)) {
            Some((child, place)) => {
                children.connected.retain(|child| proc_fs::parent_and_group(*child).is_some());
                children.connected.insert(child);
                drop(children);
                self.changed.notify_waiters();
                Claim::First(place)
            }
            None if children.have_connected(&lineage) => Claim::Second,
            None => Claim::Unknown,
        }
    }

    /// Like [`Registry::take`], for a worker that may be ahead of its own registration. `None` when it is connected already.
    async fn claim(&self, pid: u32) -> Option<oneshot::Sender<(Relay, u32)>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Armed before the look, so that a registration in between is not missed.
            changed.as_mut().enable();
            match self.take(pid) {
                Claim::First(place) => return Some(place),
                Claim::Second => return None,
                Claim::Unknown => changed.await,
            }
        }
    }

    /// Resolves when the process `pid`, or an ancestor of it, has connected: whatever else it opened is one too many.
    async fn has_connected(&self, pid: u32) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let lineage = proc_fs::lineage(pid);
            if self.lock().have_connected(&lineage) {
                return;
            }
            changed.await;
        }
    }
}

impl Children {
    fn have_connected(&self, lineage: &[u32]) -> bool {
        lineage.iter().any(|child| self.connected.contains(child))
    }
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Who connected, for the log, and its pid where the kernel knows it.
struct Peer {
    name: String,
    pid: Option<u32>,
}

impl Socket {
    async fn accept(&self) -> io::Result<(Relay, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                // Without it an answer can wait 40 ms for an acknowledgement.
                stream.set_nodelay(true)?;
                Ok((Relay::Tcp(stream), Peer { name: address.to_string(), pid: None }))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let pid = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok());
                let name = pid.map_or_else(|| "an unknown process".into(), |pid| format!("process {pid}"));
                Ok((Relay::Unix(stream), Peer { name, pid }))
            }
        }
    }
}

async fn accept(socket: Socket, registry: Arc<Registry>, patience: Duration) {
    let places = Arc::new(Semaphore::new(HANDSHAKES));
    // The handshakes end with the listener.
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match socket.accept().await {
            Ok((relay, peer)) => {
                let registry = Arc::clone(&registry);
                handshakes.spawn(async move {
                    let _place = place;
                    receive(relay, peer, &registry, patience).await;
                });
            }
            Err(error) => {
                // Out of descriptors, most likely: accepting at once again would spin.
                warn!(target: "server", %error, "cannot accept a connection on the relay");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        while handshakes.try_join_next().is_some() {}
    }
}

/// Takes one connection from its first byte to the worker that it belongs to, or to its end.
async fn receive(mut relay: Relay, peer: Peer, registry: &Registry, patience: Duration) {
    let dropped = match tokio::time::timeout(patience, admit(&mut relay, &peer, registry)).await {
        Ok(Ok((place, pid))) => {
            debug!(target: "server", pid, peer = %peer.name, "a worker connected to the relay");
            // The boot that expected it may have given up meanwhile; then the connection ends here.
            let _ = place.send((relay, pid));
            return;
        }
        Ok(Err(reason)) => reason,
        Err(_) => format!("it did not show the pid of an expected worker within {patience:?}"),
    };
    warn!(target: "server", peer = %peer.name, reason = %dropped, "dropped a connection to the relay");
}

/// Asks for the pid, and finds who waits for it; or says why the connection is to be dropped.
async fn admit(
    relay: &mut Relay,
    peer: &Peer,
    registry: &Registry,
) -> Result<(oneshot::Sender<(Relay, u32)>, u32), String> {
    let connected = |pid: u32| format!("process {pid} has connected already");
    let pid = match peer.pid {
        // Who is known beforehand need not be waited for once it is served.
        Some(real) => tokio::select! {
            biased;
            pid = ask_pid(relay) => pid?,
            () = registry.has_connected(real) => return Err(connected(real)),
        },
        None => ask_pid(relay).await?,
    };
    if peer.pid.is_some_and(|real| real != pid && !proc_fs::belongs_to(real, pid)) {
        return Err(format!("it says that it is process {pid}, which it is not"));
    }
    let place = registry.claim(pid).await.ok_or_else(|| connected(pid))?;
    Ok((place, pid))
}

/// Sends our pid and reads the other side's.
async fn ask_pid(relay: &mut Relay) -> Result<u32, String> {
    relay.write_all(&pid_request(std::process::id())).await.map_err(|error| error.to_string())?;
    let mut decoder = Decoder::strict(MAX_PID_ANSWER);
    let mut buffer = BytesMut::with_capacity(64);
    loop {
        match decoder.decode(&mut buffer).map_err(|violation| format!("it sent no frame: {violation}"))? {
            Some(Item::Frame(frame)) => {
                return match classify(frame) {
                    Ok(Reply::Pid(pid)) => Ok(pid),
                    _ => Err("its first frame is not a pid".into()),
                };
            }
            Some(Item::Noise(_)) => return Err("it sent no frame".into()),
            None => {}
        }
        match relay.read_buf(&mut buffer).await {
            Ok(0) => return Err("it hung up".into()),
            Ok(_) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
}
