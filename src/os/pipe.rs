//! Pipes.

use std::os::fd::RawFd;

/// The number of bytes that can be read from a pipe now; `None` if it is not open.
pub(crate) fn unread(pipe: RawFd) -> Option<usize> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int, whatever the descriptor is. Source: ioctl_tty(2), FIONREAD.
    let result = unsafe { libc::ioctl(pipe, libc::FIONREAD, &raw mut bytes) };
    if result == 0 { usize::try_from(bytes).ok() } else { None }
}
