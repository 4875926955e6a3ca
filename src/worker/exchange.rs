//! One request at a time on one worker: what a lease talks to.
//!
//! A worker offers as many exchanges as it may have requests in flight. Today that is one, with the connection to itself, since only their
//! order ties answers to requests (`fence`). A protocol that numbers its requests will offer several exchanges over one connection; their
//! holders see no difference.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connection;
use super::outcome::{Fault, Outcome};
use super::status::Status;
use crate::goridge::{self, Codec};

/// How long after a worker's end its last words may still arrive. Its relay mostly ends with it; but a process that it started may hold
/// the pipes open.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How often a request that has little time left is checked, at most, while its answer waits for memory.
const MEMORY_CHECK: Duration = Duration::from_millis(100);

/// The right and the means to run one request on a worker. Every wait may be dropped and started again.
#[derive(Debug)]
pub(crate) struct Exchange {
    connection: Connection,
    status: Arc<Status>,
    codec: Codec,
}

impl Exchange {
    /// The exchange of a worker whose bodies are in this codec.
    pub(super) fn new(connection: Connection, codec: Codec) -> Self {
        let status = Arc::clone(connection.status());
        Self { connection, status, codec }
    }

    /// How the bodies of requests and answers are encoded.
    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    /// Drops what the worker sent since its last request.
    ///
    /// # Errors
    /// [`Fault::Unsent`] when the worker is gone, another when it sent what no worker may.
    pub(crate) async fn drop_leftovers(&mut self) -> Result<(), Fault> {
        self.connection.drop_leftovers().await
    }

    /// Takes a request, whose body is in the worker's codec; it is written as its answer is awaited.
    pub(crate) fn begin(&mut self, context: &[u8], body: Bytes) -> Result<(), goridge::TooLarge> {
        self.connection.begin(self.codec, context, body)
    }

    /// Waits for the answer.
    ///
    /// # Errors
    /// When the worker cannot be used any more.
    pub(crate) async fn answer(&mut self) -> Result<Outcome, Fault> {
        while_alive(&self.status, self.connection.answer()).await
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
        self.connection.waited()
    }

    /// When a request that has time until `ends` is overdue; `None` if it is. While it waits for memory, this is when to ask again.
    fn due(&self, ends: Instant) -> Option<Instant> {
        let (now, due) = (Instant::now(), ends + self.connection.waited());
        let is_waiting = self.connection.is_waiting();
        (due > now).then(|| if is_waiting { due.max(now + MEMORY_CHECK) } else { due })
    }

    /// Whether the worker is done with the request; does not wait.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.connection.poll_settled(cx)
    }

    /// Gives up the answer: drops whatever still comes, until the worker is done with the request.
    ///
    /// # Errors
    /// When the worker cannot be used any more.
    pub(crate) async fn abandon(&mut self) -> Result<(), Fault> {
        while_alive(&self.status, self.connection.settle()).await
    }

    /// Asks the worker to leave: see [`Connection::say_farewell`].
    pub(super) async fn say_farewell(self) -> bool {
        self.connection.say_farewell().await
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
