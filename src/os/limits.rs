//! The limit of open descriptors: raised for the server, and as it was for the processes that it starts.
//!
//! A server needs three descriptors for each worker over pipes and one for each connection, which the usual soft limit of 1024 does not
//! allow; the hard limit does. Programs that use `select` cannot take more than 1024, so children get back what they would have had.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The soft and the hard limit that this process was started with, if it has raised the former.
static ORIGINAL: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the soft limit to the hard one. Gives both when that made a difference.
///
/// # Errors
/// What the kernel says, for example when the hard limit is above `fs.nr_open`. The soft limit is what it was then.
pub(crate) fn raise_open_files() -> nix::Result<Option<(u64, u64)>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= hard {
        return Ok(None);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let _ = ORIGINAL.set((soft, hard));
    Ok(Some((soft, hard)))
}

/// What a child gets back; to be asked before the fork.
pub(super) fn original_open_files() -> Option<(rlim_t, rlim_t)> {
    ORIGINAL.get().copied()
}

/// Gives a child its limit back. Runs between `fork` and `exec`: one system call, no allocation.
pub(super) fn restore_open_files((soft, hard): (rlim_t, rlim_t)) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
}
