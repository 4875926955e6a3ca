//! A child process that is waited for asynchronously.

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::process::{ChildStderr, ChildStdin, ChildStdout};

/// A child and our ends of its pipes. One that is dropped is killed.
#[derive(Debug)]
pub(crate) struct Child {
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
    process: Process,
}

#[derive(Debug)]
enum Process {
    /// Started by the standard library.
    Forked(tokio::process::Child),
    /// Started by `vfork`.
    Ours(Ours),
}

/// A child that nothing else waits for.
#[derive(Debug)]
pub(super) struct Ours {
    pid: Pid,
    /// Readable when it has ended; `None` when it was waited for.
    pidfd: Option<AsyncFd<OwnedFd>>,
    status: Option<ExitStatus>,
    /// It was killed, and is waited for in a task.
    killed: bool,
}

impl Child {
    pub(super) fn forked(mut child: tokio::process::Child) -> Self {
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        Self { stdin, stdout, stderr, process: Process::Forked(child) }
    }

    pub(super) fn ours(ours: Ours) -> Self {
        Self { stdin: None, stdout: None, stderr: None, process: Process::Ours(ours) }
    }

    /// Its pid; `None` when it was waited for.
    pub(crate) fn id(&self) -> Option<u32> {
        match &self.process {
            Process::Forked(child) => child.id(),
            Process::Ours(ours) => ours.status.is_none().then(|| ours.pid.as_raw().cast_unsigned()),
        }
    }

    /// Waits for its end. May be dropped and called again.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        match &mut self.process {
            Process::Forked(child) => child.wait().await,
            Process::Ours(ours) => ours.wait().await,
        }
    }
}

impl Ours {
    /// Takes a child of this process. Needs a tokio runtime.
    ///
    /// # Errors
    /// If there can be no more descriptors; then the child is killed.
    pub(super) fn adopt(pid: Pid) -> io::Result<Self> {
        let mut ours = Self { pid, pidfd: None, status: None, killed: false };
        let pidfd = pidfd(pid)?;
        // SAFETY: the descriptor is owned, and so stays open and the same.
        let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
        ours.pidfd = Some(pidfd?);
        Ok(ours)
    }

    async fn wait(&mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.status {
                return Ok(status);
            }
            let Some(pidfd) = &self.pidfd else { return Err(Errno::ECHILD.into()) };
            let mut ready = pidfd.readable().await?;
            match try_wait(self.pid)? {
                Some(status) => self.status = Some(status),
                None => ready.clear_ready(),
            }
        }
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if self.status.is_some() {
            return;
        }
        let _ = kill(self.pid, Signal::SIGKILL);
        let mut rest = Self { pid: self.pid, pidfd: self.pidfd.take(), status: None, killed: true };
        match tokio::runtime::Handle::try_current() {
            // A runtime that shuts down drops the task at once.
            Ok(runtime) if rest.pidfd.is_some() && !self.killed => drop(runtime.spawn(async move {
                let _ = rest.wait().await;
                rest.forget();
            })),
            _ => {
                let _ = nix::sys::wait::waitpid(self.pid, None);
                rest.forget();
            }
        }
    }
}

impl Ours {
    /// Lets the drop do nothing.
    fn forget(&mut self) {
        self.status.get_or_insert_default();
    }
}

/// Whether the kernel has descriptors of processes.
pub(super) fn has_pidfds() -> bool {
    pidfd(nix::unistd::getpid()).is_ok()
}

/// A descriptor of a process, readable when it has ended.
pub(super) fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: returns a new descriptor, which nothing else owns, or an error.
    unsafe {
        let descriptor = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
        Ok(OwnedFd::from_raw_fd(descriptor))
    }
}

/// The status of a child, if it has ended.
fn try_wait(pid: Pid) -> nix::Result<Option<ExitStatus>> {
    let mut status = 0;
    // SAFETY: writes one integer, to a variable of ours.
    let waited = unsafe { libc::waitpid(pid.as_raw(), &raw mut status, libc::WNOHANG) };
    Ok((Errno::result(waited)? != 0).then(|| ExitStatus::from_raw(status)))
}
