//! The guard: a tiny process that outlives a killed supervisor just long enough to kill what that one left behind.
//!
//! The kernel's parent-death signal reaches a worker that is the supervisor's own child, but neither the children of that worker nor a
//! program behind a wrapper such as `sh -c`. So a process is forked before any thread exists, detaches itself, and reads the pids of
//! process groups from a pipe. When the pipe ends, the supervisor is gone, however it went, and the guard kills the groups that are
//! still on its list.
//!
//! A worker puts its own group on the list between `fork` and `exec`, so there is no moment at which it runs and is not on it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{ForkResult, Pid, fork, pipe2, setsid};

/// The pipe's writing end; it lives as long as the process.
static PIPE: OnceLock<OwnedFd> = OnceLock::new();

/// Forks the guard. To be called once, at the start of `main`, before any thread exists.
///
/// # Errors
/// When a pipe or a process cannot be had.
pub(crate) fn start() -> io::Result<()> {
    let (reader, writer) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: there is only one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => {
            drop(reader);
            nix::sys::wait::waitpid(child, None)?;
            let _ = PIPE.set(writer);
            Ok(())
        }
        ForkResult::Child => {
            drop(writer);
            detach();
            watch(&reader);
            // SAFETY: ends the process without running the parent's exit handlers.
            unsafe { libc::_exit(0) }
        }
    }
}

/// The descriptor into which a new group's pid is written, if there is a guard.
pub(crate) fn descriptor() -> Option<RawFd> {
    PIPE.get().map(AsRawFd::as_raw_fd)
}

/// Takes the group from the list: it is known to be gone.
pub(crate) fn forget(group: i32) {
    if let Some(pipe) = descriptor() {
        record(pipe, -group);
    }
}

/// Writes one record. Safe between `fork` and `exec`: one system call, no allocation. A record is far smaller than `PIPE_BUF`, so
/// records of several writers never mix.
pub(crate) fn record(pipe: RawFd, value: i32) {
    let bytes = value.to_ne_bytes();
    // SAFETY: the buffer is valid for its length. A failure leaves the worker with the parent-death signal alone.
    unsafe { libc::write(pipe, bytes.as_ptr().cast(), bytes.len()) };
}

/// Leaves the supervisor's session, descriptors and parent, so that nothing counts the guard among the workers or waits for it.
fn detach() {
    let _ = setsid();
    for number in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: ignoring a signal installs no handler.
        let _ = unsafe { signal(number, SigHandler::SigIgn) };
    }
    // SAFETY: still one thread. The middle process ends at once, which makes the guard a child of init.
    match unsafe { fork() } {
        Ok(ForkResult::Child) => {}
        Ok(ForkResult::Parent { .. }) | Err(_) => unsafe { libc::_exit(0) },
    }
    // SAFETY: plain system calls on descriptors that nothing in this process uses any more.
    unsafe {
        libc::prctl(libc::PR_SET_NAME, c"causeway-guard".as_ptr());
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..=2 {
            libc::dup2(null, standard);
        }
    }
    let _ = nix::unistd::chdir("/");
}

/// Keeps the list until the pipe ends, then kills what is on it.
fn watch(reader: &OwnedFd) {
    let mut groups: Vec<i32> = Vec::new();
    let mut buffer = [0_u8; 4096];
    let mut filled = 0;
    loop {
        match nix::unistd::read(reader, &mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(nix::errno::Errno::EINTR) => continue,
            Err(_) => break,
        }
        let (records, _) = buffer[..filled].as_chunks::<4>();
        for record in records {
            let value = i32::from_ne_bytes(*record);
            groups.retain(|group| *group != value.abs());
            if value > 0 {
                groups.push(value);
            }
        }
        let whole = filled - filled % 4;
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    for group in groups {
        let _ = nix::sys::signal::killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}
