//! Accepts the connections of workers, asks each for its pid, and hands it to the boot that expects this process.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Mutex as AsyncMutex, Notify, oneshot};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::rejection::Rejection;
use super::trust::Trust;
use super::{Relay, RelayAddress};
use crate::goridge::{Decoder, Greeting, Item, greeting, pid_request};
use crate::net::{
    self, Accepted, Address, Attributes, EvictionGuard, Incident, Limit, LimitSettings, Options, Peer,
    Registration, SocketSettings,
};
use crate::os::children;
use crate::os::process::Identity;

/// Connections in their handshake at a time. Each costs a descriptor and a small task. None of them counts as having sent anything before it
/// is a worker's, so beyond this number the oldest is evicted for a new one, however much it sends; but not those that are protected.
const HANDSHAKES: Limit = Limit { at_most: 1024, one_of: 16, per_address: false };

/// Dropped connections are logged one by one up to this number, then counted, until none has been dropped for this time.
const LOGGED: u64 = 20;
const QUIET: Duration = Duration::from_secs(10);

/// The longest answer to a handshake in bytes. Workers send `{"pid":4194304}`, those of our packages also a secret of 32 characters.
const MAX_PID_ANSWER: usize = 4096;

/// The relays of all pools: pools that name the same address share one listener.
#[derive(Debug, Clone, Default)]
pub struct Relays {
    known: Arc<AsyncMutex<Vec<Known>>>,
    has_predecessor: bool,
}

/// An address, and its listener as long as a pool uses it.
type Known = (Address, Weak<Accepting>);

impl Relays {
    /// Relays of a server that may take over from another one, which needs its own until then: each listens beside the configured address if
    /// that is in use.
    pub fn new(has_predecessor: bool) -> Self {
        Self { known: Arc::default(), has_predecessor }
    }

    /// Listens, unless the relay is pipes. A connection has to send its pid within `patience`. The file of a unix socket belongs to `workers`,
    /// the user that workers run as, if that is not ours and `socket` says nothing else.
    ///
    /// # Errors
    /// If the address cannot be bound; the message names it, and the setting `key`.
    pub(crate) async fn listener(
        &self,
        key: &str,
        relay: &RelayAddress,
        socket: SocketSettings,
        workers: Option<&Identity>,
        patience: Duration,
    ) -> io::Result<Option<Listener>> {
        let Some(address) = relay.listener() else { return Ok(None) };
        let mut known = self.known.lock().await;
        known.retain(|(_, accepting)| accepting.strong_count() > 0);
        let open = known.iter().find(|(known, _)| *known == address).and_then(|(_, open)| open.upgrade());
        if let Some(open) = open {
            open.registry.allow(patience);
            return Ok(Some(Listener::of(open)));
        }
        let open = match Accepting::bind(key, &address, socket, workers, patience).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.has_predecessor => {
                Accepting::bind(key, &beside(&address), socket, workers, patience).await?
            }
            bound => bound?,
        };
        known.push((address, Arc::downgrade(&open)));
        Ok(Some(Listener::of(open)))
    }
}

/// Another address of the same kind: workers read theirs from `RR_RELAY`.
fn beside(address: &Address) -> Address {
    match address {
        Address::Tcp(host_and_port) => {
            let host = host_and_port.rsplit_once(':').map_or("", |(host, _)| host);
            Address::Tcp(format!("{host}:0"))
        }
        Address::Unix(path) => {
            let mut path = path.clone().into_os_string();
            path.push(format!(".{}", std::process::id()));
            Address::Unix(path.into())
        }
    }
}

/// A pool's share of a listener. It accepts connections of workers until all shares are closed or dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: String,
    registry: Arc<Registry>,
    accepting: Mutex<Option<Arc<Accepting>>>,
}

/// An open listener; it is closed when this is dropped.
#[derive(Debug)]
struct Accepting {
    address: String,
    registry: Arc<Registry>,
    task: JoinHandle<()>,
}

