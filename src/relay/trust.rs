//! Whether a connection belongs to the worker whose pid it sends.
//!
//! A pid is no secret: a peer that sends the pid of a worker which is about to connect could take its place and read its requests. So the
//! kernel is asked: on a unix socket, which process has connected; over TCP from this machine, which process holds the other end. It must be
//! the one with that pid, or a descendant. From another machine, or if the kernel does not say, a worker proves itself by the secret in its
//! environment, which our packages send. Workers for RoadRunner know no secret, so connections without one are accepted there as well, as
//! by RoadRunner, until a worker has sent the secret.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Semaphore;

use super::rejection::Rejection;
use crate::goridge::Greeting;
use crate::net::Peer;
use crate::os::peer::{self, Ends};
use crate::os::{children, proc_fs, random};
use crate::single_flight::SingleFlight;

/// How often a connection that must exist is searched for: the kernel can skip a line while others come and go.
const SEARCHES: usize = 3;

/// Connections that are checked in `/proc` at a time, each on a thread of its own for some milliseconds; others wait.
const CHECKS: usize = 2;

/// How connections are checked.
#[derive(Debug)]
pub(super) struct Trust {
    secret: String,
    /// Whether a worker has sent the secret.
    is_known: AtomicBool,
    checks: Arc<Semaphore>,
    /// The kernel's table of connections: read once for all peers that wait for it. `None` if the kernel does not show it.
    ends: SingleFlight<Option<Ends>>,
}

impl Trust {
    /// Creates a new secret.
    pub(super) fn new() -> Self {
        Self {
            secret: random::text(),
            is_known: AtomicBool::new(false),
            checks: Arc::new(Semaphore::new(CHECKS)),
            ends: SingleFlight::exact(),
        }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// The processes that a process belongs to: see [`proc_fs::lineage`].
    pub(super) async fn lineage(&self, pid: u32) -> Vec<u32> {
        self.inspect(move || proc_fs::lineage(pid)).await.unwrap_or_default()
    }

    /// Checks the greeting of a connection from `peer` to our address `own`. `lineage` is that of its pid.
    pub(super) async fn check(
        &self,
        greeting: &Greeting,
        lineage: &[u32],
        peer: Peer,
        own: Option<SocketAddr>,
    ) -> Result<(), Rejection> {
        let pid = greeting.pid;
        let address = match peer {
            Peer::Process(None) => return Err(Rejection::Unidentified),
            Peer::Process(Some(real)) if real == pid => return Ok(()),
            Peer::Process(Some(real)) => {
                let belongs = self.inspect(move || proc_fs::belongs_to(real, pid)).await;
                return if belongs == Some(true) { Ok(()) } else { Err(Rejection::WrongPid(pid)) };
            }
            Peer::Address(address) => address,
        };
        // First, since it costs less than a search among all connections. A worker may connect before it is registered.
        let own_pid = std::process::id();
        if !lineage.iter().any(|process| *process == own_pid || children::is_child(*process)) {
            return Err(Rejection::NoWorker(pid));
        }
        if let Some(secret) = &greeting.secret {
            if !is_same(secret, &self.secret) {
                return Err(Rejection::WrongSecret);
            }
            self.is_known.store(true, Relaxed);
            return Ok(());
        }
        let held = match own {
            Some(own) => self.holds(pid, own, address).await,
            None => None,
        };
        match held {
            Some(false) => Err(Rejection::WrongPid(pid)),
            None if self.is_known.load(Relaxed) => Err(Rejection::NoSecret),
            Some(true) | None => Ok(()),
        }
    }

    /// Whether the process `pid` holds the other end of a connection from `own` to `peer`. `None` if that end is on another machine, or the
    /// kernel does not say.
    async fn holds(&self, pid: u32, own: SocketAddr, peer: SocketAddr) -> Option<bool> {
        let is_local = peer::is_local(own, peer);
        for _ in 0..if is_local { SEARCHES } else { 1 } {
            let read = move || Ends::of_connections_to(own.port()).ok();
            let ends =
                self.ends.get(async move { tokio::task::spawn_blocking(read).await.ok()? }).await.ok()?;
            if let Some(end) = ends.as_ref().as_ref()?.find(own, peer) {
                return self.inspect(move || end.is_held_by(pid)).await;
            }
        }
        is_local.then_some(false)
    }

    /// Reads `/proc` on a thread that may block. `None` if the runtime shuts down.
    async fn inspect<T: Send + 'static>(&self, inspect: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let permit = Arc::clone(&self.checks).acquire_owned().await.ok()?;
        let inspected = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            inspect()
        });
        inspected.await.ok()
    }
}

/// Compares in constant time.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(trust: &Trust, peer: &str, secret: Option<&str>) -> Result<(), Rejection> {
        let greeting =
            Greeting { pid: std::process::id(), secret: secret.map(Into::into), ..Greeting::default() };
        let own = "192.0.2.1:7000".parse().ok();
        let lineage = [std::process::id()];
        trust.check(&greeting, &lineage, Peer::Address(peer.parse().unwrap()), own).await
    }

    #[tokio::test]
    async fn from_another_machine_the_secret_is_required_once_a_worker_has_sent_it() {
        let trust = Trust::new();
        assert_eq!(trust.secret().len(), 32);
        let elsewhere = "192.0.2.2:5";
        check(&trust, elsewhere, None).await.unwrap();
        assert!(check(&trust, elsewhere, Some("guess")).await.is_err());
        assert!(check(&trust, elsewhere, Some("")).await.is_err());
        check(&trust, elsewhere, None).await.unwrap();
        check(&trust, elsewhere, Some(trust.secret())).await.unwrap();
        let rejection = check(&trust, elsewhere, None).await.unwrap_err().to_string();
        assert_eq!(rejection, "CAUSEWAY_RELAY_SECRET missing");
    }

    #[tokio::test]
    async fn on_this_machine_the_kernel_is_asked() {
        let trust = Trust::new();
        // Another address of ours is this machine as well.
        for peer in ["127.0.0.1:5", "192.0.2.1:5"] {
            let rejection = check(&trust, peer, None).await.unwrap_err();
            assert!(matches!(rejection, Rejection::WrongPid(_)), "{rejection}");
        }
        check(&trust, "127.0.0.1:5", Some(trust.secret())).await.unwrap();
        let greeting = Greeting { pid: 1, ..Greeting::default() };
        assert!(trust.check(&greeting, &[1], Peer::Process(None), None).await.is_err());
        let stranger = Peer::Address("192.0.2.2:5".parse().unwrap());
        let rejection = trust.check(&greeting, &[1], stranger, None).await.unwrap_err();
        assert!(matches!(rejection, Rejection::NoWorker(1)), "{rejection}");
    }
}
