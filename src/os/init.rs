//! Running as PID 1, as in a container without an init of its own.
//!
//! The kernel gives every orphan to PID 1, which has to reap it: a server that does not accumulates zombies until the process table is
//! full. Reaping every process that ends, though, would steal the exit statuses that the runtime waits for. So the server does not run as
//! PID 1: it runs in a child, and PID 1 does what an init has to do and nothing else.

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid};

use super::descriptors;

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
    // SAFETY: there is only one thread, so the child may do whatever the parent may.
    match unsafe { fork() }? {
        ForkResult::Child => before.thread_set_mask(),
        ForkResult::Parent { child } => {
            // An inherited socket would stay open here when the server closes it.
            // SAFETY: this process exits without using what it has opened so far.
            unsafe { descriptors::close_all() };
            std::process::exit(serve_as_init(child, &all))
        }
    }
}

/// Forwards signals and reaps until the server has exited; returns its exit code.
fn serve_as_init(server: Pid, signals: &SigSet) -> i32 {
    loop {
        match signals.wait() {
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
            Err(_) => return code,
        }
    }
}
