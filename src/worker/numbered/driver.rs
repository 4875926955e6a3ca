//! The one that reads and writes: moves requests from the queue to the worker, and what comes back into the table.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite as _;
use tokio::time::{Sleep, sleep};

use super::exchange::{MESSAGES_AHEAD, Numbered};
use super::liveness::{Check, Liveness};
use super::requests::Verdict;
use super::shared::{Farewell, Shared};
use crate::goridge::{self, Cancel, Codec, Frame, Message, Part, StreamBits};
use crate::relay::Relay;
use crate::request_type::RequestType;
use crate::worker::in_hand::InHand;
use crate::worker::incoming::{Incoming, Reading};
use crate::worker::outcome::Fault;
use crate::worker::status::Status;
use crate::worker::waste::Dropped;

/// Many small answers are read at once. Bodies beyond this size keep the buffer that they were read into; smaller ones are copied, so that
/// none keeps the answers beside it in memory.
const READING: Reading = Reading { least: 16 * 1024, keeps: 16 * 1024 };

/// Slices of one vectored write.
const SLICES: usize = 64;

/// How long after a worker's end its last words may still arrive.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Answers under wrong numbers after which a worker is to be replaced.
const STRIKES: u32 = 2;

/// What the pool has to know of a worker.
#[derive(Debug)]
pub(crate) enum Notice {
    /// It wants no more than this number of requests in flight.
    Credit(u32),
    /// It has answered under wrong numbers again, and is to be replaced.
    Misnumbered,
    /// Its requests' numbers are used up, almost: it is to be replaced.
    NumbersUsedUp,
    /// It answers no PING.
    Silent,
    /// It has sent something after a silence.
    Back,
    /// It has closed its input: what it has not read is over, and it may finish the rest.
    Deaf,
    /// The connection has ended; nothing comes after this.
    Ended(Fault),
    /// The same after the worker was asked to leave.
    Left,
}

/// Reads and writes for one worker as long as it is polled.
#[derive(Debug)]
pub(crate) struct Driver {
    shared: Arc<Shared>,
    relay: Relay,
    incoming: Incoming,
    /// What is being written.
    parts: VecDeque<Bytes>,
    /// Bytes that were taken to be written so far, and those that were written.
    taken: u64,
    written: u64,
    /// The next write has waited for the tasks that were ready.
    waited: bool,
    liveness: Liveness,
    /// Bytes that had arrived when it was last heard.
    heard: u64,
    /// That it was heard after a silence, which the pool has to know.
    back: Option<Notice>,
    /// Runs once the worker's process has ended.
    last_words: Option<Pin<Box<Sleep>>>,
    was_waiting: bool,
    woken: Vec<Waker>,
    strikes: u32,
    numbers_used_up: bool,
    /// What it has said last that it wants in flight, and what the pool knows of that.
    credit: Option<u32>,
    known_credit: Option<u32>,
}

impl Driver {
    /// Takes a connection after its handshake.
    pub(in crate::worker) fn new(
        status: Arc<Status>,
        codec: Codec,
        relay: Relay,
        mut incoming: Incoming,
    ) -> (Self, Numbered) {
        incoming.set_reading(READING);
        let shared = Shared::new(status, codec);
        let weak = Arc::downgrade(&shared);
        let in_hand =
            move || weak.upgrade().map_or_else(InHand::default, |shared| shared.lock().requests.in_hand());
        shared.status.tags().set_several(Box::new(in_hand));
        let unit = Numbered::new(Arc::clone(&shared));
        let driver = Self {
            shared,
            relay,
            incoming,
            parts: VecDeque::new(),
            taken: 0,
            written: 0,
            waited: false,
            liveness: Liveness::default(),
            heard: 0,
            back: None,
            last_words: None,
            was_waiting: false,
            woken: Vec::new(),
            strikes: 0,
            numbers_used_up: false,
            credit: None,
            known_credit: None,
        };
        (driver, unit)
    }

