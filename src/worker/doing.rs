//! What a worker is doing at this moment, as far as the kernel and the worker itself say.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::backtrace::{Backtrace, Bell};
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

impl Doing {
    /// Looks at the kernel's view first, since the worker may be disturbed by what comes then, if `asks`: if its handshake says that it
    /// tells where it is on a signal, and nothing fails of that, it is sent that signal.
    pub(crate) async fn of(status: &Arc<Status>, asks: bool) -> Self {
        let pid = status.pid();
        let activity = offload::background(move || proc_fs::activity(pid)).await.ok().flatten();
        let last_words = status.output.last_errors(LAST_WORDS);
        let Some(activity) = activity else {
            return Self { state: "gone", last_words, ..Self::default() };
        };
        let backtrace = match status.bell().filter(|_| asks) {
            Some(bell) if bell.thread.is_some() || activity.survives_signals() => ask(status, bell).await,
            _ => None,
        };
        let Activity { state, wchan, syscall } = activity;
        Self { state, wchan, syscall, backtrace, last_words }
    }
}

/// Asks a worker where in its code it is.
async fn ask(status: &Arc<Status>, bell: Bell) -> Option<Backtrace> {
    let (pid, group) = (status.pid(), status.group());
    let answer = status.output.expect_backtrace();
    let asked = offload::background(move || {
        // A pid may be another's by now, and a process without a handler would die of it.
        let process = ForeignProcess::find(pid).filter(|_| proc_fs::belongs_to(pid, group))?;
        match bell {
            Bell { signal, thread: Some(thread) } => process.signal_thread(thread, signal).ok(),
            Bell { signal, thread: None } => {
                proc_fs::catches(pid, signal).then(|| process.signal(signal).ok())?
            }
        }
    });
    asked.await.ok().flatten()?;
    timeout(PATIENCE, answer).await.ok()?.ok()
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
