//! The connection to one worker: one request at a time goes out, and what comes back is sorted into answer, surplus and noise.
//!
//! All state lives in the connection and none in a future. So a wait may be dropped at any moment, and another task may continue where it
//! stopped: a caller that goes away leaves a connection which the pool settles in the background.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, Sleep};
use tracing::warn;

use super::fence::{Fence, Verdict};
use super::in_hand::Tag;
use super::incoming::{Held, Incoming, Reading};
use super::outcome::{Fault, Outcome, Received};
use super::outgoing::Outgoing;
use super::status::Status;
use super::streamed::{Streamed, Use};
use super::waste::Dropped;
use crate::goridge::{self, Codec, Frame, Greeting, Reply, Violation};
use crate::relay::Relay;
use crate::request_type::RequestType;

/// The grace period in which an answer may follow its echo. A handler that ended without an answer fails its request after this time.
const GRACE: Duration = Duration::from_millis(250);

/// How much of what a worker has sent since its last request is dropped before the next one, at most: more than a pipe holds. A worker that goes
/// on sending gets a fence in front of the request, behind which only what belongs to it follows.
const LEFTOVERS: usize = 1 << 20;

/// More than most answers are read at once; a large one leaves its buffer to the next.
const READING: Reading = Reading { least: 2 * 1024, keeps: usize::MAX };

/// The connection to one worker.
#[derive(Debug)]
pub(super) struct Connection {
    status: Arc<Status>,
    relay: Relay,
    incoming: Incoming,
    outgoing: Outgoing,
    fence: Fence,
    fence_frame: Bytes,
    grace: Option<Pin<Box<Sleep>>>,
    /// What may be the answer, until its echo says so.
    held: Option<Held>,
    stream: Streamed,
    /// The types of the last request and of the one before it.
    types: [Option<RequestType>; 2],
}

impl Connection {
    /// A connection over a relay; `max_message_size` bytes are the most that a frame may hold.
    pub(super) fn new(status: Arc<Status>, relay: Relay, fence: Fence, max_message_size: usize) -> Self {
        Self {
            incoming: Incoming::new(Arc::clone(&status), max_message_size, READING),
            status,
            relay,
            outgoing: Outgoing::default(),
            fence,
            fence_frame: goridge::pid_request(std::process::id()),
            grace: None,
            held: None,
            stream: Streamed::Never,
            types: [None; 2],
        }
    }

    /// What reads and writes, for requests that are numbered.
    pub(super) fn into_parts(self) -> (Relay, Incoming) {
        (self.relay, self.incoming)
    }

    pub(super) fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Asks for the worker's greeting and waits for it. What it prints meanwhile goes to the log.
    ///
    /// # Errors
    /// When the worker closes its side or sends another frame.
    pub(super) async fn handshake(&mut self) -> Result<Greeting, Fault> {
        self.outgoing.head.extend_from_slice(&self.fence_frame);
        poll_fn(|cx| {
            let _ = self.poll_write(cx)?;
            let frame = ready!(self.poll_frame(cx))?;
            Poll::Ready(match goridge::greeting(&frame) {
                Some(greeting) => Ok(greeting),
                None => Err(Violation::unexpected(&goridge::classify(frame)?).into()),
            })
        })
        .await
    }

    /// Drops what the worker sent since it was last used. May be dropped and called again.
    ///
    /// # Errors
    /// [`Fault::Unsent`] when the worker is gone, another when it sent what no worker may.
    pub(super) async fn drop_leftovers(&mut self) -> Result<(), Fault> {
        self.incoming.work().begin();
        poll_fn(|cx| self.poll_leftovers(cx)).await
    }

