//! An answer that is more than one message: a worker, or one unit of it, is held as long as it lasts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::Error;
use super::lease::{Answered, Lease};
use super::unit::Member;
use crate::worker::{Codec, Input, Received};

/// A longer time than this is not needed, and might be too far away to be represented.
const FAR: Duration = Duration::from_hours(24 * 365);

/// The answer to a request that may be streamed.
#[derive(Debug)]
pub enum Opened {
    /// It is one message.
    Answer(Answered),
    /// Its messages follow.
    Stream(AnswerStream),
}

/// A streamed answer. Dropping it asks the worker to end it; the worker is given back when it has done so.
#[derive(Debug)]
pub struct AnswerStream {
    /// None once the stream is over.
    lease: Option<Lease>,
    member: Arc<Member>,
    codec: Codec,
    input: Option<StreamInput>,
    /// When the stream ends since its worker has to leave.
    ends: Option<Instant>,
}

/// Where the client's messages go, for the handler of a stream.
#[derive(Debug)]
pub struct StreamInput(Input);

impl AnswerStream {
    /// The answer that this lease is for.
    pub(super) fn of(lease: Lease) -> Result<Self, Error> {
        let Some(unit) = lease.unit() else { return Err(Error::ShuttingDown) };
        let (member, codec) = (Arc::clone(&unit.member), unit.exchange.codec());
        let input = unit.exchange.input().map(StreamInput);
        Ok(Self { lease: Some(lease), member, codec, input, ends: None })
    }

    /// How its messages are encoded.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The worker.
    pub fn pid(&self) -> u32 {
        self.member.status.pid()
    }

    /// Takes the way for the client's messages; `None` the second time, and for workers that have one request at a time.
    pub fn input(&mut self) -> Option<StreamInput> {
        self.input.take()
    }

    /// Waits for the next message; `None` when the stream has ended well, and after an error. May be dropped and called again. While it is not
    /// called, the worker can send only a limited number of messages ahead.
    ///
    /// # Errors
    /// When the worker ended the stream with an error, broke the protocol, died, or had to leave and `pool.stream_timeout` has passed.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let lease = self.lease.as_mut()?;
        let received = tokio::select! {
            biased;
            received = lease.message() => received,
            () = leaving(&self.member, &mut self.ends) => {
                self.lease = None;
                return Some(Err(Error::StreamTimeout { limit: self.member.recipe.stream_timeout }));
            }
        };
        if let Ok(Received::Message(message)) = received {
            return Some(Ok(message));
        }
        let lease = self.lease.take()?;
        let pid = self.pid();
        match received {
            Ok(Received::Message(_) | Received::End) => None,
            Ok(Received::Unfinished) => Some(Err(Error::NoAnswer { pid })),
            Ok(Received::Error(message)) => Some(Err(Error::Worker { pid, message })),
            Ok(Received::Overrun) => {
                let fault = "it sent more messages of a stream than it may".to_owned();
                Some(Err(Error::Broken { pid, fault }))
            }
            Err(fault) => Some(Err(lease.broken_off(fault).await)),
        }
    }
}

/// Resolves when the worker has had to leave for `pool.stream_timeout`; `ends` is when that is, once it is known.
async fn leaving(member: &Member, ends: &mut Option<Instant>) {
    let at = if let Some(at) = *ends {
        at
    } else {
        member.leaving().await;
        *ends.insert(Instant::now() + member.recipe.stream_timeout.min(FAR))
    };
    sleep_until(at).await;
}

impl StreamInput {
    /// Sends one message, in the worker's codec, as soon as the worker takes it. False if the stream is over. May be dropped and called
    /// again.
    pub async fn send(&mut self, message: Bytes) -> bool {
        self.0.send(message).await
    }
}
