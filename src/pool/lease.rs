//! A worker lent to one request.
//!
//! Whatever happens to the request, the worker's unit finds its way back: it is idle again when it is settled, sent to the actor when the
//! worker has to leave, and settled in the background when the caller goes away or has its answer before the worker is done.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::Error;
use super::body::Body;
use super::core::{Reason, WorkerId};
use super::counters::Counters;
use super::loads::Use;
use super::request::{Request, Timings};
use super::slow::Watched;
use super::unit::Unit;
use super::units::Units;
use crate::request_type::RequestType;
use crate::worker::{Cancel, Codec, Fault, Outcome, Received, State, Tag};

/// How long an error waits for the exit status of a worker that died in a request. One that does not exit by itself is killed before that;
/// only a busy machine makes this wait.
const EXIT_STATUS: Duration = Duration::from_secs(1);

/// A worker that is done so soon after its caller has gone is not worth a message.
const PATIENCE: Duration = Duration::from_millis(20);

/// A unit taken out of the idle ones. Dropping it gives it back.
#[derive(Debug)]
#[must_use = "a lease that is not used keeps others waiting"]
pub(super) struct Lease {
    unit: Option<Box<Unit>>,
    units: Arc<Units>,
    /// When its caller stops waiting.
    deadline: Option<Instant>,
    /// When the request has to be done, if there is a limit.
    ends: Option<Instant>,
    work: Work,
    /// For the slow log.
    watched: Option<Watched>,
}

/// What is measured of the request that a unit is leased to.
#[derive(Debug, Clone, Copy)]
struct Work {
    tag: Tag,
    /// The worker has got it.
    has_begun: bool,
    /// When the worker had answered, unless it streams.
    done: Option<Instant>,
    /// The worker's time was counted.
    is_counted: bool,
}

/// The answer to a request. Its worker is given back when this is dropped.
///
/// To be dropped once the body has been passed on: the task that waits for the worker is woken last then, and so runs first. Until then
/// the worker has nothing to do.
#[derive(Debug)]
pub struct Answered {
    /// The body of the worker's answer.
    pub body: Bytes,
    /// How it is encoded.
    pub codec: Codec,
    /// `None` if it was given back already.
    worker: Option<Lease>,
}

/// What became of a request.
pub(super) enum Answer {
    /// This is for the caller.
    Done(Result<Answered, Error>),
    /// It is streamed: the lease is for its messages.
    Streams(Lease),
    /// This worker did not handle it, so another one may.
    RefusedBy(WorkerId),
}

impl Answered {
    /// The worker that has answered; 0 if it was given back.
    pub fn pid(&self) -> u32 {
        let unit = self.worker.as_ref().and_then(|lease| lease.unit.as_ref());
        unit.map_or(0, |unit| unit.member.status.pid())
    }

    /// Gives the worker back before the answer is passed on.
    pub fn release(&mut self) {
        self.worker = None;
    }
}

impl Lease {
    /// A lease of now; of what request is said by [`Self::begin`].
    pub(super) fn new(unit: Box<Unit>, units: Arc<Units>, now: Instant) -> Self {
        let tag = Tag { kind: RequestType::OTHER, since: now };
        let work = Work { tag, has_begun: false, done: None, is_counted: false };
        Self { unit: Some(unit), units, deadline: None, ends: None, work, watched: None }
    }

    /// The same for a request of this type, which has it from now on, and whose caller waits until `deadline`.
    pub(super) fn begin(mut self, kind: RequestType, now: Instant, deadline: Option<Instant>) -> Self {
        self.work.tag = Tag { kind, since: now };
        self.deadline = deadline;
        self
    }

