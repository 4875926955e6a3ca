//! Why a connection to the relay is dropped.

use std::io;
use std::time::Duration;

use super::address::SECRET;
use crate::goridge::Violation;

/// Why a connection is not that of a worker that is expected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// The peer has closed the connection.
    #[error("connection closed")]
    Closed,
    /// The connection is broken.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer does not speak goridge.
    #[error("invalid frame: {0}")]
    Violation(#[from] Violation),
    /// The first frame holds no pid.
    #[error("the first frame is not a pid")]
    NoPid,
    /// Too late.
    #[error("no pid of an expected worker within {0:?}")]
    Late(Duration),
    /// That process has a connection already.
    #[error("process {0} is already connected")]
    Second(u32),
    /// The start of that process was cancelled, or took too long.
    #[error("process {0} is not expected any more")]
    CalledOff(u32),
    /// The pid is not that of a child or a descendant of one.
    #[error("process {0} is not a worker of this server")]
    NoWorker(u32),
    /// The kernel says that the peer is another process.
    #[error("peer claims to be process {0}, which it is not")]
    WrongPid(u32),
    /// The peer is in another PID namespace.
    #[error("the peer's process cannot be identified")]
    Unidentified,
    /// The peer sends a secret of another relay.
    #[error("wrong secret")]
    WrongSecret,
    /// The peer sends no secret, although workers do.
    #[error("{SECRET} missing")]
    NoSecret,
}
