//! A worker lent to one request.
//!
//! Whatever happens to the request, its worker finds its way back: it is given back when it is settled, sent to the actor when it is
//! faulty, and settled in the background when the caller goes away or has its answer before the worker is done.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tracing::debug;

use super::Error;
use super::core::Reason;
use super::shared::{Message, Shared};
use crate::worker::{Fault, Link, Outcome, State};

/// How long the exit status of a worker that died in a request is waited for, so that the error can tell it.
const EXIT_STATUS: Duration = Duration::from_millis(200);

/// A worker, taken out of the idle ones. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a lease that is not used keeps others waiting"]
pub(super) struct Lease {
    link: Option<Box<Link>>,
    shared: Arc<Shared>,
}

/// What became of a request.
pub(super) enum Answer {
    /// This is for the caller.
    Done(Result<Bytes, Error>),
    /// The worker did not handle it: it is to be run by another.
    Again,
}

impl Lease {
    pub(super) fn new(link: Box<Link>, shared: Arc<Shared>) -> Self {
        Self { link: Some(link), shared }
    }

    /// Runs one request. May be dropped at any time.
    pub(super) async fn exchange(mut self, context: &[u8], body: Bytes) -> Answer {
        let Some(link) = &mut self.link else { return Answer::Again };
        if let Err(fault) = link.drop_leftovers(&mut Context::from_waker(Waker::noop())) {
            // Whatever it did, this request has no part in it.
            self.give_up(&fault);
            return Answer::Again;
        }
        link.status().set_state(State::Working);
        if let Err(too_large) = link.begin(context, body) {
            return Answer::Done(Err(Error::Broken(too_large.to_string())));
        }
        match link.answer().await {
            Ok(Outcome::Answer(body)) => Answer::Done(Ok(body)),
            Ok(Outcome::Error(text)) => Answer::Done(Err(Error::Worker(text))),
            Ok(Outcome::Nothing) => Answer::Done(Err(Error::NoAnswer)),
            Ok(Outcome::Stop) => {
                if let Some(link) = self.link.take() {
                    self.shared.tell(Message::Leaving(link, Reason::OwnWish));
                }
                Answer::Again
            }
            Err(fault) => self.failed(fault).await,
        }
    }

    /// The worker is of no use any more.
    fn give_up(&mut self, fault: &Fault) {
        if let Some(link) = self.link.take() {
            drop(self.shared.faulty(link, fault));
        }
    }

    /// The worker is of no use any more; says what that means for the request.
    async fn failed(mut self, fault: Fault) -> Answer {
        let Some(link) = self.link.take() else { return Answer::Again };
        let status = Arc::clone(link.status());
        debug!(target: "server", pid = status.pid(), error = %fault, "a worker failed in a request");
        let exit = self.shared.faulty(link, &fault);
        Answer::Done(Err(match fault {
            Fault::Unsent => return Answer::Again,
            Fault::Closed(_) => {
                let how = match tokio::time::timeout(EXIT_STATUS, exit).await {
                    Ok(exit) => exit.to_string(),
                    Err(_) => fault.to_string(),
                };
                Error::WorkerDied(how)
            }
            Fault::Violation(_) | Fault::Streamed | Fault::OutOfStep => Error::Broken(fault.to_string()),
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut link) = self.link.take() else { return };
        let shared = Arc::clone(&self.shared);
        // Often the echo came with the answer, and the worker is done already.
        match link.poll_settled(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => shared.give_back(link),
            Poll::Ready(Err(fault)) => drop(shared.faulty(link, &fault)),
            Poll::Pending => drop(tokio::spawn(settle(link, shared))),
        }
    }
}

/// Waits, with nobody waiting any more, until the worker is done; what it still answers is dropped.
async fn settle(mut link: Box<Link>, shared: Arc<Shared>) {
    match tokio::time::timeout(shared.abandon_ttl, link.settle()).await {
        Ok(Ok(())) => shared.give_back(link),
        Ok(Err(fault)) => drop(shared.faulty(link, &fault)),
        Err(_) => shared.tell(Message::Leaving(link, Reason::Abandoned)),
    }
}
