//! Running as PID 1, as in a container without an init of its own.
//!
//! The kernel gives every orphan to PID 1, which has to reap it: a server that does not accumulates zombies until the process table is
//! full. Reaping every process that ends, though, would steal the exit statuses that the runtime waits for. So the server does not run as
//! PID 1: it runs in a child, and PID 1 does what an init has to do and nothing else.
//!
//! A server that hands over to a successor writes its pid to a pipe, the line. PID 1 exits with the last one.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::OnceLock;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use super::descriptors;

/// The server's end of the line to PID 1.
static LINE: OnceLock<OwnedFd> = OnceLock::new();

/// Returns in the process that is to be the server: in this one, unless it is PID 1. PID 1 exits when the server does, with its exit
/// code. Call it once, at the start of `main`, before any thread exists.
///
/// # Errors
/// If no process can be created.
pub(crate) fn step_aside() -> nix::Result<()> {
    if getpid() != Pid::from_raw(1) {
        return Ok(());
    }
    // The kernel drops signals to PID 1 for which there is no handler; blocked ones wait instead.
    let all = SigSet::all();
    let before = all.thread_swap_mask(nix::sys::signal::SigmaskHow::SIG_BLOCK)?;
    let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    // SAFETY: there is only one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(reader);
            use_line(writer);
            before.thread_set_mask()
        }
        ForkResult::Parent { child } => {
            // An inherited socket would stay open here when the server closes it.
            // SAFETY: this process exits without using what it has opened so far.
            unsafe { descriptors::close_all_but(reader.as_raw_fd()) };
            std::process::exit(serve_as_init(child, &all, &reader))
        }
    }
}

/// Uses this end of the line to PID 1, which a predecessor has passed on.
pub(crate) fn use_line(writer: OwnedFd) {
    let _ = LINE.set(writer);
}

/// The line to PID 1, if that is Causeway's.
pub(crate) fn line() -> Option<BorrowedFd<'static>> {
    LINE.get().map(AsFd::as_fd)
}

/// Has PID 1, if that is Causeway's, take another process for the server from now on.
pub(crate) fn follow(pid: u32) {
    if let Some(line) = LINE.get() {
        let _ = nix::unistd::write(line, &pid.to_ne_bytes());
    }
}

/// Forwards signals and reaps until the server has exited; returns its exit code.
fn serve_as_init(mut server: Pid, signals: &SigSet, line: &OwnedFd) -> i32 {
    loop {
        let signal = signals.wait();
        // A server writes to the line before it exits.
        let mut pid = [0; 4];
        while nix::unistd::read(line, &mut pid) == Ok(pid.len()) {
            server = Pid::from_raw(i32::from_ne_bytes(pid));
        }
        match signal {
            Ok(Signal::SIGCHLD) => {
                if let Some(code) = reap(server) {
                    return code;
                }
            }
            Ok(signal) => drop(kill(server, signal)),
            Err(error) => debug_assert_eq!(error, Errno::EINTR),
        }
    }
}

/// Reaps every process that has ended; returns the server's exit code, in the shell's notation, if it is among them.
fn reap(server: Pid) -> Option<i32> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == server => code = Some(status),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == server => code = Some(128 + signal as i32),
            Ok(WaitStatus::StillAlive) => return code,
            Err(Errno::EINTR) | Ok(_) => {}
            // A server that had only just taken over may have been reaped before it was known to be one.
            Err(_) => return code.or(Some(1)),
        }
    }
}
