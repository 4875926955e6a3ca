//! Where workers connect: accepts, asks each connection for its pid, and hands it to whoever expects that process.

use std::collections::{HashMap, HashSet};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinHandle;
use tracing::{debug, warn};

use super::trust::Trust;
use super::{Relay, RelayAddress};
use crate::goridge::{Decoder, Greeting, Item, greeting, pid_request};
use crate::net::{self, Accepted, Address, Attributes, Incident, Limit, Options, Peer};
use crate::os::family;
use crate::os::process::Identity;

/// Connections that may be in their handshake at one time. Each costs a descriptor and a small task. None of them counts as having said
/// anything before it is a worker's, so past this the oldest has to go for a new one, however much it sends.
const HANDSHAKES: Limit = Limit { at_most: 1024, one_of: 16 };

/// Connections that are dropped are logged one by one up to so many, then counted, until none was dropped for so long.
const LOGGED: u64 = 20;
const QUIET: Duration = Duration::from_secs(10);

/// The longest answer to a handshake in bytes. `{"pid":4194304}` is what workers send, and ours a secret of 32 characters with it.
const MAX_PID_ANSWER: usize = 4096;

/// Accepts the workers' connections until it is dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    address: String,
    registry: Arc<Registry>,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Listens, unless workers are talked to over pipes. A connection has `patience` to show its pid. The file of a unix socket belongs to
    /// `workers`, the user that workers run as, if that is another.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub(crate) async fn bind(
        relay: &RelayAddress,
        workers: Option<&Identity>,
        patience: Duration,
    ) -> io::Result<Option<Self>> {
        let address = match relay {
            RelayAddress::Pipes => return Ok(None),
            RelayAddress::Tcp(address) => Address::Tcp(address.clone()),
            RelayAddress::Unix(path) => Address::Unix(path.clone()),
        };
        let (uid, gid) = workers.map(Identity::owner).unwrap_or_default();
        let mode = if gid.is_some() { 0o660 } else { 0o600 };
        let listener = net::Listener::bind(Options {
            key: "server.relay",
            address: &address,
            attributes: Attributes { mode, uid, gid },
            allow: &[],
            limit: HANDSHAKES,
        })
        .await?;
        let address = listener.address().to_string();
        let registry = Arc::new(Registry {
            trust: Trust::new(),
            children: Mutex::default(),
            dropped: Mutex::new(Incident::new(QUIET).with_burst(LOGGED)),
            changed: Notify::new(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&registry), patience));
        Ok(Some(Self { address, registry, accepting }))
    }

    /// What workers are told in `RR_RELAY`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// What workers are told in [`super::trust::SECRET`], if they connect over tcp.
    pub(crate) fn secret(&self) -> Option<&str> {
        self.address.starts_with("tcp://").then(|| self.registry.trust.secret())
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
#[derive(Debug)]
struct Registry {
    trust: Trust,
    children: Mutex<Children>,
    dropped: Mutex<Incident>,
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

    /// Takes the place that waits for a process of this lineage.
    fn take(&self, lineage: &[u32]) -> Claim {
        let mut children = self.lock();
        match lineage.iter().find_map(|child| children.expected.remove_entry(child)) {
            Some((child, place)) => {
                children.connected.retain(|child| family::is_child(*child));
                children.connected.insert(child);
                drop(children);
                self.changed.notify_waiters();
                Claim::First(place)
            }
            None if children.have_connected(lineage) => Claim::Second,
            None => Claim::Unknown,
        }
    }

    /// Like [`Registry::take`], for a worker that may be ahead of its own registration. `None` when it is connected already.
    async fn claim(&self, lineage: &[u32]) -> Option<oneshot::Sender<(Relay, u32)>> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Armed before the look, so that a registration in between is not missed.
            changed.as_mut().enable();
            match self.take(lineage) {
                Claim::First(place) => return Some(place),
                Claim::Second => return None,
                Claim::Unknown => changed.await,
            }
        }
    }

    /// Resolves when the process `pid`, or an ancestor of it, has connected: whatever else it opened is one too many.
    async fn has_connected(&self, pid: u32) {
        let lineage = self.trust.lineage(pid).await;
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
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

async fn accept(mut listener: net::Listener, registry: Arc<Registry>, patience: Duration) {
    // The handshakes end with the listener.
    let mut handshakes = tokio::task::JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let registry = Arc::clone(&registry);
                handshakes.spawn(async move {
                    let Accepted { stream, peer, registration } = accepted;
                    let received = receive(Relay::Socket(stream), peer, &registry, patience);
                    // The listener tells of those that had to go.
                    let _ = registration.until_evicted(received).await;
                });
            }
            Some(_) = handshakes.join_next() => {}
        }
    }
}

/// Takes one connection from its first byte to the worker that it belongs to, or to its end.
async fn receive(mut relay: Relay, peer: Peer, registry: &Registry, patience: Duration) {
    let dropped = match tokio::time::timeout(patience, admit(&mut relay, peer, registry)).await {
        Ok(Ok((place, pid))) => {
            debug!(target: "server", pid, %peer, "a worker connected to the relay");
            // The boot that expected it may have given up meanwhile; then the connection ends here.
            let _ = place.send((relay, pid));
            return;
        }
        Ok(Err(reason)) => reason,
        Err(_) => format!("it did not show the pid of an expected worker within {patience:?}"),
    };
    let due = registry.dropped.lock().unwrap_or_else(PoisonError::into_inner).happened();
    if let Some(times) = due {
        warn!(target: "server", %peer, reason = %dropped, dropped = times, "dropped a connection to the relay");
    }
}

/// Asks for the pid, and finds who waits for it; or says why the connection is to be dropped.
async fn admit(
    relay: &mut Relay,
    peer: Peer,
    registry: &Registry,
) -> Result<(oneshot::Sender<(Relay, u32)>, u32), String> {
    let connected = |pid: u32| format!("process {pid} has connected already");
    let known = match peer {
        Peer::Process(pid) => pid,
        Peer::Address(_) => None,
    };
    let greeting = match known {
        // Who is known beforehand need not be waited for once it is served.
        Some(real) => tokio::select! {
            biased;
            greeting = ask_pid(relay) => greeting?,
            () = registry.has_connected(real) => return Err(connected(real)),
        },
        None => ask_pid(relay).await?,
    };
    let pid = greeting.pid;
    let lineage = registry.trust.lineage(pid).await;
    // Who has connected is not looked for among all connections of the machine.
    if registry.lock().have_connected(&lineage) {
        return Err(connected(pid));
    }
    registry.trust.examine(&greeting, &lineage, peer, relay.local_address()).await?;
    let place = registry.claim(&lineage).await.ok_or_else(|| connected(pid))?;
    Ok((place, pid))
}

/// Sends our pid and reads the other side's.
async fn ask_pid(relay: &mut Relay) -> Result<Greeting, String> {
    relay.write_all(&pid_request(std::process::id())).await.map_err(|error| error.to_string())?;
    let mut decoder = Decoder::strict(MAX_PID_ANSWER);
    let mut buffer = BytesMut::with_capacity(64);
    loop {
        match decoder.decode(&mut buffer).map_err(|violation| format!("it sent no frame: {violation}"))? {
            Some(Item::Frame(frame)) => {
                return greeting(&frame).ok_or_else(|| "its first frame is not a pid".into());
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
