//! What this process and its service manager exchange: that is systemd, or a program that speaks its protocols; and what it exchanges with a
//! server that takes over.
//!
//! ```text
//!  NOTIFY_SOCKET ◀── Notifier: READY, RELOADING, STOPPING, STATUS, MAINPID
//!                ◀── watchdog: WATCHDOG=1, once each pool's actor has answered
//!  LISTEN_FDS ─────▶ sockets: listeners that were bound before this process was started
//!  old server ◀────▶ new server: upgrade
//! ```
//!
//! Invariants:
//! - The watchdog is notified by a task of the runtime that serves calls, and only after every pool's actor has answered it. So a bridge
//!   whose runtime or actor is stuck is restarted, however lively its other threads are.
//! - The variables are read once, before any thread exists, and no worker inherits them ([`is_private`]): a worker that notified systemd in
//!   Causeway's name would be believed.
//! - A manager that is missing or does not read costs nothing: messages are dropped.
//!
//! Sources: sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

mod notify;
mod sockets;
pub(crate) mod upgrade;
mod watchdog;

use std::ffi::OsStr;
use std::io;

pub(crate) use notify::Notifier;
pub(crate) use watchdog::Watchdog;

use crate::net::Sockets;
use crate::os::descriptors;
use upgrade::Line;

/// The variables of the protocols, which are meant for this process alone.
const PRIVATE: [&str; 8] = [
    upgrade::VARIABLE,
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDNAMES",
];

/// Returns whether a variable must not be inherited by workers.
pub(crate) fn is_private(variable: &OsStr) -> bool {
    PRIVATE.iter().any(|name| variable == *name)
}

/// What the service manager has given to this process.
#[derive(Debug, Default)]
pub(crate) struct Service {
    pub(crate) notifier: Notifier,
    /// If the manager wants signs of life.
    pub(crate) watchdog: Option<Watchdog>,
    pub(crate) sockets: Sockets,
    /// The way to the server that has started this one to take over from it.
    pub(crate) line: Option<Line>,
}

impl Service {
    /// Reads the environment, and takes the inherited sockets. Call it once, before any thread exists and before anything opens a
    /// descriptor.
    ///
    /// # Errors
    /// If a variable is not in its protocol's form, or a descriptor that it promises is not open.
    pub(crate) fn take() -> io::Result<Self> {
        let find = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let pid = std::process::id();
        let notifier = Notifier::open(find("NOTIFY_SOCKET").as_deref())?;
        let [time, meant] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(find);
        let watchdog = Watchdog::of(time.as_deref(), meant.as_deref(), pid)?;
        let [meant, count, names] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"].map(find);
        let inherited = sockets::take(meant.as_deref(), count.as_deref(), names.as_deref(), pid)?;
        Ok(Self {
            watchdog: watchdog.filter(|_| notifier.is_heard()),
            notifier,
            sockets: Sockets::inherited(inherited),
            line: find(upgrade::VARIABLE).map(|_| descriptors::take_stdin()).transpose()?.map(Line::new),
        })
    }
}

/// A variable that cannot be read.
fn invalid(name: &str, expected: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{name}: expected {expected}"))
}
