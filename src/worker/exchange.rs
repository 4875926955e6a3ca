//! One request on one worker: what a lease talks to.
//!
//! A worker offers as many exchanges as it may have requests in flight: one, which has the connection to itself, since only their order ties
//! answers to requests (`fence`); or as many as it wants, if requests are numbered (`numbered`). Their holders see no difference.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connection;
use super::in_hand::Tag;
use super::numbered::{Input, Numbered};
use super::outcome::{Fault, Outcome, Received};
use super::status::Status;
use crate::goridge::{self, Cancel, Codec};

/// How long after a worker's end its last words may still arrive. Its relay mostly ends with it; but a process that it started may hold
/// the pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How often a request that has little time left is checked, at most, while its answer waits for memory.
const MEMORY_CHECK: Duration = Duration::from_millis(100);

/// The right and the means to run one request on a worker. Every wait may be dropped and started again.
#[derive(Debug)]
pub(crate) enum Exchange {
    /// The only one of its worker.
    Single(Box<Single>),
    /// One of many.
    Numbered(Numbered),
}

/// A connection that has one request at a time.
#[derive(Debug)]
pub(crate) struct Single {
    connection: Connection,
    status: Arc<Status>,
    codec: Codec,
}

impl Exchange {
    /// The exchange of a worker that has one request at a time, with bodies in this codec.
    pub(super) fn single(connection: Connection, codec: Codec) -> Self {
        let status = Arc::clone(connection.status());
        Self::Single(Box::new(Single { connection, status, codec }))
    }

    /// How the bodies of requests and answers are encoded.
    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::Single(single) => single.codec,
            Self::Numbered(unit) => unit.codec(),
        }
    }

    /// Whether the worker may have several requests in flight.
    pub(crate) fn is_one_of_many(&self) -> bool {
        matches!(self, Self::Numbered(_))
    }

    /// Another one of the same worker, if that may have several requests in flight.
    pub(crate) fn another(&self) -> Option<Self> {
        match self {
            Self::Single(_) => None,
            Self::Numbered(unit) => Some(Self::Numbered(unit.another())),
        }
    }

    /// Whether it was used for a request; only of workers that may have several in flight.
    pub(crate) fn has_begun(&self) -> bool {
        match self {
            Self::Single(_) => true,
            Self::Numbered(unit) => unit.has_begun(),
        }
    }

    /// Drops what the worker sent since its last request.
    ///
    /// # Errors
    /// [`Fault::Unsent`] when the worker is gone, another when it sent what no worker may.
    pub(crate) async fn drop_leftovers(&mut self) -> Result<(), Fault> {
        match self {
            Self::Single(single) => single.connection.drop_leftovers().await,
            // What comes under its number cannot be mistaken for something else.
            Self::Numbered(_) => Ok(()),
        }
    }

    /// Takes a request, whose body is in the worker's codec; it is written as its answer is awaited. `may_stream`: the answer may be more
    /// than one message. `tag` says what it is.
    pub(crate) fn begin(
        &mut self,
        context: &[u8],
        body: Bytes,
        may_stream: bool,
        tag: Tag,
    ) -> Result<(), goridge::TooLarge> {
        match self {
            Self::Single(single) => single.connection.begin(single.codec, context, body, may_stream, tag),
            Self::Numbered(unit) => unit.begin(context, body, may_stream, tag),
        }
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When the worker cannot be used any more.
    pub(crate) async fn answer(&mut self) -> Result<Outcome, Fault> {
        match self {
            Self::Single(single) => while_alive(&single.status, single.connection.answer()).await,
            Self::Numbered(unit) => poll_fn(|cx| unit.poll_answer(cx)).await,
        }
    }

    /// Waits for the next message of a streamed answer.
    ///
    /// # Errors
    /// When the worker cannot be used any more.
    pub(crate) async fn message(&mut self) -> Result<Received, Fault> {
        match self {
            Self::Single(single) => while_alive(&single.status, single.connection.message()).await,
            Self::Numbered(unit) => poll_fn(|cx| unit.poll_message(cx)).await,
        }
    }

    /// Where messages for the handler of the streamed answer go, if it can have any.
    pub(crate) fn input(&self) -> Option<Input> {
        match self {
            Self::Single(_) => None,
            Self::Numbered(unit) => unit.input(),
        }
    }

    /// Like [`Self::answer`]; `None` if there is none by `ends`. The time in which the answer waits for memory does not count.
    pub(crate) async fn answer_by(&mut self, ends: Instant) -> Option<Result<Outcome, Fault>> {
        let mut due = ends;
        loop {
            match timeout_at(due, self.answer()).await {
                Ok(answer) => return Some(answer),
                Err(_) => due = self.due(ends)?,
            }
        }
    }

    /// Like [`Self::abandon`]; `None` if the worker is not done by `ends`, counted as for [`Self::answer_by`].
    pub(crate) async fn abandon_by(&mut self, ends: Instant) -> Option<Result<(), Fault>> {
        let mut due = ends;
        loop {
            match timeout_at(due, self.abandon()).await {
                Ok(settled) => return Some(settled),
                Err(_) => due = self.due(ends)?,
            }
        }
    }

    /// How long the request in hand has waited for memory.
    pub(crate) fn waited(&self) -> Duration {
        self.waits().0
    }

    /// How long the request in hand has waited for memory, and whether it does now.
    fn waits(&self) -> (Duration, bool) {
        match self {
            Self::Single(single) => (single.connection.waited(), single.connection.is_waiting()),
            Self::Numbered(unit) => unit.waited(),
        }
    }

    /// When a request that has time until `ends` is overdue; `None` if it is. While it waits for memory, this is when to ask again.
    fn due(&self, ends: Instant) -> Option<Instant> {
        let (waited, is_waiting) = self.waits();
        let (now, due) = (Instant::now(), ends + waited);
        (due > now).then(|| if is_waiting { due.max(now + MEMORY_CHECK) } else { due })
    }

    /// Whether the worker is done with the request, whose answer is not wanted any more; does not wait. If it is not, and can be told, it
    /// hears of it, with the reason.
    pub(crate) fn release(&mut self, reason: impl FnOnce() -> Cancel) -> Poll<Result<(), Fault>> {
        match self {
            Self::Single(single) => single.connection.release(&mut Context::from_waker(Waker::noop())),
            Self::Numbered(unit) => unit.release(reason),
        }
    }

    /// Gives up the answer: drops whatever still comes, until the worker is done with the request.
    ///
    /// # Errors
    /// When the worker cannot be used any more.
    pub(crate) async fn abandon(&mut self) -> Result<(), Fault> {
        match self {
            Self::Single(single) => while_alive(&single.status, single.connection.settle()).await,
            Self::Numbered(unit) => poll_fn(|cx| unit.poll_settled(cx)).await,
        }
    }

    /// Lets a worker with several requests in hand know that it gets no new ones.
    pub(crate) fn drain(&self) {
        match self {
            Self::Single(_) => {}
            Self::Numbered(unit) => unit.drain(),
        }
    }

    /// Asks the worker to leave. Resolves to whether it can have read the stop frame: at the end of its output, or at once when it cannot.
    pub(super) async fn say_farewell(self) -> bool {
        match self {
            Self::Single(single) => single.connection.say_farewell().await,
            Self::Numbered(unit) => unit.say_farewell().await,
        }
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
