//! What a worker is doing at this moment, as far as the kernel and the worker itself say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::time::timeout;

use super::status::Status;
use crate::offload;
use crate::os::foreign_process::ForeignProcess;
use crate::os::proc_fs::{self, Activity};

/// How long a worker may take to say where it is. One that takes longer logs it by itself.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bytes of what a worker printed last that are shown.
const LAST_WORDS: usize = 500;

/// What a worker is doing.
#[derive(Debug, Default)]
pub(crate) struct Doing {
    /// The kernel's word for its state.
    pub(crate) state: &'static str,
    /// Where in the kernel it waits.
    pub(crate) wchan: Option<String>,
    /// The system call that it is in.
    pub(crate) syscall: Option<String>,
    /// Where in its code it is.
    pub(crate) backtrace: Option<Backtrace>,
    /// What it printed last on standard error.
    pub(crate) last_words: String,
}

/// Where in its code a worker is, as it says itself.
#[derive(Debug, PartialEq, Eq, serde::Deserialize)]
pub(crate) struct Backtrace {
    /// The innermost place: file, line and function.
    #[serde(rename = "backtrace")]
    pub(crate) place: String,
    /// The places that led there.
    #[serde(default)]
    pub(crate) stack: String,
}

impl Doing {
    /// Looks at the kernel's view first, since the worker is disturbed by what comes then: if its handshake says that it tells where it is on
    /// a signal, it is sent that signal.
    pub(crate) async fn of(status: &Arc<Status>) -> Self {
        let pid = status.pid();
        let activity = offload::background(move || proc_fs::activity(pid)).await.ok().flatten();
        let last_words = status.output.last_errors(LAST_WORDS);
        let backtrace = match status.backtrace_signal() {
            Some(signal) => ask(status, signal).await,
            None => None,
        };
        let Some(Activity { state, wchan, syscall }) = activity else {
            return Self { state: "gone", last_words, ..Self::default() };
        };
        Self { state, wchan, syscall, backtrace, last_words }
    }
}

/// Asks a worker where in its code it is.
async fn ask(status: &Arc<Status>, signal: Signal) -> Option<Backtrace> {
    let (pid, group) = (status.pid(), status.group());
    let answer = status.output.expect_backtrace();
    let asked = offload::background(move || {
        // A process without a handler would die of it, and a pid may be another's by now.
        let process = ForeignProcess::find(pid)?;
        let is_safe = proc_fs::catches(pid, signal) && proc_fs::belongs_to(pid, group);
        is_safe.then(|| process.signal(signal).ok()).flatten()
    });
    asked.await.ok().flatten()?;
    let line = timeout(PATIENCE, answer).await.ok()?.ok()?;
    serde_json::from_slice(&line).ok()
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.state)?;
        if let Some(syscall) = &self.syscall {
            write!(f, " in {syscall}")?;
        }
        if let Some(wchan) = &self.wchan {
            write!(f, " ({wchan})")?;
        }
        if let Some(Backtrace { place, .. }) = &self.backtrace {
            write!(f, " at {place}")?;
        }
        if !self.last_words.is_empty() {
            write!(f, "; stderr: {}", self.last_words)?;
        }
        Ok(())
    }
}