impl Accepting {
    async fn bind(
        key: &str,
        address: &Address,
        socket: SocketSettings,
        workers: Option<&Identity>,
        patience: Duration,
    ) -> io::Result<Arc<Self>> {
        let (uid, gid) = workers.map(Identity::owner).unwrap_or_default();
        let mode = if gid.is_some() { 0o660 } else { 0o600 };
        let listener = net::Listener::bind(Options {
            key,
            sockets: None,
            address,
            attributes: socket.over(Attributes { mode, uid, gid }),
            allow: &[],
            limit: HANDSHAKES,
            // What an operator limits are strangers; how many workers start at a time, and how long they may take, is set for each pool.
            settings: LimitSettings::default(),
            tls: None,
        })
        .await?;
        let address = listener.address().absolute().to_string();
        let registry = Arc::new(Registry {
            trust: Trust::new(),
            patience: AtomicU64::new(0),
            children: Mutex::default(),
            dropped: Mutex::new(Incident::new(QUIET).with_burst(LOGGED)),
            changed: Notify::new(),
        });
        registry.allow(patience);
        let task = tokio::spawn(accept(listener, Arc::clone(&registry)));
        Ok(Arc::new(Self { address, registry, task }))
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listener {
    fn of(open: Arc<Accepting>) -> Self {
        let (address, registry) = (open.address.clone(), Arc::clone(&open.registry));
        Self { address, registry, accepting: Mutex::new(Some(open)) }
    }

    /// The address for workers, in `RR_RELAY`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The secret for workers, in [`SECRET`](super::SECRET), if they connect over TCP.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.address.starts_with("tcp://").then(|| self.registry.trust.secret())
    }

    /// Waits for the connection of the process `pid` or of a descendant of it.
    pub(crate) fn expect(&self, pid: u32) -> Expected {
        let (sender, receiver) = oneshot::channel();
        let mut children = self.registry.lock();
        children.connected.remove(&pid);
        children.called_off.remove(&pid);
        children.expected.insert(pid, sender);
        drop(children);
        self.registry.changed.notify_waiters();
        Expected { pid, receiver, registry: Arc::clone(&self.registry) }
    }

    /// Gives up this share. The last one stops accepting, and closes the connections that are still in their handshake.
    pub(crate) fn close(&self) {
        drop(self.accepting.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// An expected connection: resolves to the relay and the greeting that the worker has sent.
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub(crate) struct Expected {
    pid: u32,
    receiver: oneshot::Receiver<(Relay, Greeting)>,
    registry: Arc<Registry>,
}

impl Future for Expected {
    type Output = io::Result<(Relay, Greeting)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map_err(|_| io::ErrorKind::NotConnected.into())
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        let mut children = self.registry.lock();
        if children.expected.remove(&self.pid).is_some() {
            children.called_off.retain(|child| children::is_child(*child));
            children.called_off.insert(self.pid);
            drop(children);
            self.registry.changed.notify_waiters();
        }
    }
}

/// The processes that connections may belong to.
#[derive(Debug)]
struct Registry {
    trust: Trust,
    /// How long a handshake may take, in milliseconds.
    patience: AtomicU64,
    children: Mutex<Children>,
    dropped: Mutex<Incident>,
    /// A process is expected, or no longer, or has connected. A worker can connect before it is expected, and twice.
    changed: Notify,
}

/// By pid of the started process.
#[derive(Debug, Default)]
struct Children {
    expected: HashMap<u32, oneshot::Sender<(Relay, Greeting)>>,
    /// Those whose connection has been handed over, while they live.
    connected: HashSet<u32>,
    /// Those that are not expected any more and have not connected, while they live.
    called_off: HashSet<u32>,
    /// Those with a protected connection.
    protected: HashSet<u32>,
}

/// Keeps the connection of a child from being evicted for those of strangers: one connection of each child.
struct Protection<'a> {
    registry: &'a Registry,
    child: u32,
    _guard: EvictionGuard,
}

impl Drop for Protection<'_> {
    fn drop(&mut self) {
        self.registry.lock().protected.remove(&self.child);
    }
}

/// What a connection is to the process whose pid it has sent.
enum Claim {
    /// The expected one.
    First(oneshot::Sender<(Relay, Greeting)>),
    /// One that is not wanted.
    Unwanted(Rejection),
    /// Its process is not expected, or not yet.
    Unknown,
}

impl Registry {
    /// Gives connections at least this time for their handshake.
    fn allow(&self, patience: Duration) {
        let millis = u64::try_from(patience.as_millis()).unwrap_or(u64::MAX);
        self.patience.fetch_max(millis, Relaxed);
    }

    fn patience(&self) -> Duration {
        Duration::from_millis(self.patience.load(Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, Children> {
        self.children.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims the expected connection of the process `pid`, which has this lineage.
    fn take(&self, pid: u32, lineage: &[u32]) -> Claim {
        let mut children = self.lock();
        match lineage.iter().find_map(|child| children.expected.remove_entry(child)) {
            Some((child, sender)) => {
                children.connected.retain(|child| children::is_child(*child));
                children.connected.insert(child);
                drop(children);
                self.changed.notify_waiters();
                Claim::First(sender)
            }
            None => children.rejection(pid, lineage).map_or(Claim::Unknown, Claim::Unwanted),
        }
    }

    /// Like [`Registry::take`], for a worker that may connect before it is expected.
    async fn claim(
        &self,
        pid: u32,
        lineage: &[u32],
    ) -> Result<oneshot::Sender<(Relay, Greeting)>, Rejection> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Armed before the check, so that no change in between is missed.
            changed.as_mut().enable();
            match self.take(pid, lineage) {
                Claim::First(sender) => return Ok(sender),
                Claim::Unwanted(rejection) => return Err(rejection),
                Claim::Unknown => changed.await,
            }
        }
    }

    /// Protects a connection whose process is known to have this lineage.
    fn protect<'a>(&'a self, lineage: &[u32], registration: &Registration) -> Option<Protection<'a>> {
        let child = lineage.iter().copied().find(|process| children::is_child(*process))?;
        let is_first = self.lock().protected.insert(child);
        is_first.then(|| Protection { registry: self, child, _guard: registration.call() })
    }

