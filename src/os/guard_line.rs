//! The line to the guard: a socket over which it learns which process groups to kill when the server is gone.
//!
//! A record is a number: the pid of a group's leader puts the group on the guard's list, its negative takes it off, and [`CLEAR`] empties
//! the list, and is the first record: it puts the guard in charge. Messages of whole records arrive in order. Writing neither waits nor
//! raises SIGPIPE; what a guard has missed because its socket was full is made up for by the whole list.
//!
//! The server's end keeps its descriptor number for life, because a child between `fork` and `exec` writes to it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, setsockopt, socketpair, sockopt};

/// Empties the list; the whole list follows.
pub(super) const CLEAR: i32 = 0;

/// Records in one message, at most: the guard reads each message into a buffer of this size.
pub(super) const RECORDS: usize = 256;

/// The send buffer in bytes, which the kernel doubles: some 20 records, or lists of 1,500 groups.
const BUFFER: usize = 8 << 10;

/// The server's end.
static LINE: OnceLock<OwnedFd> = OnceLock::new();

/// Whether the guard has missed a record.
static MISSED: AtomicBool = AtomicBool::new(false);

/// A pipe that wakes the guard's keeper.
static WAKE: OnceLock<OwnedFd> = OnceLock::new();

/// Both ends of a new line: the server's and the guard's.
pub(super) fn open() -> nix::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?;
    setsockopt(&ours, sockopt::SndBuf, &BUFFER)?;
    Ok((ours, theirs))
}

/// Uses this end from now on. Call it once, with the first guard's line.
pub(super) fn use_first(ours: OwnedFd) {
    let _ = LINE.set(ours);
}

/// Uses this end in place of the one before, under its descriptor number.
pub(super) fn replace(ours: &OwnedFd) -> io::Result<()> {
    let Some(line) = LINE.get() else { return Ok(()) };
    // SAFETY: `LINE` goes on to own the number; only what it refers to changes, and the kernel closes what it referred to.
    let replaced = unsafe { libc::dup3(ours.as_raw_fd(), line.as_raw_fd(), libc::O_CLOEXEC) };
    nix::errno::Errno::result(replaced)?;
    Ok(())
}

/// The server's end, if there is a guard.
pub(super) fn line() -> Option<&'static OwnedFd> {
    LINE.get()
}

/// The number of the server's end, for [`write()`].
pub(super) fn descriptor() -> Option<RawFd> {
    line().map(AsRawFd::as_raw_fd)
}

/// Whom to wake when the guard has missed a record.
pub(super) fn set_waker(pipe: OwnedFd) {
    let _ = WAKE.set(pipe);
}

/// Wakes the guard's keeper.
fn wake() {
    if let Some(pipe) = WAKE.get() {
        // A full pipe wakes it as well.
        let _ = nix::unistd::write(pipe, &[0]);
    }
}

/// Remembers that the guard has missed a record, until [`take_missed`].
pub(super) fn set_missed() {
    MISSED.store(true, SeqCst);
}

/// Whether the guard has missed a record since this was asked last.
pub(super) fn take_missed() -> bool {
    MISSED.swap(false, SeqCst)
}

/// Sends a record. The caller holds the lock on the children, so that records have the order of events.
pub(super) fn send(record: i32) {
    if let Some(line) = descriptor()
        && !write(line, &[record])
    {
        missed();
    }
}

/// Has the keeper send the whole list.
pub(super) fn missed() {
    set_missed();
    wake();
}

/// Applies the records of a message to the guard's list.
pub(super) fn apply(message: &[u8], groups: &mut Vec<i32>) {
    let (records, _) = message.as_chunks::<4>();
    for record in records {
        match i32::from_ne_bytes(*record) {
            CLEAR => groups.clear(),
            value => {
                groups.retain(|group| *group != value.abs());
                groups.extend((value > 0).then_some(value));
            }
        }
    }
}

/// Sends the whole list: these groups and no others. The caller holds the lock on the children. False if the guard does not get all of it.
pub(super) fn send_list(groups: impl Iterator<Item = u32>) -> bool {
    let Some(line) = descriptor() else { return true };
    let mut records = vec![CLEAR];
    records.extend(groups.map(u32::cast_signed));
    records.chunks(RECORDS).all(|records| write(line, records))
}

/// Writes records in one message; false if that is not possible at once.
///
/// Safe between `fork` and `exec`: one system call that neither waits nor raises a signal, and no allocation. What a child could not write
/// its parent writes.
pub(super) fn write(line: RawFd, records: &[i32]) -> bool {
    let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
    let length = size_of_val(records);
    // SAFETY: the buffer is valid for its length.
    let written = unsafe { libc::send(line, records.as_ptr().cast(), length, flags) };
    usize::try_from(written).is_ok_and(|written| written == length)
}
