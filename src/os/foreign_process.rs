//! A process that need not be a child of ours: another server, or what a worker has started.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

use super::{child, proc_fs};

/// How often a process is looked at whose end the kernel cannot report.
const LOOK: Duration = Duration::from_millis(250);

/// A process, distinguished from a later one with the same pid by the time of its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ForeignProcess {
    pid: u32,
    started: u64,
}

impl ForeignProcess {
    /// The process with this pid; `None` if there is none, or only a zombie.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        // To `kill`, zero and negative numbers mean whole groups of processes.
        let valid = i32::try_from(pid).is_ok_and(|pid| pid > 0);
        let started = valid.then(|| proc_fs::started(pid)).flatten()?;
        Some(Self { pid, started })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it runs; a zombie does not.
    pub(crate) fn is_alive(&self) -> bool {
        proc_fs::started(self.pid) == Some(self.started)
    }

    /// Waits for its end. Needs a tokio runtime.
    pub(crate) async fn ended(&self) {
        if let Ok(descriptor) = self.descriptor()
            && self.is_alive()
        {
            let _ = descriptor.readable().await;
        }
        // It is a zombie then, or there was no descriptor.
        while self.is_alive() {
            sleep(LOOK).await;
        }
    }

    /// A descriptor of the process that has its pid now.
    fn descriptor(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let descriptor = child::pidfd(Pid::from_raw(self.pid.cast_signed()))?;
        // SAFETY: the descriptor is owned, and so stays open and the same.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(watched?)
    }

    /// Its name as the kernel knows it: at most 15 bytes.
    pub(super) fn name(&self) -> Option<String> {
        let name = fs::read_to_string(format!("/proc/{}/comm", self.pid)).ok()?;
        Some(name.trim_end().to_owned())
    }

    /// Its command line; empty if it cannot be read.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let mut words: Vec<String> = words.collect();
        // A zero follows the last word, too.
        words.pop();
        words
    }

    /// Whether it runs the same executable file as this process.
    pub(crate) fn runs_this_program(&self) -> bool {
        let file = |of: String| {
            let found = fs::metadata(format!("/proc/{of}/exe")).ok()?;
            Some((found.dev(), found.ino()))
        };
        let own = file("self".into());
        own.is_some() && file(self.pid.to_string()) == own
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// `ESRCH` if it has ended, `EPERM` if it belongs to another user.
    pub(crate) fn signal(&self, signal: Signal) -> nix::Result<()> {
        if !self.is_alive() {
            return Err(Errno::ESRCH);
        }
        kill(Pid::from_raw(self.pid.cast_signed()), signal)
    }

    /// Sends a signal to one of its threads.
    ///
    /// # Errors
    /// `ESRCH` if that, or the process, has ended, `EPERM` if it belongs to another user.
    pub(crate) fn signal_thread(&self, thread: u32, signal: Signal) -> nix::Result<()> {
        if !self.is_alive() {
            return Err(Errno::ESRCH);
        }
        let (pid, thread) = (self.pid.cast_signed(), thread.cast_signed());
        // SAFETY: the call takes numbers alone.
        Errno::result(unsafe { libc::syscall(libc::SYS_tgkill, pid, thread, signal as i32) }).map(drop)
    }
}

/// Kills those of these processes that live; returns their number.
pub(super) fn kill_all(pids: impl Iterator<Item = u32>) -> usize {
    let alive: Vec<ForeignProcess> = pids.filter_map(ForeignProcess::find).collect();
    for process in &alive {
        let _ = process.signal(Signal::SIGKILL);
    }
    alive.len()
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_found_until_it_ends_even_if_it_is_never_reaped() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = ForeignProcess::find(child.id()).unwrap();
        assert!(process.is_alive() && !process.runs_this_program());
        // The child may not have executed `sleep` yet.
        while process.arguments() != ["sleep", "1000"] {
            std::thread::yield_now();
        }
        assert_eq!(process.name().as_deref(), Some("sleep"));
        process.signal(Signal::SIGKILL).unwrap();
        while process.is_alive() {
            std::thread::yield_now();
        }
        assert!(ForeignProcess::find(child.id()).is_none());
        assert_eq!(process.signal(Signal::SIGTERM), Err(Errno::ESRCH));
        child.wait().unwrap();
    }

    #[tokio::test]
    async fn the_end_of_a_process_is_waited_for() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let process = ForeignProcess::find(child.id()).unwrap();
        let ended = tokio::spawn(async move { process.ended().await });
        assert!(!ended.is_finished());
        process.signal(Signal::SIGKILL).unwrap();
        ended.await.unwrap();
        assert!(!process.is_alive());
        process.ended().await;
        child.wait().unwrap();
    }

    #[test]
    fn this_process_runs_this_program_and_a_pid_is_never_a_group() {
        assert!(ForeignProcess::find(std::process::id()).unwrap().runs_this_program());
        assert!(ForeignProcess::find(0).is_none() && ForeignProcess::find(u32::MAX).is_none());
    }
}