    /// Reads and writes until there is something for the pool to know. May be dropped and called again.
    pub(crate) async fn next(&mut self) -> Notice {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// How many requests the worker has in hand.
    pub(crate) fn in_hand(&self) -> usize {
        self.shared.lock().requests.unfinished()
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Notice> {
        let (is_expected, used_up) = self.register(cx);
        if used_up && !std::mem::replace(&mut self.numbers_used_up, true) {
            return Poll::Ready(Notice::NumbersUsedUp);
        }
        let written = self.poll_write(cx);
        let heard = self.poll_read(cx);
        // Before those are woken whose units come back.
        if heard.is_pending()
            && self.known_credit != self.credit
            && let Some(credit) = self.credit
        {
            self.known_credit = self.credit;
            return Poll::Ready(Notice::Credit(credit));
        }
        self.wake();
        if let Poll::Ready(heard) = heard {
            return Poll::Ready(heard.unwrap_or_else(|fault| self.end(fault)));
        }
        // What it has sent before was read. Then what reading has put into the queue.
        if matches!(written, Poll::Ready(Err(_))) || matches!(self.poll_write(cx), Poll::Ready(Err(_))) {
            self.stop_writing();
            return Poll::Ready(Notice::Deaf);
        }
        if self.is_gone(cx) {
            return Poll::Ready(self.end(Fault::Closed(None)));
        }
        match ready!(self.liveness.poll(is_expected, cx)) {
            Check::Silent => Poll::Ready(Notice::Silent),
            Check::Ping => {
                self.shared.lock().queue.control(goridge::ping().as_ref());
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Lets others wake the driver from now on. Returns whether something is to be heard of the worker, and whether its numbers are used up.
    fn register(&mut self, cx: &Context<'_>) -> (bool, bool) {
        let mut state = self.shared.lock();
        let is_asked = state.farewell == Farewell::None && self.credit == Some(0);
        let is_expected = !state.queue.is_closed() && (is_asked || state.requests.unfinished() > 0);
        let seen = (is_expected, state.requests.are_numbers_used_up());
        let old = state.driver.replace(cx.waker().clone());
        drop(state);
        drop(old);
        seen
    }

    /// Ready when there is nothing to write.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while !self.parts.is_empty() {
                ready!(self.poll_write_parts(cx))?;
            }
            if !self.take(cx) {
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn poll_write_parts(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = self.parts.len().min(SLICES);
        for (slice, part) in slices.iter_mut().zip(&self.parts) {
            *slice = IoSlice::new(part);
        }
        let mut written = ready!(Pin::new(&mut self.relay).poll_write_vectored(cx, &slices[..count]))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.written += written as u64;
        while let Some(part) = self.parts.front_mut() {
            let step = written.min(part.len());
            part.advance(step);
            written -= step;
            if !part.is_empty() {
                break;
            }
            self.parts.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes what is to be written next; false if there is nothing, or not yet: while other requests are in flight, what has become ready
    /// waits until the tasks that are ready have run, since a write costs more than the rest of a request.
    fn take(&mut self, cx: &Context<'_>) -> bool {
        let mut state = self.shared.lock();
        let state = &mut *state;
        if state.farewell == Farewell::Begun {
            // It was written just now.
            state.farewell = Farewell::Said;
            self.relay.close_sending();
        }
        if !state.has_work() {
            return false;
        }
        if !self.waited && state.requests.unfinished() > 1 {
            self.waited = true;
            cx.waker().wake_by_ref();
            return false;
        }
        self.waited = false;
        if state.queue.is_empty() {
            state.farewell = Farewell::Begun;
            self.parts.push_back(goridge::stop());
            return true;
        }
        let was_full = state.queue.message_bytes() >= MESSAGES_AHEAD;
        let base = self.taken;
        let requests = &mut state.requests;
        let bytes = state.queue.take(&mut self.parts, |id, at| requests.begins(id, base + at as u64));
        self.taken += bytes as u64;
        if was_full && state.queue.message_bytes() < MESSAGES_AHEAD {
            requests.wake_senders();
        }
        true
    }

    /// Reads until the worker has sent nothing more, or the pool has to know something.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Notice, Fault>> {
        loop {
            if let Some(back) = self.back.take() {
                return Poll::Ready(Ok(back));
            }
            let frame = self.incoming.poll_frame(&mut self.relay, None, cx);
            self.listen();
            if let Some(notice) = self.receive(ready!(frame)?)? {
                return Poll::Ready(Ok(notice));
            }
        }
    }

    /// Notes a sign of life: whatever has arrived, a part of a frame too, and that we do not read for the time being.
    fn listen(&mut self) {
        let bytes = self.incoming.bytes();
        if bytes != self.heard || self.incoming.has_more() {
            self.heard = bytes;
            if self.liveness.hear() {
                self.back = Some(Notice::Back);
            }
        }
    }

    fn receive(&mut self, frame: Frame) -> Result<Option<Notice>, Fault> {
        let memory = self.incoming.take_arrived();
        if frame.stream.contains(StreamBits::PING) {
            self.shared.lock().queue.reply(goridge::pong().as_ref());
        }
        match goridge::parse_numbered(frame)? {
            Message::Of { id: number, part } => {
                let id = self.shared.numbers.count(number);
                let part = if memory.is_some() { part } else { copied(part) };
                let mut state = self.shared.lock();
                match state.requests.receive(id, part, memory, self.written) {
                    Verdict::Fine => self.incoming.was_useful(),
                    Verdict::Cancel => state.queue.control(&goridge::cancel(number, Cancel::Gone)),
                    verdict @ (Verdict::Unknown | Verdict::Repeated) => {
                        let kind = state.requests.type_of(id).filter(|_| verdict == Verdict::Repeated);
                        drop(state);
                        return Ok(self.strike(&verdict, kind));
                    }
                }
            }
            Message::Credit(credit) => self.credit = Some(credit),
            Message::Window { id: number, messages } => {
                let id = self.shared.numbers.count(number);
                self.shared.lock().requests.widen(id, messages);
            }
            Message::Pid(pid) if pid != self.shared.status.pid() => return Err(Fault::Another(pid)),
            Message::Ping | Message::Pong | Message::Pid(_) | Message::Other => {}
        }
        Ok(None)
    }

    /// An answer has come that belongs to no request.
    fn strike(&mut self, verdict: &Verdict, kind: Option<RequestType>) -> Option<Notice> {
        let (why, reason) = match verdict {
            Verdict::Repeated => ("second answer to a request dropped", Dropped::Surplus),
            _ => ("answer to an unknown request dropped", Dropped::Unknown),
        };
        self.shared.status.output.dropped_answer(why, reason, kind);
        self.strikes = self.strikes.saturating_add(1);
        (self.strikes == STRIKES).then_some(Notice::Misnumbered)
    }

    /// Notes whether reading waits for memory: the time of no request passes then.
    fn note_waits(&mut self) {
        let is_waiting = self.incoming.is_waiting();
        if is_waiting != self.was_waiting {
            self.was_waiting = is_waiting;
            self.shared.lock().waits.set(is_waiting);
        }
    }

    /// Wakes those whose answers have come.
    fn wake(&mut self) {
        self.note_waits();
        std::mem::swap(self.shared.lock().requests.woken(), &mut self.woken);
        self.woken.drain(..).for_each(Waker::wake);
    }

    /// Whether the process has ended, and what it had said before has arrived: its relay may be held open by what it has left behind.
    fn is_gone(&mut self, cx: &mut Context<'_>) -> bool {
        if self.last_words.is_none() && self.shared.status.poll_gone(cx).is_ready() {
            self.last_words = Some(Box::pin(sleep(LAST_WORDS)));
        }
        self.last_words.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready())
    }

    /// How many bytes the worker has read: of what it has not, it cannot have acted on anything.
    fn seen(&self) -> u64 {
        self.written.saturating_sub(self.relay.unread().unwrap_or(0) as u64)
    }

    /// The worker has closed its input: what it has not read goes to another one.
    fn stop_writing(&mut self) {
        self.parts.clear();
        let seen = self.seen();
        self.shared.change(|state| {
            state.requests.end(|begins| {
                let is_read = begins.is_some_and(|begins| begins < seen);
                if is_read { None } else { Some(Fault::Unsent) }
            });
            state.requests.wake_senders();
            state.queue.close();
            if state.farewell == Farewell::Begun {
                // It cannot be said.
                state.farewell = Farewell::Asked;
            }
            let leaver = state.leaver.take();
            state.requests.woken().extend(leaver);
        });
    }

    /// The connection has ended: every request that was not finished hears of it.
    fn end(&mut self, fault: Fault) -> Notice {
        let seen = self.seen();
        let has_left = self.shared.change(|state| {
            state.requests.end(|begins| {
                let is_read = begins.is_some_and(|begins| begins < seen);
                Some(if is_read { fault.again() } else { Fault::Unsent })
            });
            state.ended = Some(fault.again());
            state.queue.close();
            let leaver = state.leaver.take();
            state.requests.woken().extend(leaver);
            state.farewell != Farewell::None
        });
        if has_left { Notice::Left } else { Notice::Ended(fault) }
    }
}

/// The same with a small body in memory of its own.
fn copied(part: Part) -> Part {
    let copy = |body: Bytes| Bytes::copy_from_slice(&body);
    match part {
        Part::Answer(body) => Part::Answer(copy(body)),
        Part::Error(text) => Part::Error(text),
        Part::Stop => Part::Stop,
        Part::Chunk(body) => Part::Chunk(copy(body)),
        Part::Last(body) => Part::Last(copy(body)),
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
