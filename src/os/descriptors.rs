//! Descriptors that this process was started with.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

/// Takes `count` inherited descriptors from `first` up. What this process starts does not inherit them.
///
/// Call it once for a number, before anything else opens descriptors.
///
/// # Errors
/// The number of the first that is not open; then none is taken.
pub(crate) fn take(first: RawFd, count: u16) -> Result<Vec<OwnedFd>, RawFd> {
    let numbers = first..first.saturating_add(count.into());
    for number in numbers.clone() {
        // SAFETY: sets a flag of a descriptor, if it is open.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
            return Err(number);
        }
    }
    // SAFETY: they are open, and nothing else in this process owns what it was started with.
    Ok(numbers.map(|number| unsafe { OwnedFd::from_raw_fd(number) }).collect())
}

/// Takes standard input, which is `/dev/null` from then on. What this process starts does not inherit it.
///
/// # Errors
/// If there is no standard input, or no `/dev/null`.
pub(crate) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    let null = File::open("/dev/null")?;
    // SAFETY: both are open; 0 goes on to be standard input.
    nix::errno::Errno::result(unsafe { libc::dup2(null.as_raw_fd(), 0) })?;
    Ok(taken)
}

/// Closes all descriptors from 3 up, except `kept`, in a process that uses none of them any more.
///
/// # Safety
/// No owner of one of them may touch it again.
pub(super) unsafe fn close_all_but(kept: RawFd) {
    let kept = kept.cast_unsigned();
    // SAFETY: plain system calls; the caller answers for the descriptors.
    unsafe {
        if kept > 3 {
            libc::syscall(libc::SYS_close_range, 3, kept - 1, 0);
        }
        libc::syscall(libc::SYS_close_range, kept + 1, libc::c_uint::MAX, 0);
    }
}
