//! A process that is neither ours nor a child: a server that a command is about.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::proc_fs;

/// A process, told from a later one with the same number by the moment of its start.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Other {
    pid: u32,
    started: u64,
}

impl Other {
    /// The process with this number; `None` when there is none, or only what is left of one that has ended.
    pub(crate) fn find(pid: u32) -> Option<Self> {
        // Zero and what is no pid at all would mean whole groups of processes to `kill`.
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

    /// Its command line; empty when it cannot be read.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let words = bytes.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
        let mut words: Vec<String> = words.collect();
        // The last word ends with a zero, too.
        words.pop();
        words
    }

    /// Whether it was started from the very file that this process was.
    pub(crate) fn runs_this_program(&self) -> bool {
        let file = |of: String| {
            let found = fs::metadata(format!("/proc/{of}/exe")).ok()?;
            Some((found.dev(), found.ino()))
        };
        let own = file("self".into());
        own.is_some() && file(self.pid.to_string()) == own
    }

    /// Whether it is a guard, by its name.
    pub(super) fn is_guard(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/comm", self.pid))
            .is_ok_and(|name| name.trim_end() == super::guard::NAME)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone, or another user's.
    pub(crate) fn signal(&self, signal: Signal) -> nix::Result<()> {
        if !self.is_alive() {
            return Err(nix::errno::Errno::ESRCH);
        }
        kill(Pid::from_raw(self.pid.cast_signed()), signal)
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_known_until_it_ends_even_if_nobody_reaps_it() {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        let other = Other::find(child.id()).unwrap();
        assert!(other.is_alive() && !other.runs_this_program());
        // The child may not be `sleep` yet.
        while other.arguments() != ["sleep", "1000"] {
            std::thread::yield_now();
        }
        other.signal(Signal::SIGKILL).unwrap();
        while other.is_alive() {
            std::thread::yield_now();
        }
        assert!(Other::find(child.id()).is_none());
        assert_eq!(other.signal(Signal::SIGTERM), Err(nix::errno::Errno::ESRCH));
        child.wait().unwrap();
    }

    #[test]
    fn this_process_runs_this_program_and_no_number_is_a_group() {
        assert!(Other::find(std::process::id()).unwrap().runs_this_program());
        assert!(Other::find(0).is_none() && Other::find(u32::MAX).is_none());
    }
}
