//! The old server's side: the new server that it has started.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::Invocation;
use super::messages::{self, Passed, ToNew, ToOld, VERSION, receive};
use crate::net::Sockets;
use crate::os::channel::{self, Channel};
use crate::os::foreign_process::ForeignProcess;
use crate::os::{init, successor};

/// How long the new server may take to read its configuration.
const CONFIGURED: Duration = Duration::from_secs(30);

/// How long the new server may take to accept connections once everything is ready.
const SERVING: Duration = Duration::from_secs(10);

/// Why the old server goes on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSuccessor {
    #[error("the new server cannot be started: {0}")]
    Start(#[source] io::Error),
    #[error("the new server has failed: {0}")]
    Failed(String),
    /// The new server was asked to stop, and meant is the old one.
    #[error("the new server was asked to stop")]
    Stopped { at_once: bool },
    #[error("the new server exited before it was ready; its output says why")]
    Exited,
    #[error("the new server was not ready within {0:?}")]
    Late(Duration),
    #[error("the new server cannot be reached: {0}")]
    Channel(#[from] io::Error),
    #[error("the new server has sent an unexpected message")]
    Unexpected,
}

/// A new server, which is killed when this is dropped before it serves.
#[derive(Debug)]
pub(crate) struct Successor {
    channel: Channel,
    process: ForeignProcess,
    serves: bool,
}

impl Successor {
    /// Starts a server as this one was started, and passes it the listening sockets of this one.
    ///
    /// # Errors
    /// See [`NoSuccessor`].
    pub(crate) async fn start(invocation: &Invocation, sockets: &Sockets) -> Result<Self, NoSuccessor> {
        let (ours, theirs) = channel::pair().map_err(|error| NoSuccessor::Start(error.into()))?;
        let launch = invocation.launch();
        let started = tokio::task::spawn_blocking(move || successor::start(&launch, theirs)).await;
        let process = started.map_err(io::Error::other).and_then(|started| started);
        let channel = Channel::open(ours)?;
        let Some(process) = process.map_err(NoSuccessor::Start)? else {
            return Err(next(&channel, CONFIGURED).await.err().unwrap_or(NoSuccessor::Exited));
        };
        let this = Self { channel, process, serves: false };
        let open = sockets.open();
        let passed = open.iter().map(|socket| Passed {
            name: socket.name.clone(),
            setting: socket.setting.clone(),
            file: socket.file,
        });
        let init = init::line();
        let hello = ToNew::Hello { version: VERSION, sockets: passed.collect(), has_init: init.is_some() };
        let descriptors: Vec<_> = open.iter().map(|socket| socket.socket.as_fd()).chain(init).collect();
        // If it has exited already, its last message says why.
        let _ = messages::send(&this.channel, &hello, &descriptors).await;
        Ok(this)
    }

    /// Its pid.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Waits until it has read its configuration and is about to start workers. Returns how long that may take.
    ///
    /// # Errors
    /// See [`NoSuccessor`].
    pub(crate) async fn booting(&self) -> Result<Duration, NoSuccessor> {
        match next(&self.channel, CONFIGURED).await? {
            ToOld::Booting { within_ms } => Ok(Duration::from_millis(within_ms)),
            _ => Err(NoSuccessor::Unexpected),
        }
    }

    /// Leaves RPC to it, and waits until its workers are ready.
    ///
    /// # Errors
    /// See [`NoSuccessor`].
    pub(crate) async fn ready(&self, within: Duration) -> Result<(), NoSuccessor> {
        self.send(&ToNew::Proceed).await;
        match next(&self.channel, within).await? {
            ToOld::Ready => Ok(()),
            _ => Err(NoSuccessor::Unexpected),
        }
    }

    /// Leaves everything else to it, and waits until it serves. From then on it goes on without this server.
    ///
    /// # Errors
    /// See [`NoSuccessor`].
    pub(crate) async fn take_over(&mut self) -> Result<(), NoSuccessor> {
        self.send(&ToNew::TakeOver).await;
        match next(&self.channel, SERVING).await? {
            ToOld::Serving => {
                self.serves = true;
                init::follow(self.process.pid());
                Ok(())
            }
            _ => Err(NoSuccessor::Unexpected),
        }
    }

    /// Notifies it that the service manager knows its pid.
    pub(crate) async fn notified(&self) {
        self.send(&ToNew::Notified).await;
    }

    async fn send(&self, message: &ToNew) {
        // If it has exited, its last message says why.
        let _ = messages::send(&self.channel, message, &[]).await;
    }
}

/// Waits for the new server's next message, which may be its last.
async fn next(channel: &Channel, within: Duration) -> Result<ToOld, NoSuccessor> {
    let Ok(received) = timeout(within, receive(channel)).await else {
        return Err(NoSuccessor::Late(within));
    };
    match received? {
        Some((ToOld::Failed { stop: Some(at_once), .. }, _)) => Err(NoSuccessor::Stopped { at_once }),
        Some((ToOld::Failed { reason, .. }, _)) => Err(NoSuccessor::Failed(reason)),
        Some((message, _)) => Ok(message),
        None => Err(NoSuccessor::Exited),
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.serves {
            // Its guard then kills its workers.
            let _ = self.process.signal(Signal::SIGKILL);
        }
    }
}
