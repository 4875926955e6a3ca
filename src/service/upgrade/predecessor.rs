//! The new server's side: the old server, which goes on until this one serves.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::messages::{Passed, ToNew, ToOld, VERSION, receive, send};
use crate::net::Inherited;
use crate::os::channel::{self, Channel};
use crate::os::init;

/// How long the old server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The old server goes on alone.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoPredecessor {
    #[error("the old server has ended, or goes on by itself")]
    Gone,
    #[error("the old server does not answer: {0}")]
    Channel(#[from] io::Error),
    #[error("the old server speaks version {0} of the protocol of upgrades, and this one version {VERSION}")]
    Version(u32),
    #[error("the old server has sent an unexpected message")]
    Unexpected,
}

/// The old server.
#[derive(Debug)]
pub(crate) struct Predecessor {
    channel: Channel,
}

/// The way to report to the old server that this one failed, from the start of the process on.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<OwnedFd>);

impl Line {
    pub(in crate::service) fn new(end: OwnedFd) -> Self {
        Self(Arc::new(end))
    }

    /// Reports to the old server why this one fails. `stop` is set if it was asked to stop: whether immediately.
    pub(crate) fn failed(&self, reason: &str, stop: Option<bool>) {
        let reason = reason.chars().take(4000).collect();
        if let Ok(message) = serde_json::to_vec(&ToOld::Failed { reason, stop }) {
            let _ = channel::send_now(&self.0, &message);
        }
    }

    /// Waits for the old server's sockets.
    ///
    /// # Errors
    /// See [`NoPredecessor`].
    pub(crate) async fn meet(&self) -> Result<(Predecessor, Vec<Inherited>), NoPredecessor> {
        let predecessor = Predecessor { channel: Channel::open(self.0.try_clone()?)? };
        let received = timeout(PATIENCE, receive::<ToNew>(&predecessor.channel)).await;
        let received = received.map_err(|_| NoPredecessor::Gone)??;
        let Some((ToNew::Hello { version, sockets, has_init }, mut descriptors)) = received else {
            return Err(NoPredecessor::Gone);
        };
        if version != VERSION {
            return Err(NoPredecessor::Version(version));
        }
        if has_init && let Some(line) = descriptors.pop() {
            init::use_line(line);
        }
        let inherited = sockets.into_iter().zip(descriptors);
        let inherited = inherited.map(|(Passed { name, setting, file }, socket)| Inherited {
            name,
            socket,
            setting,
            file,
        });
        Ok((predecessor, inherited.collect()))
    }
}

impl Predecessor {
    /// The configuration is valid, and workers are about to be started, within this time. Returns once RPC is this server's.
    ///
    /// # Errors
    /// See [`NoPredecessor`].
    pub(crate) async fn booting(&self, within: Duration) -> Result<(), NoPredecessor> {
        let within_ms = within.as_millis().try_into().unwrap_or(u64::MAX);
        self.ask(&ToOld::Booting { within_ms }, &ToNew::Proceed).await
    }

    /// The workers are ready. Returns once everything is this server's.
    ///
    /// # Errors
    /// See [`NoPredecessor`].
    pub(crate) async fn ready(&self) -> Result<(), NoPredecessor> {
        self.ask(&ToOld::Ready, &ToNew::TakeOver).await
    }

    /// This server serves. Returns once the service manager knows its pid, or the old server is gone.
    pub(crate) async fn serving(self) {
        let _ = self.ask(&ToOld::Serving, &ToNew::Notified).await;
    }

    async fn ask(&self, message: &ToOld, expected: &ToNew) -> Result<(), NoPredecessor> {
        send(&self.channel, message, &[]).await.map_err(|_| NoPredecessor::Gone)?;
        match timeout(PATIENCE, receive::<ToNew>(&self.channel)).await.map_err(|_| NoPredecessor::Gone)?? {
            Some((answer, _)) if answer == *expected => Ok(()),
            Some(_) => Err(NoPredecessor::Unexpected),
            None => Err(NoPredecessor::Gone),
        }
    }
}
