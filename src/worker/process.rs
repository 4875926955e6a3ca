//! A worker's life: one task owns the child process, and nothing else signals or reaps it.

use std::fmt;
use std::future::poll_fn;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::task::Poll;
use std::time::{Duration, SystemTime};

use atomic_waker::AtomicWaker;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::Connection;
use super::output::{self, Output, Source};
use crate::os;
use crate::os::family::Member;
use crate::os::process::Started;

/// How long after a worker's end its last lines may take to be read. Only a process that left the worker's group and kept its
/// descriptors open makes this wait.
const LAST_LINES: Duration = Duration::from_millis(200);

/// A worker that was asked to leave and has closed its input cannot have heard it; so much time has it to exit by itself all the same.
const DEAF: Duration = Duration::from_millis(500);

/// How long a worker's end waits for a look at what it has started. On a machine that is busy beyond that, what left its group and its
/// environment may stay until the server ends.
const LOOK: Duration = Duration::from_millis(100);

/// What is known of a worker, for everybody who asks.
#[derive(Debug)]
pub struct Status {
    id: u64,
    child: u32,
    pid: AtomicU32,
    state: AtomicU8,
    executions: AtomicU64,
    /// Whether the request in hand, or the last one, has its answer.
    answered: AtomicBool,
    retiring: AtomicBool,
    marked: AtomicBool,
    created: SystemTime,
    started: Instant,
    exit: watch::Sender<Option<Exit>>,
    /// Set with `exit`, for the one that holds the connection: it looks at each wait, and must not pay for a lock.
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
    pub(super) fn new(id: u64, child: u32) -> Self {
        Self {
            id,
            child,
            pid: AtomicU32::new(child),
            state: AtomicU8::new(State::Inactive as u8),
            executions: AtomicU64::new(0),
            answered: AtomicBool::new(false),
            retiring: AtomicBool::new(false),
            marked: AtomicBool::new(false),
            created: SystemTime::now(),
            started: Instant::now(),
            exit: watch::Sender::new(None),
            gone: AtomicBool::new(false),
            holder: AtomicWaker::new(),
            output: Output::new(child),
        }
    }

    /// The worker's number in its pool; never used twice.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The pid that the worker gave for itself; behind a wrapper it is not the pid of the process that was started.
    pub fn pid(&self) -> u32 {
        self.pid.load(Relaxed)
    }

    /// The pid of the process that was started; its process group has the same number.
    pub fn group(&self) -> u32 {
        self.child
    }

    /// What the worker is doing.
    pub fn state(&self) -> State {
        match self.state.load(Relaxed) {
            0 => State::Inactive,
            1 => State::Ready,
            2 => State::Working,
            _ => State::Stopping,
        }
    }

    /// Requests that were handed to it.
    pub fn executions(&self) -> u64 {
        self.executions.load(Relaxed)
    }

    /// When it was started.
    pub fn created(&self) -> SystemTime {
        self.created
    }