    fn poll_leftovers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            match self.poll_reply(cx) {
                Poll::Pending => {
                    let work = self.incoming.work();
                    if work.has_yielded() && work.useless() < LEFTOVERS {
                        return Poll::Pending;
                    }
                    if work.has_yielded() {
                        self.fence.distrust();
                    }
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(reply)) => self.take_leftover(reply),
                Poll::Ready(Err(Fault::Closed(_))) => return Poll::Ready(Err(Fault::Unsent)),
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// Takes a request, to be written as it is awaited.
    ///
    /// # Errors
    /// If it is too long for a frame; nothing has changed then.
    pub(super) fn begin(
        &mut self,
        codec: Codec,
        context: &[u8],
        body: Bytes,
        may_stream: bool,
        tag: Tag,
    ) -> Result<(), goridge::TooLarge> {
        debug_assert!(self.fence.is_settled(), "a connection holds one request at a time");
        let head = goridge::request_head(codec, context, body.len())?;
        // What has begun to arrive was sent before the request: its rest must not pass for the answer.
        let placement =
            if self.incoming.is_empty() { self.fence.begin() } else { self.fence.begin_in_front() };
        self.incoming.begin();
        self.stream = Streamed::begin(may_stream);
        let fence = |wanted: bool| wanted.then_some(&self.fence_frame);
        let fences = [fence(placement.front), fence(placement.behind)];
        self.outgoing.request(fences, [head.as_ref(), context], body);
        self.status.begin(tag);
        self.types = [Some(tag.kind), self.types[0]];
        Ok(())
    }

    /// How long this connection has waited for memory since the request in hand began.
    pub(super) fn waited(&self) -> Duration {
        self.incoming.waited()
    }

    /// Whether it waits for memory now.
    pub(super) fn is_waiting(&self) -> bool {
        self.incoming.is_waiting()
    }

    /// Waits for the answer to the request in hand. May be dropped and called again.
    pub(super) async fn answer(&mut self) -> Result<Outcome, Fault> {
        poll_fn(|cx| self.poll_answer(cx)).await
    }

    /// Waits for the next message of a streamed answer. May be dropped and called again.
    pub(super) async fn message(&mut self) -> Result<Received, Fault> {
        poll_fn(|cx| self.poll_message(cx)).await
    }

    fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, Fault>> {
        loop {
            if let Some(message) = self.stream.take() {
                return Poll::Ready(Ok(Received::Message(message)));
            }
            if !self.stream.is_open() {
                return Poll::Ready(Ok(Received::End));
            }
            let outcome = ready!(self.poll_answer(cx))?;
            if !matches!(outcome, Outcome::Streaming) {
                return Poll::Ready(Ok(self.stream.end(outcome)));
            }
        }
    }

    /// Whether the worker is done with the request in hand, whose answer is not wanted any more; a stream is asked to end.
    pub(super) fn release(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.stream.give_up() {
            self.outgoing.push(goridge::stop_stream().as_ref());
        }
        self.poll_settled(cx)
    }

    /// A message of a streamed answer.
    fn take_chunk(&mut self, message: Bytes) -> Option<Outcome> {
        let bytes = message.len();
        match self.stream.receive(message) {
            Use::Kept => {
                self.incoming.was_useful();
                Some(Outcome::Streaming)
            }
            Use::Refused => {
                self.outgoing.push(goridge::stop_stream().as_ref());
                Some(Outcome::Streamed)
            }
            Use::None => {
                self.incoming.work().dropped(bytes);
                None
            }
        }
    }

    /// Waits until the worker is done with the request in hand; what it answers is dropped. May be dropped and called again.
    pub(super) async fn settle(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| self.poll_settled(cx)).await
    }

