//! A worker lent to one request.
//!
//! Whatever happens to the request, its worker finds its way back: it is given back when it is settled, sent to the actor when it is
//! faulty, and settled in the background when the caller goes away or has its answer before the worker is done.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::Error;
use super::core::Reason;
use super::shared::{Message, Shared};
use crate::worker::{Connection, Fault, Outcome, State, Status};

/// How long the exit status of a worker that died in a request is waited for, so that the error can tell it. Whoever does not exit by
/// itself is killed before that; only a busy machine makes this wait.
const EXIT_STATUS: Duration = Duration::from_secs(1);

/// How long after a worker's end its last words may still arrive. Its relay mostly ends with it; but a process that it started may hold
/// the pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// A worker that is done within so short a time after its caller has gone is not worth telling of.
const PATIENCE: Duration = Duration::from_millis(20);

/// A worker, taken out of the idle ones. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a lease that is not used keeps others waiting"]
pub(super) struct Lease {
    connection: Option<Box<Connection>>,
    shared: Arc<Shared>,
    /// When the request has to be done, if there is a limit.
    ends: Option<Instant>,
}

/// The answer to a request. Its worker is given back when this is dropped.
///
/// To be dropped once the body has been passed on: whoever waits for the worker is woken last then, and so is the first to run. Until
/// then the worker has nothing to do.
#[derive(Debug)]
pub struct Answered {
    /// The body of the worker's answer.
    pub body: Bytes,
    _worker: Lease,
}

/// What became of a request.
pub(super) enum Answer {
    /// This is for the caller.
    Done(Result<Answered, Error>),
    /// The worker did not handle it: it is to be run by another.
    Again,
}

impl Lease {
    pub(super) fn new(connection: Box<Connection>, shared: Arc<Shared>) -> Self {
        Self { connection: Some(connection), shared, ends: None }
    }

    /// Runs one request. May be dropped at any time.
    pub(super) async fn exchange(mut self, context: &[u8], body: Bytes) -> Answer {
        let Some(connection) = &mut self.connection else { return Answer::Again };
        if let Err(fault) = connection.drop_leftovers().await {
            // Whatever it did, this request has no part in it.
            self.give_up(&fault);
            return Answer::Again;
        }
        connection.status().set_state(State::Working);
        if let Err(too_large) = connection.begin(context, body) {
            return Answer::Done(Err(Error::Broken(too_large.to_string())));
        }
        let status = Arc::clone(connection.status());
        let answer = while_alive(&status, connection.answer());
        let outcome = match self.shared.exec_ttl {
            None => answer.await,
            Some(limit) => {
                let ends = Instant::now() + limit;
                self.ends = Some(ends);
                match timeout_at(ends, answer).await {
                    Ok(outcome) => outcome,
                    Err(_) => return self.too_long(limit),
                }
            }
        };
        match outcome {
            Ok(Outcome::Answer(body)) => Answer::Done(Ok(Answered { body, _worker: self })),
            Ok(Outcome::Error(text)) => Answer::Done(Err(Error::Worker(text))),
            Ok(Outcome::Nothing) => Answer::Done(Err(Error::NoAnswer)),
            Ok(Outcome::Stop) => {
                if let Some(connection) = self.connection.take() {
                    self.shared.tell(Message::Leaving(connection, Reason::Requested));
                }
                Answer::Again
            }
            Err(fault) => self.failed(fault).await,
        }
    }

    /// The request has used up its time: its worker is killed.
    fn too_long(&mut self, limit: Duration) -> Answer {
        if let Some(connection) = self.connection.take() {
            self.shared.tell(Message::Leaving(connection, Reason::ExecTtl));
        }
        Answer::Done(Err(Error::ExecTtl { limit }))
    }

    /// The worker is of no use any more.
    fn give_up(&mut self, fault: &Fault) {
        if let Some(connection) = self.connection.take() {
            drop(self.shared.faulty(connection, fault));
        }
    }

    /// The worker is of no use any more; says what that means for the request.
    async fn failed(mut self, fault: Fault) -> Answer {
        let Some(connection) = self.connection.take() else { return Answer::Again };
        let status = Arc::clone(connection.status());
        debug!(target: "server", pid = status.pid(), error = %fault, "a worker failed in a request");
        let exit = self.shared.faulty(connection, &fault);
        Answer::Done(Err(match fault {
            Fault::Unsent => return Answer::Again,
            Fault::Closed(_) => {
                let how = match tokio::time::timeout(EXIT_STATUS, exit).await {
                    Ok(exit) => exit.to_string(),
                    Err(_) => fault.to_string(),
                };
                Error::WorkerDied(how)
            }
            Fault::Violation(_) | Fault::Streamed | Fault::OutOfStep | Fault::MadeUp | Fault::Another(_) => {
                Error::Broken(fault.to_string())
            }
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let shared = Arc::clone(&self.shared);
        // Often the echo came with the answer, and the worker is done already.
        match connection.poll_settled(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => shared.give_back(connection),
            Poll::Ready(Err(fault)) => drop(shared.faulty(connection, &fault)),
            Poll::Pending => drop(tokio::spawn(settle(connection, shared, self.ends))),
        }
    }
}

/// Waits, with nobody waiting any more, until the worker is done; what it still answers is dropped.
async fn settle(mut connection: Box<Connection>, shared: Arc<Shared>, ends: Option<Instant>) {
    let status = Arc::clone(connection.status());
    let (until, reason) = match ends {
        Some(ends) => (ends, Reason::ExecTtl),
        None => (Instant::now() + shared.abandon_ttl, Reason::Abandoned),
    };
    let soon = until.min(Instant::now() + PATIENCE);
    let mut settled = timeout_at(soon, while_alive(&status, connection.settle())).await;
    if settled.is_err() {
        shared.tell(Message::Abandoned(status.id()));
        settled = timeout_at(until, while_alive(&status, connection.settle())).await;
        shared.tell(Message::CameBack(status.id()));
    }
    match settled {
        Ok(Ok(())) => shared.give_back(connection),
        Ok(Err(fault)) => drop(shared.faulty(connection, &fault)),
        Err(_) => shared.tell(Message::Leaving(connection, reason)),
    }
}

/// Talks for as long as the worker's process lives, and a moment longer.
async fn while_alive<T>(status: &Status, talk: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    let mut talk = pin!(talk);
    tokio::select! {
        biased;
        result = &mut talk => result,
        () = status.gone() => timeout(LAST_WORDS, talk).await.unwrap_or(Err(Fault::Closed(None))),
    }
}
