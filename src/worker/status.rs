//! What is known of a worker's process while it lives, and how it ended.

use std::fmt;
use std::future::poll_fn;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32,
    Ordering::{Acquire, Relaxed, Release, SeqCst},
};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use atomic_waker::AtomicWaker;
use nix::sys::signal::Signal;
use tokio::sync::watch;
use tokio::time::Instant;

use super::backtrace::Bell;
use super::in_hand::{InHand, Tag, Tags};
use super::output::Output;
use super::waste::Waste;
use crate::telemetry::trace::TraceId;

/// Bytes of what a worker printed last that are kept when it dies.
const LAST_WORDS: usize = 1024;

/// What is known of a worker's process.
#[derive(Debug)]
pub(crate) struct Status {
    child: u32,
    pid: AtomicU32,
    state: AtomicU8,
    /// Whether the request in hand, or the last one, has its answer.
    answered: AtomicBool,
    tags: Tags,
    /// How it is asked where in its code it is.
    bell: OnceLock<Bell>,
    created: SystemTime,
    started: Instant,
    exit: watch::Sender<Option<Exit>>,
    /// Set with `exit`, for the holder of the exchange, which checks at each wait and must not pay for a lock.
    gone: AtomicBool,
    holder: AtomicWaker,
    pub(super) output: Output,
}

/// What a worker is doing, with RoadRunner's numbers and names: `informer.Workers` shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// Started, but not yet heard of.
    Inactive = 0,
    /// Waiting for a request.
    Ready = 1,
    /// In a request.
    Working = 2,
    /// Leaving.
    Stopping = 4,
}

#[cfg(test)]
impl Status {
    /// That of no process.
    pub(crate) fn any() -> Self {
        Self::new(u32::MAX, Arc::default())
    }
}

impl State {
    /// RoadRunner's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Ready => "ready",
            Self::Working => "working",
            Self::Stopping => "stopping",
        }
    }
}

impl Status {
    /// Counts in `waste` what the worker sends in vain.
    pub(super) fn new(child: u32, waste: Arc<Waste>) -> Self {
        let started = Instant::now();
        Self {
            child,
            pid: AtomicU32::new(child),
            state: AtomicU8::new(State::Inactive as u8),
            answered: AtomicBool::new(false),
            tags: Tags::new(started),
            bell: OnceLock::new(),
            created: SystemTime::now(),
            started,
            exit: watch::Sender::new(None),
            gone: AtomicBool::new(false),
            holder: AtomicWaker::new(),
            output: Output::new(child, waste),
        }
    }

    /// The pid that the worker reported; behind a wrapper it is not the pid of the process that was started.
    pub(crate) fn pid(&self) -> u32 {
        self.pid.load(Relaxed)
    }

    /// The pid of the process that was started; its process group has the same number.
    pub(crate) fn group(&self) -> u32 {
        self.child
    }

    /// A request of this trace, or of none, is about to be passed to the worker, which has no other: what it prints from now on belongs to
    /// that trace.
    #[inline]
    pub(crate) fn enter_trace(&self, trace: Option<TraceId>) {
        self.output.marks.set(trace);
    }

    /// What the worker is doing.
    pub(crate) fn state(&self) -> State {
        match self.state.load(Acquire) {
            0 => State::Inactive,
            1 => State::Ready,
            2 => State::Working,
            _ => State::Stopping,
        }
    }

    /// When it was started.
    pub(crate) fn created(&self) -> SystemTime {
        self.created
    }

    /// How long ago it was started.
    pub(crate) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// Resolves when the process has ended and been reaped.
    pub(crate) fn exited(&self) -> impl Future<Output = Exit> + Send + use<> {
        let mut exit = self.exit.subscribe();
        async move {
            let unknown = Exit { status: None, killed: true };
            exit.wait_for(Option::is_some).await.map_or(unknown, |exit| exit.unwrap_or(unknown))
        }
    }

    /// Resolves when the process has ended. Only the holder of the worker's connection may wait here.
    pub(crate) async fn gone(&self) {
        poll_fn(|cx| self.poll_gone(cx)).await;
    }

    /// The same; to be polled.
    pub(super) fn poll_gone(&self, cx: &Context<'_>) -> Poll<()> {
        self.holder.register(cx.waker());
        if self.gone.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
    }

    /// One that is working has its request's tag already.
    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Release);
    }

    /// It has something in hand, or nothing any more; one that is leaving stays so.
    pub(crate) fn set_working(&self, working: bool) {
        let (was, is) = if working { (State::Ready, State::Working) } else { (State::Working, State::Ready) };
        let _ = self.state.compare_exchange(was as u8, is as u8, Relaxed, Relaxed);
    }

    /// The process has ended and been reaped.
    pub(super) fn set_exited(&self, exit: Exit) {
        self.exit.send_replace(Some(exit));
        self.gone.store(true, SeqCst);
        self.holder.wake();
    }

    pub(super) fn set_bell(&self, bell: Option<Bell>) {
        if let Some(bell) = bell {
            let _ = self.bell.set(bell);
        }
    }

    /// How it is asked where in its code it is, if it is.
    pub(super) fn bell(&self) -> Option<Bell> {
        self.bell.get().copied()
    }

    pub(super) fn set_pid(&self, pid: u32) {
        self.pid.store(pid, Relaxed);
    }

    /// What it printed last, at most 1 KB.
    pub(crate) fn last_words(&self) -> String {
        self.output.last_words(LAST_WORDS)
    }

    /// A request is handed to it; to a worker with one at a time.
    pub(super) fn begin(&self, tag: Tag) {
        self.answered.store(false, Relaxed);
        self.tags.set(tag);
    }

    /// The requests in hand of a worker with several.
    pub(super) fn tags(&self) -> &Tags {
        &self.tags
    }

    /// The requests in hand.
    pub(crate) fn in_hand(&self) -> InHand {
        self.tags.several().unwrap_or_else(|| {
            let mut in_hand = InHand::default();
            if self.state() == State::Working {
                in_hand.add(self.tags.last(), Instant::now());
            }
            in_hand
        })
    }

    /// The request in hand has its answer; the worker may still be busy with what comes after it.
    pub(super) fn set_answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether the request in hand, or the last one, has its answer.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(super) status: Option<ExitStatus>,
    /// The supervisor killed it.
    pub(super) killed: bool,
}

impl Exit {
    /// Whether the supervisor ended it: a worker may also exit by itself just before the signal.
    pub(crate) fn was_killed(&self) -> bool {
        let is_sigkill = |status: ExitStatus| status.signal() == Some(Signal::SIGKILL as i32);
        self.killed && self.status.is_none_or(is_sigkill)
    }

    /// Whether it exited by itself with status 0.
    pub(crate) fn is_clean(&self) -> bool {
        !self.killed && self.status.is_some_and(|status| status.success())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.status else { return f.write_str("unknown exit status") };
        match (status.code(), status.signal()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(number)) => {
                let name = Signal::try_from(number).map_or("an unknown signal", |signal| signal.as_str());
                write!(f, "killed by signal {number} ({name})")
            }
            (None, None) => write!(f, "{status}"),
        }
    }
}