    /// Runs one request. May be dropped at any time.
    #[expect(clippy::manual_async_fn, reason = "an async fn would hold the lease twice")]
    pub(super) fn exchange(
        mut self,
        request: &Request<'_, impl Body>,
        may_stream: bool,
        timings: &mut Timings,
    ) -> impl Future<Output = Answer> + Send {
        async move {
            let Request { trace, context, body, .. } = *request;
            let Some(unit) = &mut self.unit else { return Answer::Done(Err(Error::ShuttingDown)) };
            let Unit { exchange, member } = &mut **unit;
            let pid = member.status.pid();
            (timings.leased, timings.begun) = (Some(self.work.tag.since), None);
            (timings.done, timings.pid) = (None, Some(pid));
            let (worker, codec) = (member.id, exchange.codec());
            let encoded = match codec {
                Codec::Proto => body.proto(),
                Codec::Json => match body.json().await {
                    Ok(encoded) => {
                        self.work.tag.since = Instant::now();
                        encoded
                    }
                    Err(error) => return Answer::Done(Err(error)),
                },
            };
            if let Err(fault) = exchange.drop_leftovers().await {
                // Whatever it did, this request has no part in it.
                self.give_up(&fault);
                return Answer::RefusedBy(worker);
            }
            if let Err(too_large) = exchange.begin(context, encoded, may_stream, self.work.tag) {
                return Answer::Done(Err(Error::Broken { pid, fault: too_large.to_string() }));
            }
            match member.concurrency {
                None => {
                    member.status.set_state(State::Working);
                    member.status.enter_trace(trace);
                }
                Some(_) => member.status.set_working(true),
            }
            self.work.has_begun = true;
            timings.begun = Some(self.work.tag.since);
            if let Some(watch) = &member.recipe.slow {
                self.watched = Some(watch.begin(&member.status, self.work.tag, body.details(context)));
            }
            self.units.count_execution(unit);
            let outcome = match unit.member.recipe.exec_ttl {
                None => unit.exchange.answer().await,
                Some(limit) => {
                    let ends = Instant::now() + limit;
                    self.ends = Some(ends);
                    match unit.exchange.answer_by(ends).await {
                        Some(outcome) => outcome,
                        None => return self.too_long(limit, timings),
                    }
                }
            };
            timings.done = Some(self.answered(&outcome));
            match outcome {
                Ok(Outcome::Answer(body)) => Answer::Done(Ok(Answered { body, codec, worker: Some(self) })),
                Ok(Outcome::Streaming) => {
                    // It may take any time from now on.
                    (self.deadline, self.ends, self.work.done) = (None, None, None);
                    self.watched = None;
                    Answer::Streams(self)
                }
                Ok(Outcome::Streamed) => Answer::Done(Err(Error::Streamed { pid })),
                Ok(Outcome::Error(text)) => Answer::Done(Err(Error::Worker { pid, message: text })),
                Ok(Outcome::Nothing) => Answer::Done(Err(Error::NoAnswer { pid })),
                Ok(Outcome::Stop) => {
                    self.dismiss(Reason::Requested);
                    Answer::RefusedBy(worker)
                }
                Err(fault) => Box::pin(self.failed(fault)).await,
            }
        }
    }

    /// The unit that it is for.
    pub(super) fn unit(&self) -> Option<&Unit> {
        self.unit.as_deref()
    }

    /// The next message of a streamed answer.
    pub(super) async fn message(&mut self) -> Result<Received, Fault> {
        match &mut self.unit {
            Some(unit) => unit.exchange.message().await,
            None => Ok(Received::End),
        }
    }

    /// Why a streamed answer has broken off.
    pub(super) async fn broken_off(self, fault: Fault) -> Error {
        let pid = self.unit.as_ref().map_or(0, |unit| unit.member.status.pid());
        match self.failed(fault).await {
            Answer::Done(Err(error)) => error,
            Answer::Done(Ok(_)) | Answer::Streams(_) | Answer::RefusedBy(_) => {
                Error::WorkerDied { pid, how: "it is gone".into() }
            }
        }
    }

    /// The request has used up its time: its worker is killed, unless it has others in hand.
    fn too_long(&mut self, limit: Duration, timings: &mut Timings) -> Answer {
        let now = Instant::now();
        timings.done = Some(now);
        if self.unit.as_ref().is_some_and(|unit| !unit.exchange.is_one_of_many()) {
            self.work.count(now, self.units.counters());
            self.dismiss(Reason::ExecTtl);
        }
        Answer::Done(Err(Error::ExecTtl { limit }))
    }

    /// The worker has answered, or has failed. Returns the time.
    fn answered(&mut self, outcome: &Result<Outcome, Fault>) -> Instant {
        let now = Instant::now();
        self.work.done = Some(now);
        // It has not worked on what it did not handle.
        if !matches!(outcome, Ok(Outcome::Stop) | Err(Fault::Unsent)) {
            self.work.count(now, self.units.counters());
        }
        now
    }

    /// Takes the unit back from the request and hands it on. Its time counts only after that: until then it may count as in hand.
    fn hand_back<T>(&mut self, back: impl FnOnce(&Units, Box<Unit>) -> T) -> Option<T> {
        let unit = self.unit.take()?;
        self.watched = None;
        let until = self.work.done.unwrap_or_else(Instant::now);
        let handed = back(&self.units, unit);
        if self.work.has_begun {
            self.units.counters().was_busy(until.saturating_duration_since(self.work.tag.since));
        }
        Some(handed)
    }

