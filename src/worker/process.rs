//! A worker's life: one task owns the child process, and nothing else signals or reaps it.

use std::os::fd::AsRawFd as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::exchange::Exchange;
use super::output::{self, Source};
use super::status::{Exit, State, Status};
use super::waste::Waste;
use crate::os;
use crate::os::children::Member;
use crate::os::process::Started;

/// How long after a worker's end its last lines may take to be read. Only a process that left the worker's group and kept its
/// descriptors open makes this wait.
const LAST_LINES: Duration = Duration::from_millis(200);

/// How long a worker that was asked to leave, but had closed its input, has to exit by itself all the same.
const DEAF: Duration = Duration::from_millis(500);

/// How long a worker's end waits until its descendants have been found. On a machine that is busy beyond that, what left its group and its
/// environment may stay until the server shuts down.
const FAMILY_PATIENCE: Duration = Duration::from_millis(100);

/// The handle to a worker's life. Dropping it kills the worker.
#[derive(Debug)]
pub(crate) struct Process {
    status: Arc<Status>,
    orders: mpsc::UnboundedSender<Order>,
}

/// What the owner task is asked to do.
enum Order {
    Stop(Option<Box<Exchange>>, Duration),
    Finish(Duration),
    Kill,
}

impl Process {
    /// Takes a child that was just started.
    pub(super) fn adopt(mut started: Started, stdout_is_text: bool, waste: Arc<Waste>) -> Self {
        let child = &mut started.child;
        let group = child.id().unwrap_or_default();
        let status = Arc::new(Status::new(group, waste));
        let (orders, queue) = mpsc::unbounded_channel();
        let mut pumps = tokio::task::JoinSet::new();
        if let Some(stderr) = child.stderr.take() {
            let status = Arc::clone(&status);
            let pipe = Some(stderr.as_raw_fd());
            pumps.spawn(async move { output::pump(stderr, pipe, Source::Stderr, &status.output).await });
        }
        if let Some(stdout) = child.stdout.take_if(|_| stdout_is_text) {
            let status = Arc::clone(&status);
            let pipe = Some(stdout.as_raw_fd());
            pumps.spawn(async move { output::pump(stdout, pipe, Source::Stdout, &status.output).await });
        }
        tokio::spawn(own(started, Arc::clone(&status), queue, pumps));
        Self { status, orders }
    }

    pub(crate) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Asks the worker to leave: the stop frame, then end-of-file, then, after `patience`, SIGKILL to its group. Without an exchange, which
    /// a request holds then, there is only the last. A worker that was stopped by a signal is continued, so that it can read the frame.
    pub(crate) fn stop(&self, exchange: Option<Exchange>, patience: Duration) {
        self.status.set_state(State::Stopping);
        let _ = self.orders.send(Order::Stop(exchange.map(Box::new), patience));
    }

    /// Lets the worker finish the request in hand, for which no caller waits: unless it is asked to stop with its exchange within `patience`,
    /// its group is killed.
    pub(crate) fn finish(&self, patience: Duration) {
        self.status.set_state(State::Stopping);
        let _ = self.orders.send(Order::Finish(patience));
    }

    /// Kills the worker's group.
    pub(crate) fn kill(&self) {
        self.status.set_state(State::Stopping);
        let _ = self.orders.send(Order::Kill);
    }
}

/// Remembers what a worker that is about to end has started.
async fn remember_family(member: &Member) {
    let _ = tokio::time::timeout(FAMILY_PATIENCE, member.remember_family()).await;
}

/// Owns the child until it has ended.
async fn own(
    started: Started,
    worker: Arc<Status>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut pumps: tokio::task::JoinSet<()>,
) {
    let Started { mut child, member } = started;
    let group = worker.group();
    let mut end = End::default();
    // The farewell also reads what the worker still prints, so that a full pipe cannot keep it from leaving.
    let mut farewell = tokio::task::JoinSet::new();
    // Whichever of its streams the worker closes.
    let mut reports = pin!(worker.output.keep_reporting());
    let status = loop {
        let deadline = end.deadline();
        tokio::select! {
            status = child.wait() => break status.ok(),
            order = orders.recv(), if !end.killed => match order {
                Some(Order::Stop(exchange, patience)) => {
                    end.stop(exchange.is_some(), patience);
                    if let Some(exchange) = exchange {
                        os::process::continue_group(group);
                        remember_family(&member).await;
                        farewell.spawn(exchange.say_farewell());
                    }
                }
                Some(Order::Finish(patience)) => {
                    os::process::continue_group(group);
                    end.finish(patience);
                }
                // Without a handle nothing could ever stop it.
                Some(Order::Kill) | None => end.killed = true,
            },
            Some(heard) = farewell.join_next(), if !farewell.is_empty() => {
                if !heard.unwrap_or(false) {
                    end.stop(true, DEAF);
                }
            }
            () = &mut reports => {}
            () = tokio::time::sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() && !end.killed => end.killed = true,
        }
        if end.killed {
            remember_family(&member).await;
            os::process::kill_group(group);
        }
    };
    let killed = end.killed;
    // Its children are useless without it, and may hold its descriptors.
    os::process::kill_group(group);
    member.kill_family().await;
    drop(member);
    let _ = tokio::time::timeout(LAST_LINES, async { while pumps.join_next().await.is_some() {} }).await;
    worker.set_exited(Exit { status, killed });
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
    /// It has been asked to leave; with its exchange, since it is done with its request.
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