    /// Sends the stop frame, closes our side, and reads what is left, so that the worker can leave whatever it still prints. Resolves to
    /// whether it can have read the frame: at the end of its output, or at once when it cannot.
    pub(super) async fn say_farewell(mut self) -> bool {
        self.outgoing.head.extend_from_slice(&goridge::stop());
        let said: Result<(), Fault> = poll_fn(|cx| {
            // A worker that is stuck in a long answer has to be read for the stop frame to get through.
            while let Poll::Ready(reply) = self.poll_reply(cx) {
                self.take_leftover(reply?);
            }
            self.poll_write(cx)
        })
        .await;
        self.relay.close_sending();
        if said.is_err() {
            return false;
        }
        let _: Result<(), Fault> = poll_fn(|cx| {
            loop {
                let reply = ready!(self.poll_reply(cx))?;
                self.take_leftover(reply);
            }
        })
        .await;
        true
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome, Fault>> {
        if let Poll::Ready(Err(fault)) = self.poll_write(cx) {
            return Poll::Ready(Err(fault));
        }
        loop {
            match self.poll_reply(cx) {
                Poll::Ready(Ok(reply)) => {
                    if let Some(outcome) = self.sort(reply)? {
                        return Poll::Ready(Ok(outcome));
                    }
                }
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                // There is more to read, and the answer may be in it.
                Poll::Pending if self.incoming.has_more() => return Poll::Pending,
                Poll::Pending => {
                    ready!(self.poll_grace(cx));
                    return Poll::Ready(Ok(Outcome::Nothing));
                }
            }
        }
    }

    /// Whether the worker is done; does not wait.
    pub(super) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while !self.fence.is_settled() {
            if let Poll::Ready(Err(fault)) = self.poll_write(cx) {
                return Poll::Ready(Err(fault));
            }
            match self.poll_reply(cx) {
                Poll::Ready(reply) => drop(self.sort(reply?)?),
                Poll::Pending if self.incoming.has_more() => return Poll::Pending,
                Poll::Pending => ready!(self.poll_grace(cx)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// After an early echo: ready when no answer is to be expected any more.
    fn poll_grace(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(grace) = &mut self.grace else { return Poll::Pending };
        ready!(grace.as_mut().poll(cx));
        self.grace = None;
        self.fence.give_up();
        Poll::Ready(())
    }

    /// What a reply means for the request in hand.
    fn sort(&mut self, reply: Reply) -> Result<Option<Outcome>, Fault> {
        let memory = self.incoming.take_arrived();
        let outcome = match reply {
            Reply::Pid(pid) => return self.take_echo(pid),
            Reply::Answer(payload) => Outcome::Answer(payload.body),
            Reply::Error(text) => Outcome::error(&text),
            Reply::Stop => Outcome::Stop,
            Reply::Chunk { payload, ping } => {
                if ping && !self.fence.is_settled() {
                    // The worker sends nothing more before this is written, which happens when more is asked for.
                    self.outgoing.push(goridge::pong().as_ref());
                }
                if self.fence.is_open() {
                    return Ok(self.take_chunk(payload.body));
                }
                // Like any other answer that may be another request's.
                Outcome::Streamed
            }
        };
        let pid = self.status.pid();
        match self.fence.on_response() {
            Verdict::Answer => {}
            // The rest of the stream could not be told from the next answer.
            Verdict::AnswerAfterEcho | Verdict::LateAnswer if matches!(outcome, Outcome::Streamed) => {
                return Err(Fault::OutOfStep);
            }
            // It answers nothing, and no echo may follow it.
            Verdict::Hold if matches!(outcome, Outcome::Stop) => {}
            Verdict::Hold => {
                self.held = Some((outcome, memory.or_else(|| self.incoming.take_memory())));
                self.relay.acknowledge();
                return Ok(None);
            }
            Verdict::AnswerAfterEcho => {
                self.grace = None;
                warn!(target: "server", pid, "worker reads ahead: fence disabled, answers matched by order only");
            }
            Verdict::Ambiguous => return Err(Fault::OutOfStep),
            Verdict::LateAnswer => {
                self.status.output.count_dropped(Dropped::Idle);
                warn!(target: "server", pid, r#type = self.owner().map(RequestType::name), "worker reads ahead: fence disabled, \
                    answer to an abandoned request dropped");
                return Ok(None);
            }
            Verdict::Stray => {
                self.status.output.count_dropped(Dropped::Idle);
                warn!(target: "server", pid, r#type = self.owner().map(RequestType::name), "unrequested answer from an idle worker \
                    dropped: answers are now held until the echo, and a second one fails the request");
                return Ok(None);
            }
            Verdict::Surplus
            | Verdict::EarlyEcho
            | Verdict::MadeUp
            | Verdict::FencedAgain
            | Verdict::Release
            | Verdict::Nothing => {
                let reason = if self.fence.is_settled() { Dropped::Idle } else { Dropped::Surplus };
                self.status.output.dropped_answer("unrequested answer dropped", reason, self.owner());
                return Ok(None);
            }
        }
        self.status.set_answered();
        if !self.fence.is_settled() {
            self.relay.acknowledge();
        }
        Ok(Some(outcome))
    }

    /// An echo came; with it what was held until then.
    fn take_echo(&mut self, pid: u32) -> Result<Option<Outcome>, Fault> {
        if pid != self.status.pid() {
            // It has forked. If both go on, each takes a part of the requests, and their answers come in any order.
            return Err(Fault::Another(pid));
        }
        match self.fence.on_echo() {
            Verdict::EarlyEcho => {
                self.grace = Some(Box::pin(tokio::time::sleep_until(Instant::now() + GRACE)));
            }
            Verdict::Release => {
                self.status.set_answered();
                return Ok(self.held.take().map(|(outcome, _)| outcome));
            }
            Verdict::MadeUp => return Err(Fault::MadeUp),
            Verdict::FencedAgain => {
                warn!(target: "server", pid, "unrequested pid from a worker that does not read ahead: fence enabled again");
            }
            _ => {}
        }
        Ok(None)
    }

    fn take_leftover(&mut self, reply: Reply) {
        if let Err(fault) = self.sort(reply) {
            let why = format!("data from an idle worker dropped: {fault}");
            self.status.output.dropped_answer(&why, Dropped::Idle, self.owner());
        }
    }

    /// The type of the request that an unrequested answer most likely belongs to: the last one that the worker can have read.
    pub(super) fn owner(&self) -> Option<RequestType> {
        self.types[usize::from(self.fence.is_behind())]
    }

    /// Ready when all is written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        while self.outgoing.remaining() > 0 {
            match ready!(self.outgoing.poll_write(Pin::new(&mut self.relay), cx)) {
                Ok(written) => self.outgoing.written += written,
                Err(error) => return Poll::Ready(Err(self.closed(Some(error)))),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The relay has ended. A worker that has read nothing of the request cannot have acted on it.
    fn closed(&self, error: Option<io::Error>) -> Fault {
        let written = self.outgoing.written;
        let unseen = written == 0 || self.relay.unread() == Some(written);
        if unseen && !self.fence.is_settled() { Fault::Unsent } else { Fault::Closed(error) }
    }

    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, Fault>> {
        let frame = ready!(self.poll_frame(cx))?;
        Poll::Ready(Ok(goridge::classify(frame)?))
    }

    /// The next frame: see [`Incoming::poll_frame`].
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame, Fault>> {
        let frame = ready!(self.incoming.poll_frame(&mut self.relay, self.held.as_ref(), cx));
        Poll::Ready(match frame {
            Err(Fault::Closed(error)) => Err(self.closed(error)),
            other => other,
        })
    }
}