    fn dismiss(&mut self, reason: Reason) {
        self.hand_back(|units, unit| units.dismiss(unit, reason));
    }

    /// The worker cannot be used any more.
    fn give_up(&mut self, fault: &Fault) {
        drop(self.hand_back(|units, unit| units.drop_faulty(unit, fault)));
    }

    /// The worker cannot be used any more: says what that means for the request.
    async fn failed(mut self, fault: Fault) -> Answer {
        let back = |units: &Units, unit: Box<Unit>| {
            let member = Arc::clone(&unit.member);
            (member, units.drop_faulty(unit, &fault))
        };
        let Some((member, exit)) = self.hand_back(back) else {
            return Answer::Done(Err(Error::ShuttingDown));
        };
        let (worker, pid) = (member.id, member.status.pid());
        debug!(target: "server", pid, error = %fault, "worker failed during a request");
        Answer::Done(Err(match fault {
            Fault::Unsent => return Answer::RefusedBy(worker),
            Fault::Closed(_) if member.is_too_large() => Error::TooMuchMemory,
            Fault::Closed(_) => {
                let how = match timeout(EXIT_STATUS, exit).await {
                    Ok(exit) => exit.to_string(),
                    Err(_) => fault.to_string(),
                };
                Error::WorkerDied { pid, how }
            }
            Fault::Violation(_) | Fault::Stalled | Fault::OutOfStep | Fault::MadeUp | Fault::Another(_) => {
                Error::Broken { pid, fault: fault.to_string() }
            }
        }))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(unit) = &mut self.unit else { return };
        let units = Arc::clone(&self.units);
        let (deadline, ends) = (self.deadline, self.ends);
        let reason = || {
            let is_over = |time: Option<Instant>| time.is_some_and(|time| time <= Instant::now());
            if is_over(ends) {
                Cancel::ExecTtl
            } else if is_over(deadline) {
                Cancel::Deadline
            } else {
                Cancel::Gone
            }
        };
        // Often the echo came with the answer, and the worker is done already.
        let Poll::Ready(released) = unit.exchange.release(reason) else {
            let (unit, work) = (self.unit.take(), self.work);
            let watched = self.watched.take().inspect(Watched::keep_only_texts);
            drop(unit.map(|unit| tokio::spawn(settle(unit, units, self.ends, work, watched))));
            return;
        };
        self.hand_back(|units, unit| match released {
            Ok(()) => units.give_back(unit),
            Err(fault) => drop(units.drop_faulty(unit, &fault)),
        });
    }
}

impl Work {
    /// Counts the worker's time, which ends now.
    fn count(&mut self, now: Instant, counters: &Counters) {
        if !std::mem::replace(&mut self.is_counted, true) {
            counters.worked(self.tag.kind, now.saturating_duration_since(self.tag.since));
        }
    }
}

/// Waits, while no caller does, until the worker is done; what it still answers is dropped.
async fn settle(
    mut unit: Box<Unit>,
    units: Arc<Units>,
    ends: Option<Instant>,
    mut work: Work,
    watched: Option<Watched>,
) {
    let (until, reason) = if let Some(ends) = ends {
        (ends, Reason::ExecTtl)
    } else {
        let until = Instant::now() + unit.member.recipe.abandon_ttl;
        // What it has waited until now is over.
        (until.checked_sub(unit.exchange.waited()).unwrap_or(until), Reason::Abandoned)
    };
    let soon = Instant::now() + PATIENCE;
    let mut used = Use::Done;
    let mut settled = timeout_at(soon, unit.exchange.abandon()).await.ok();
    if settled.is_none() {
        units.report_abandoned(&unit);
        used = Use::Abandoned;
        settled = unit.exchange.abandon_by(until).await;
        units.report_back(&unit);
    }
    if settled.is_none() && units.report_overdue(&unit) {
        // Others are in hand as well: the unit is lost until the worker is done with this one, or ends.
        used = Use::Overdue;
        settled = Some(unit.exchange.abandon().await);
    }
    drop(watched);
    let now = Instant::now();
    work.count(now, units.counters());
    match settled {
        Some(result) if unit.exchange.is_one_of_many() => {
            units.give_one_back(unit, used, result.err().as_ref());
        }
        Some(Ok(())) => units.give_back(unit),
        Some(Err(fault)) => drop(units.drop_faulty(unit, &fault)),
        None => units.dismiss(unit, reason),
    }
    units.counters().was_busy(now.saturating_duration_since(work.tag.since));
}
