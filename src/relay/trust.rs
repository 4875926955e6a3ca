//! Which connections are believed to be those of the workers whose pids they show.
//!
//! A pid is no secret: whoever shows that of a worker which is about to connect would take its place and read its requests. So the kernel
//! is asked: on a unix socket which process connected, over tcp from this machine which process holds the other end. It has to be the one
//! with that pid, or a descendant. From another machine, or where the kernel does not tell, a worker proves itself by the secret in its
//! environment, which our packages send. Workers for RoadRunner know no secret, so from there connections without one are taken too, as by
//! RoadRunner, until a worker has shown that it knows it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Semaphore;

use crate::goridge::Greeting;
use crate::net::Peer;
use crate::os::peer::{Claim, is_held_by};
use crate::os::{family, proc_fs, random_text};

/// The variable by which workers learn the secret.
pub(crate) const SECRET: &str = "CAUSEWAY_RELAY_SECRET";

/// How many connections are looked at in `/proc` at a time, each on a thread of its own for some milliseconds; others wait.
const LOOKS: usize = 2;

/// What is asked of connections.
#[derive(Debug)]
pub(super) struct Trust {
    secret: String,
    /// Whether a worker has shown the secret.
    is_known: AtomicBool,
    looks: Arc<Semaphore>,
}

impl Trust {
    /// With a new secret.
    pub(super) fn new() -> Self {
        Self {
            secret: random_text(),
            is_known: AtomicBool::new(false),
            looks: Arc::new(Semaphore::new(LOOKS)),
        }
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// To whom a process belongs: see [`proc_fs::lineage`].
    pub(super) async fn lineage(&self, pid: u32) -> Vec<u32> {
        self.look(move || proc_fs::lineage(pid)).await.unwrap_or_default()
    }

    /// Whether this greeting, of a connection from `peer` to our address `own`, is believed; or why not. `lineage` is that of the pid.
    pub(super) async fn examine(
        &self,
        greeting: &Greeting,
        lineage: &[u32],
        peer: Peer,
        own: Option<SocketAddr>,
    ) -> Result<(), String> {
        let pid = greeting.pid;
        let not_it = || Err(format!("it says that it is process {pid}, which it is not"));
        let address = match peer {
            Peer::Process(None) => return Err("the kernel does not tell which process it is".into()),
            Peer::Process(Some(real)) if real == pid => return Ok(()),
            Peer::Process(Some(real)) => {
                let belongs = self.look(move || proc_fs::belongs_to(real, pid)).await;
                return if belongs == Some(true) { Ok(()) } else { not_it() };
            }
            Peer::Address(address) => address,
        };
        // Asked first, since it costs less than a look at all connections. A worker may be ahead of its own registration.
        let own_pid = std::process::id();
        if !lineage.iter().any(|process| *process == own_pid || family::is_child(*process)) {
            return Err(format!("process {pid} is no worker of this server"));
        }
        if let Some(secret) = &greeting.secret {
            if !is_same(secret, &self.secret) {
                return Err("it shows a secret that is not that of this relay".into());
            }
            self.is_known.store(true, Relaxed);
            return Ok(());
        }
        let held = match own {
            Some(own) => self.look(move || is_held_by(own, address, pid)).await,
            None => None,
        };
        match held.unwrap_or(Claim::Unknown) {
            Claim::False => not_it(),
            Claim::Unknown if self.is_known.load(Relaxed) => {
                Err(format!("it does not show {SECRET}, which workers do"))
            }
            Claim::True | Claim::Unknown => Ok(()),
        }
    }

    /// Looks elsewhere than on the thread that serves calls. `None` when the runtime ends.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let place = Arc::clone(&self.looks).acquire_owned().await.ok()?;
        let looked = tokio::task::spawn_blocking(move || {
            let _place = place;
            look()
        });
        looked.await.ok()
    }
}

/// Takes the same time wherever the two differ.
fn is_same(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |found, (a, b)| found | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn examine(trust: &Trust, peer: &str, secret: Option<&str>) -> Result<(), String> {
        let greeting = Greeting { pid: std::process::id(), secret: secret.map(Into::into) };
        let own = "192.0.2.1:7000".parse().ok();
        let lineage = [std::process::id()];
        trust.examine(&greeting, &lineage, Peer::Address(peer.parse().unwrap()), own).await
    }

    #[tokio::test]
    async fn from_another_machine_the_secret_is_needed_once_it_was_shown() {
        let trust = Trust::new();
        assert_eq!(trust.secret().len(), 32);
        let elsewhere = "192.0.2.2:5";
        assert_eq!(examine(&trust, elsewhere, None).await, Ok(()));
        assert!(examine(&trust, elsewhere, Some("guess")).await.is_err());
        assert!(examine(&trust, elsewhere, Some("")).await.is_err());
        assert_eq!(examine(&trust, elsewhere, None).await, Ok(()));
        assert_eq!(examine(&trust, elsewhere, Some(trust.secret())).await, Ok(()));
        let refused = examine(&trust, elsewhere, None).await.unwrap_err();
        assert!(refused.contains("CAUSEWAY_RELAY_SECRET"), "{refused}");
    }

    #[tokio::test]
    async fn from_this_machine_the_kernel_is_asked() {
        let trust = Trust::new();
        let refused = examine(&trust, "127.0.0.1:5", None).await.unwrap_err();
        assert!(refused.contains("which it is not"), "{refused}");
        // Our own other address is this machine as well.
        examine(&trust, "192.0.2.1:5", None).await.unwrap_err();
        assert_eq!(examine(&trust, "127.0.0.1:5", Some(trust.secret())).await, Ok(()));
        let greeting = Greeting { pid: 1, secret: None };
        assert!(trust.examine(&greeting, &[1], Peer::Process(None), None).await.is_err());
        let stranger = Peer::Address("192.0.2.2:5".parse().unwrap());
        let refused = trust.examine(&greeting, &[1], stranger, None).await.unwrap_err();
        assert_eq!(refused, "process 1 is no worker of this server");
    }
}
