//! The limit on open descriptors: raised for the server, restored for the processes that it starts.
//!
//! A server needs three descriptors for each worker over pipes and one for each connection. The usual soft limit of 1024 is too low for
//! that; the hard limit is not. Programs that use `select` cannot handle more than 1024, so children get the original limit.

use std::sync::OnceLock;

use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};

/// The soft and hard limits that this process was started with, if it has raised the soft one.
static ORIGINAL: OnceLock<(rlim_t, rlim_t)> = OnceLock::new();

/// Raises the soft limit to the hard one. Returns both if they differed.
///
/// # Errors
/// Any error of setrlimit(2), for example if the hard limit is above `fs.nr_open`. The soft limit is unchanged then.
pub(crate) fn raise_open_files() -> nix::Result<Option<(u64, u64)>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= hard {
        return Ok(None);
    }
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    let _ = ORIGINAL.set((soft, hard));
    Ok(Some((soft, hard)))
}

/// The limits for a child. Call it before the fork.
pub(super) fn original_open_files() -> Option<(rlim_t, rlim_t)> {
    ORIGINAL.get().copied()
}

/// Restores the limits of a child. Runs between `fork` and `exec`: one system call, no allocation.
pub(super) fn restore_open_files((soft, hard): (rlim_t, rlim_t)) -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard)
}
