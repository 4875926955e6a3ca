//! The messages between an old and a new server.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::os::channel::Channel;

/// The version of the protocol. A server of another one refuses to take over.
pub(super) const VERSION: u32 = 1;

/// A message of the old server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum ToNew {
    /// The listening sockets, whose descriptors come with it.
    Hello {
        version: u32,
        sockets: Vec<Passed>,
        /// Whether the last descriptor is that of PID 1, which has to learn the new server's pid.
        has_init: bool,
    },
    /// RPC is the new server's from now on.
    Proceed,
    /// So is everything else.
    TakeOver,
    /// The service manager knows the new server's pid.
    Notified,
}

/// A message of the new server.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum ToOld {
    /// The configuration is valid, and workers are about to be started, which takes at most this time.
    Booting { within_ms: u64 },
    /// All workers are ready.
    Ready,
    /// It accepts connections on every socket.
    Serving,
    /// It does not take over.
    Failed {
        reason: String,
        /// If it was asked to stop: whether immediately.
        stop: Option<bool>,
    },
}

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Passed {
    /// The name of the listener.
    pub(super) name: String,
    /// The setting that it was bound for.
    pub(super) setting: Option<String>,
    /// The device and the inode of its file, if that is to be removed with it.
    pub(super) file: Option<(u64, u64)>,
}

/// Sends a message.
pub(super) async fn send<M: Serialize>(
    channel: &Channel,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    channel.send(&bytes, descriptors).await
}

/// Waits for a message; `None` if the other server has ended.
pub(super) async fn receive<M: for<'de> Deserialize<'de>>(
    channel: &Channel,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let Some((bytes, descriptors)) = channel.receive().await? else { return Ok(None) };
    Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
}