    /// Resolves once the process `pid`, or an ancestor of it, has connected or is not expected any more: any other connection of it is
    /// unwanted. Until then it is protected.
    async fn unwanted<'a>(
        &'a self,
        pid: u32,
        registration: &Registration,
        protection: &mut Option<Protection<'a>>,
    ) -> Rejection {
        let lineage = self.trust.lineage(pid).await;
        if protection.is_none() {
            *protection = self.protect(&lineage, registration);
        }
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if let Some(rejection) = self.lock().rejection(pid, &lineage) {
                return rejection;
            }
            changed.await;
        }
    }
}

impl Children {
    /// Why a connection of the process `pid`, which has this lineage, is unwanted, if it is.
    fn rejection(&self, pid: u32, lineage: &[u32]) -> Option<Rejection> {
        let is_one_of = |children: &HashSet<u32>| lineage.iter().any(|child| children.contains(child));
        if is_one_of(&self.connected) {
            return Some(Rejection::Second(pid));
        }
        // A process that was called off may be gone, and its pid in use again.
        let is_expected = lineage.iter().any(|child| self.expected.contains_key(child));
        (is_one_of(&self.called_off) && !is_expected).then_some(Rejection::CalledOff(pid))
    }
}

async fn accept(mut listener: net::Listener, registry: Arc<Registry>) {
    // Handshakes end with the listener.
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let registry = Arc::clone(&registry);
                handshakes.spawn(async move {
                    let Accepted { stream, peer, registration, .. } = accepted;
                    let received = receive(Relay::Socket(stream), peer, &registration, &registry);
                    // The listener logs evictions.
                    let _ = registration.until_evicted(received).await;
                });
            }
            Some(_) = handshakes.join_next() => {}
        }
    }
}

/// Takes one connection through its handshake, and hands it to the boot that expects it or drops it.
async fn receive(mut relay: Relay, peer: Peer, registration: &Registration, registry: &Registry) {
    let patience = registry.patience();
    let admitted = admit(&mut relay, peer, registration, registry);
    let reason = match tokio::time::timeout(patience, admitted).await {
        Ok(Ok((boot, greeting))) => {
            debug!(target: "server", pid = greeting.pid, %peer, "worker connected to the relay");
            // The boot may have given up meanwhile; then the connection is closed.
            let _ = boot.send((relay, greeting));
            return;
        }
        Ok(Err(rejection @ Rejection::CalledOff(_))) => {
            debug!(target: "server", %peer, reason = %rejection, "relay connection dropped");
            return;
        }
        Ok(Err(rejection)) => rejection,
        Err(_) => Rejection::Late(patience),
    };
    let due = registry.dropped.lock().unwrap_or_else(PoisonError::into_inner).happened();
    if let Some(times) = due {
        warn!(target: "server", %peer, %reason, dropped = times, "relay connection dropped");
    }
}

/// Asks for the pid, and finds the boot that expects it.
async fn admit(
    relay: &mut Relay,
    peer: Peer,
    registration: &Registration,
    registry: &Registry,
) -> Result<(oneshot::Sender<(Relay, Greeting)>, Greeting), Rejection> {
    let known = match peer {
        Peer::Process(pid) => pid,
        Peer::Address(_) => None,
    };
    // Most workers are children. Whether it is a descendant of one takes longer to find out.
    let mut protection = known.and_then(|real| registry.protect(&[real], registration));
    let greeting = match known {
        // If the process is known, nothing more is expected of it once it is connected.
        Some(real) => tokio::select! {
            biased;
            greeting = ask_pid(relay) => greeting?,
            rejection = registry.unwanted(real, registration, &mut protection) => return Err(rejection),
        },
        None => ask_pid(relay).await?,
    };
    let pid = greeting.pid;
    // Its descendants, which would be searched for the connection, are all there are.
    if pid == std::process::id() {
        return Err(Rejection::NoWorker(pid));
    }
    let lineage = registry.trust.lineage(pid).await;
    // Cheaper than to search among all connections of the machine.
    if let Some(rejection) = registry.lock().rejection(pid, &lineage) {
        return Err(rejection);
    }
    registry.trust.check(&greeting, &lineage, peer, relay.local_address()).await?;
    if protection.is_none() {
        protection = registry.protect(&lineage, registration);
    }
    let boot = registry.claim(pid, &lineage).await?;
    drop(protection);
    Ok((boot, greeting))
}

/// Sends our pid and reads the peer's.
async fn ask_pid(relay: &mut Relay) -> Result<Greeting, Rejection> {
    relay.write_all(&pid_request(std::process::id())).await?;
    let mut decoder = Decoder::strict(MAX_PID_ANSWER);
    let mut buffer = BytesMut::with_capacity(64);
    loop {
        match decoder.decode(&mut buffer)? {
            Some(Item::Frame(frame)) => {
                return greeting(&frame).ok_or(Rejection::NoPid);
            }
            // A strict decoder returns no noise.
            Some(Item::Noise(_)) | None => {}
        }
        if relay.read_buf(&mut buffer).await? == 0 {
            return Err(Rejection::Closed);
        }
    }
}

#[cfg(test)]
mod tests;
