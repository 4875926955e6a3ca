//! Why a connection to the relay is dropped.

use std::io;
use std::time::Duration;

use super::address::SECRET;
use crate::goridge::Violation;

/// Why a connection is not that of a worker that is expected.
#[derive(Debug, thiserror::Error)]
pub(super) enum Rejection {
    /// The peer has closed the connection.
    #[error("it hung up")]
    Closed,
    /// The connection is broken.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The peer does not speak goridge.
    #[error("it sent no frame: {0}")]
    Violation(#[from] Violation),
    /// The first frame holds no pid.
    #[error("its first frame is not a pid")]
    NoPid,
    /// Too late.
    #[error("it did not send the pid of an expected worker within {0:?}")]
    Late(Duration),
    /// That process has a connection already.
    #[error("process {0} is already connected")]
    Second(u32),
    /// The pid is not that of a child or a descendant of one.
    #[error("process {0} is not a worker of this server")]
    NoWorker(u32),
    /// The kernel says that the peer is another process.
    #[error("it claims to be process {0}, which it is not")]
    WrongPid(u32),
    /// The peer is in another PID namespace.
    #[error("the kernel does not say which process it is")]
    Unidentified,
    /// The peer sends a secret of another relay.
    #[error("its secret is not that of this relay")]
    WrongSecret,
    /// The peer sends no secret, although workers do.
    #[error("it does not send {SECRET}, as workers do")]
    NoSecret,
}
