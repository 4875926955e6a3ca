//! Descriptors that this process was started with.

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};

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

/// Closes all descriptors from 3 up, in a process that uses none of them any more.
///
/// # Safety
/// Whoever owns one of them must never touch it again.
pub(super) unsafe fn close_all() {
    // SAFETY: a plain system call; the caller answers for the descriptors.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
}