    /// How long it has been there.
    pub fn age(&self) -> Duration {
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

    /// Resolves when the process has ended. Only the one that holds the worker's connection may wait here.
    pub(crate) async fn gone(&self) {
        poll_fn(|cx| {
            self.holder.register(cx.waker());
            if self.gone.load(SeqCst) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    pub(crate) fn set_state(&self, state: State) {
        self.state.store(state as u8, Relaxed);
    }

    pub(super) fn set_pid(&self, pid: u32) {
        self.pid.store(pid, Relaxed);
    }

    /// A request is handed to it.
    pub(super) fn count_execution(&self) {
        self.executions.fetch_add(1, Relaxed);
        self.answered.store(false, Relaxed);
    }

    /// The request in hand has its answer; the worker may still be busy with what comes after it.
    pub(super) fn set_answered(&self) {
        self.answered.store(true, Relaxed);
    }

    /// Whether the request in hand, or the last one, has its answer.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered.load(Relaxed)
    }

    /// From now on whoever gives the worker back gives it to the pool's actor. False when this was so already.
    pub(crate) fn retire(&self) -> bool {
        !self.retiring.swap(true, Relaxed)
    }

    /// True once: whoever finds that the worker is to be replaced tells it only once.
    pub(crate) fn is_first_mark(&self) -> bool {
        !self.marked.load(Relaxed) && !self.marked.swap(true, Relaxed)
    }

    /// Whether it has been asked to leave, perhaps while it is in its last request.
    pub fn is_retiring(&self) -> bool {
        self.retiring.load(Relaxed)
    }
}

/// How a worker ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    status: Option<ExitStatus>,
    killed: bool,
}

impl Exit {
    /// Whether it left by itself with status 0.
    pub fn is_clean(&self) -> bool {
        !self.killed && self.status.is_some_and(|status| status.success())
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.status else { return f.write_str("it ended for an unknown reason") };
        match (status.code(), status.signal()) {
            (Some(code), _) => write!(f, "exit status {code}"),
            (None, Some(number)) => {
                let name = nix::sys::signal::Signal::try_from(number)
                    .map_or("an unknown signal", |signal| signal.as_str());
                write!(f, "killed by signal {number} ({name})")
            }
            (None, None) => write!(f, "{status}"),
        }
    }
}

/// The handle to a worker's life. Dropping it kills the worker.
#[derive(Debug)]
pub(crate) struct Process {
    status: Arc<Status>,
    orders: mpsc::UnboundedSender<Request>,
}

enum Request {
    Stop(Option<Box<Connection>>, Duration),
    Finish(Duration),
    Kill,
}

impl Process {
    /// Takes a child that was just started.
    pub(super) fn adopt(id: u64, mut started: Started, stdout_is_text: bool) -> Self {
        let child = &mut started.child;
        let group = child.id().unwrap_or_default();
        let status = Arc::new(Status::new(id, group));
        let (orders, queue) = mpsc::unbounded_channel();
        let mut pumps = tokio::task::JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            let status = Arc::clone(&status);
            pumps.spawn(async move { output::pump(stderr, Source::Stderr, &status.output).await });
        }
        if let Some(stdout) = child.stdout.take_if(|_| stdout_is_text) {
            let status = Arc::clone(&status);
            pumps.spawn(async move { output::pump(stdout, Source::Stdout, &status.output).await });
        }
        tokio::spawn(own(started, Arc::clone(&status), queue, pumps));
        Self { status, orders }
    }

    pub(crate) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Asks the worker to leave: the stop frame, then end-of-file, then, after `patience`, SIGKILL to its group. Without a connection, which
    /// somebody else holds then, there is only the last. One that was stopped by a signal goes on, so that it can hear.
    pub(crate) fn stop(&self, connection: Option<Box<Connection>>, patience: Duration) {
        self.status.set_state(State::Stopping);
        let _ = self.orders.send(Request::Stop(connection, patience));
    }

    /// Lets the worker finish the request in hand, for which nobody waits: unless it is asked to stop with its connection within `patience`, its
    /// group is killed.
    pub(crate) fn finish(&self, patience: Duration) {
        self.status.set_state(State::Stopping);
        let _ = self.orders.send(Request::Finish(patience));
    }

    /// Kills the worker's group.
    pub(crate) fn kill(&self) {
        self.status.set_state(State::Stopping);
        let _ = self.orders.send(Request::Kill);
    }
}

/// Remembers what a worker that is about to end has started.
async fn look(member: &Member) {
    let _ = tokio::time::timeout(LOOK, member.look()).await;
}

/// Owns the child until it has ended.
async fn own(
    started: Started,
    worker: Arc<Status>,
    mut orders: mpsc::UnboundedReceiver<Request>,
    mut pumps: tokio::task::JoinSet<()>,
) {
    let Started { mut child, member } = started;
    let group = worker.group();
    let mut end = End::default();
    // The farewell also reads what the worker still prints, so that a full pipe cannot keep it from leaving.
    let mut farewell = tokio::task::JoinSet::new();
    let status = loop {
        let deadline = end.deadline();
        tokio::select! {
            status = child.wait() => break status.ok(),
            order = orders.recv(), if !end.killed => match order {
                Some(Request::Stop(connection, patience)) => {
                    end.stop(connection.is_some(), patience);
                    if let Some(connection) = connection {
                        os::process::continue_group(group);
                        look(&member).await;
                        farewell.spawn(connection.say_farewell());
                    }
                }
                Some(Request::Finish(patience)) => {
                    os::process::continue_group(group);
                    end.finish(patience);
                }
                // Without a handle nobody could ever stop it.
                Some(Request::Kill) | None => end.killed = true,
            },
            Some(heard) = farewell.join_next(), if !farewell.is_empty() => {
                if !heard.unwrap_or(false) {
                    end.stop(true, DEAF);
                }
            }
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && !end.killed => end.killed = true,
        }
        if end.killed {
            look(&member).await;
            os::process::kill_group(group);
        }
    };
    let killed = end.killed;
    // Its children are of no use without it, and may hold its descriptors.
    os::process::kill_group(group);
    member.end().await;
    drop(member);
    let _ = tokio::time::timeout(LAST_LINES, async { while pumps.join_next().await.is_some() {} }).await;
    worker.exit.send_replace(Some(Exit { status, killed }));
    worker.gone.store(true, SeqCst);
    worker.holder.wake();
}

/// When a worker is killed, if it has not left by then.
#[derive(Debug, Default)]
struct End {
    stop_by: Option<Instant>,
    finish_by: Option<Instant>,
    /// It is done with its last request.
    finished: bool,
    killed: bool,
}

impl End {
    /// It has been asked to leave, if with its connection: then it is done with its request.
    fn stop(&mut self, finished: bool, patience: Duration) {
        let at = Instant::now() + patience;
        self.stop_by = Some(self.stop_by.map_or(at, |earlier| earlier.min(at)));
        if finished {
            self.finished = true;
            self.finish_by = None;
        }
    }

    /// It is to be done with its request soon.
    fn finish(&mut self, patience: Duration) {
        if !self.finished {
            self.finish_by = Some(Instant::now() + patience);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.stop_by.into_iter().chain(self.finish_by).min()
    }
}
