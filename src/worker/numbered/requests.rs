//! The table of requests in flight: which answer belongs to which request, and who waits for it. Pure, but for the wakers. An id is a
//! request's count here; the worker knows it by a number that is made from it (`numbers`).

use std::collections::HashMap;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use tokio::time::Instant;

use super::messages::Messages;
use crate::goridge::Part;
use crate::request_type::RequestType;
use crate::worker::budget::Memory;
use crate::worker::in_hand::{InHand, Tag};
use crate::worker::outcome::{Fault, Outcome, Received};

/// Counts from here on are the last ones: the worker is to be replaced before there are no numbers left.
pub(super) const LAST_NUMBERS: u32 = u32::MAX - (1 << 24);

/// Bytes of messages that may wait in all streams of one worker.
const MAX_MESSAGE_BYTES: usize = 64 << 20;

/// All requests that the worker has not finished, or whose outcome was not taken.
#[derive(Debug, Default)]
pub(super) struct Requests {
    entries: HashMap<u32, Entry>,
    /// How many there were so far, which is the last one's id.
    last: u32,
    /// Requests that the worker has not finished.
    unfinished: usize,
    /// Bytes of messages that wait.
    message_bytes: usize,
    /// Streams whose clients' messages wait for room.
    senders: Vec<u32>,
    types: Types,
    /// Tasks to be woken without the lock around this. Wakers that were replaced are among them, since dropping one may drop its task.
    woken: Vec<Waker>,
}

#[derive(Debug)]
struct Entry {
    tag: Tag,
    /// Where it begins among the bytes for the worker, once it was taken to be written.
    begins: Option<u64>,
    /// To be taken by its holder.
    outcome: Option<Result<Outcome, Fault>>,
    /// The memory of the outcome, if it is large.
    memory: Option<Memory>,
    /// The worker is done with it.
    finished: bool,
    /// Whatever still comes is of no use, and the worker was told so, or is about to be.
    dropped: bool,
    /// Its holder takes nothing any more.
    released: bool,
    stream: Stream,
    waker: Option<Waker>,
}

/// Whether its answer is streamed.
#[derive(Debug)]
enum Stream {
    /// It has to be one message.
    Never,
    /// It may be.
    May,
    /// It is.
    Open(Box<Flow>),
}

/// Both directions of a stream.
#[derive(Debug)]
struct Flow {
    messages: Messages,
    /// How many messages the worker still takes.
    window: u32,
    sender: Option<Waker>,
    /// It is among the senders to be woken when there is room.
    waits_for_room: bool,
}

/// Messages that a worker takes before it grants more.
const INPUT_WINDOW: u32 = 64;

/// What a frame was.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was for its request.
    Fine,
    /// For its request, whose further frames are of no use: the worker is to be told.
    Cancel,
    /// No request has had its number.
    Unknown,
    /// The request of its number was finished before.
    Repeated,
}

impl Requests {
    /// Another request, whose answer may be streamed or not. `None` if all numbers were used.
    pub(super) fn begin(&mut self, may_stream: bool, tag: Tag) -> Option<u32> {
        self.last = self.last.checked_add(1)?;
        self.types.note(self.last, tag.kind);
        let entry = Entry {
            tag,
            begins: None,
            outcome: None,
            memory: None,
            finished: false,
            dropped: false,
            released: false,
            stream: if may_stream { Stream::May } else { Stream::Never },
            waker: None,
        };
        self.entries.insert(self.last, entry);
        self.unfinished += 1;
        Some(self.last)
    }

    /// It is about to be written, at this position.
    pub(super) fn begins(&mut self, id: u32, position: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.begins = Some(position);
        }
    }

    /// Whether it has not been taken to be written.
    pub(super) fn is_unwritten(&self, id: u32) -> bool {
        self.entries.get(&id).is_some_and(|entry| entry.begins.is_none())
    }

    /// Requests that the worker has not finished.
    pub(super) fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// The requests that the worker has not finished.
    pub(super) fn in_hand(&self) -> InHand {
        let (mut in_hand, now) = (InHand::default(), Instant::now());
        for entry in self.entries.values().filter(|entry| !entry.finished) {
            in_hand.add(entry.tag, now);
        }
        in_hand
    }

    /// The type of the request of this number, if it is one of the last.
    pub(super) fn type_of(&self, id: u32) -> Option<RequestType> {
        self.types.of(id)
    }

    /// Whether there are few numbers left.
    pub(super) fn are_numbers_used_up(&self) -> bool {
        self.last >= LAST_NUMBERS
    }

    /// Tasks to be woken.
    pub(super) fn woken(&mut self) -> &mut Vec<Waker> {
        &mut self.woken
    }

    /// A frame has come, when `written` bytes were written to the worker.
    pub(super) fn receive(&mut self, id: u32, part: Part, memory: Option<Memory>, written: u64) -> Verdict {
        let entry = match self.entries.get_mut(&id) {
            // Of what was not written, the worker cannot know: it has guessed the number.
            Some(entry) if entry.begins.is_none_or(|begins| begins >= written) => return Verdict::Unknown,
            Some(entry) if !entry.finished => entry,
            _ => {
                return if (1..=self.last).contains(&id) { Verdict::Repeated } else { Verdict::Unknown };
            }
        };
        let more = matches!(part, Part::Chunk(_));
        self.woken.extend(entry.waker.take());
        let before = entry.message_bytes();
        let is_useful = entry.dropped || entry.receive(part, memory, self.message_bytes);
        self.message_bytes = self.message_bytes + entry.message_bytes() - before;
        if !more {
            entry.finish(&mut self.woken);
            self.unfinished -= 1;
            if entry.released {
                self.entries.remove(&id);
            }
            return Verdict::Fine;
        }
        if is_useful { Verdict::Fine } else { Verdict::Cancel }
    }

    /// The worker takes this many more messages of a stream.
    pub(super) fn widen(&mut self, id: u32, messages: u32) {
        // Of a request that is over, it has crossed with its end.
        if let Some(Entry { stream: Stream::Open(flow), .. }) = self.entries.get_mut(&id) {
            flow.window = flow.window.saturating_add(messages);
            self.woken.extend(flow.sender.take());
        }
    }

    /// The outcome of a request, for its holder.
    pub(super) fn poll_outcome(&mut self, id: u32, cx: &Context<'_>) -> Poll<Result<Outcome, Fault>> {
        let Some(entry) = self.entries.get_mut(&id) else { return Poll::Ready(Err(Fault::Closed(None))) };
        let Some(outcome) = entry.outcome.take() else {
            self.woken.extend(entry.waker.replace(cx.waker().clone()));
            return Poll::Pending;
        };
        if entry.finished && !matches!(entry.stream, Stream::Open(_)) {
            self.entries.remove(&id);
        }
        Poll::Ready(outcome)
    }

    /// The next message of a streamed answer, and how many more the worker is to be granted.
    pub(super) fn poll_message(
        &mut self,
        id: u32,
        cx: &Context<'_>,
    ) -> Poll<Result<(Received, Option<u32>), Fault>> {
        let Some(entry) = self.entries.get_mut(&id) else { return Poll::Ready(Ok((Received::End, None))) };
        let Stream::Open(flow) = &mut entry.stream else { return Poll::Ready(Ok((Received::End, None))) };
        if let Some(received) = flow.messages.take() {
            if let Received::Message(message) = &received {
                self.message_bytes -= message.len();
            }
            let grant = if entry.finished || entry.dropped { None } else { flow.messages.grant() };
            return Poll::Ready(Ok((received, grant)));
        }
        if let Some(Err(fault)) = entry.outcome.take() {
            return Poll::Ready(Err(fault));
        }
        if entry.finished {
            return Poll::Ready(Ok((Received::End, None)));
        }
        self.woken.extend(entry.waker.replace(cx.waker().clone()));
        Poll::Pending
    }

    /// Whether a message may be sent on a stream; takes its place in the window if so. False if the stream is over. `has_room`: not too many
    /// wait to be written.
    pub(super) fn poll_send(&mut self, id: u32, has_room: bool, cx: &Context<'_>) -> Poll<bool> {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.finished && !entry.dropped) else {
            return Poll::Ready(false);
        };
        let Stream::Open(flow) = &mut entry.stream else { return Poll::Ready(false) };
        if has_room && flow.window > 0 {
            flow.window -= 1;
            return Poll::Ready(true);
        }
        self.woken.extend(flow.sender.replace(cx.waker().clone()));
        if !has_room && !std::mem::replace(&mut flow.waits_for_room, true) {
            self.senders.push(id);
        }
        Poll::Pending
    }

    /// There is room again for messages.
    pub(super) fn wake_senders(&mut self) {
        for id in self.senders.drain(..) {
            if let Some(Entry { stream: Stream::Open(flow), .. }) = self.entries.get_mut(&id) {
                flow.waits_for_room = false;
                self.woken.extend(flow.sender.take());
            }
        }
    }

    /// Whether the worker is done with a request. What it still sends is dropped from now on.
    pub(super) fn poll_settled(&mut self, id: u32, cx: &Context<'_>) -> Poll<()> {
        let Some(entry) = self.entries.get_mut(&id) else { return Poll::Ready(()) };
        self.message_bytes -= entry.drop_all(&mut self.woken);
        if entry.finished {
            self.entries.remove(&id);
            return Poll::Ready(());
        }
        self.woken.extend(entry.waker.replace(cx.waker().clone()));
        Poll::Pending
    }

    /// Nobody wants what still comes. False if the worker is done with it, or was told before.
    pub(super) fn cancel(&mut self, id: u32) -> bool {
        let Some(entry) = self.entries.get_mut(&id).filter(|entry| !entry.finished && !entry.dropped) else {
            return false;
        };
        self.message_bytes -= entry.drop_all(&mut self.woken);
        true
    }

    /// A request was not written, and will not be.
    pub(super) fn forget(&mut self, id: u32) {
        if let Some(entry) = self.entries.remove(&id) {
            self.woken.extend(entry.waker);
            self.unfinished -= 1;
        }
    }

    /// The connection has ended, or one direction of it: `fault` says what that means for a request that begins there, if anything.
    pub(super) fn end(&mut self, fault: impl Fn(Option<u64>) -> Option<Fault>) {
        for entry in self.entries.values_mut().filter(|entry| !entry.finished) {
            let Some(fault) = fault(entry.begins) else { continue };
            entry.outcome = Some(Err(fault));
            entry.finish(&mut self.woken);
            self.woken.extend(entry.waker.take());
            self.unfinished -= 1;
        }
    }

    #[cfg(test)]
    pub(super) fn after(last: u32) -> Self {
        Self { last, ..Self::default() }
    }
}

/// How many of the last requests keep their types.
const TYPES: usize = 256;

/// The types of the last requests, for answers that come twice.
#[derive(Debug)]
struct Types(Box<[(u32, RequestType); TYPES]>);

impl Default for Types {
    fn default() -> Self {
        // No request has the number 0.
        Self(Box::new([(0, RequestType::OTHER); TYPES]))
    }
}

impl Types {
    fn note(&mut self, id: u32, kind: RequestType) {
        self.0[id as usize % TYPES] = (id, kind);
    }

    fn of(&self, id: u32) -> Option<RequestType> {
        let (noted, kind) = self.0[id as usize % TYPES];
        (noted == id && id > 0).then_some(kind)
    }
}

impl Entry {
    /// Takes a frame. False if those which may follow are of no use.
    fn receive(&mut self, part: Part, memory: Option<Memory>, message_bytes: usize) -> bool {
        if matches!(part, Part::Chunk(_) | Part::Last(_)) && !self.open_stream() {
            self.outcome = Some(Ok(Outcome::Streamed));
            self.dropped = true;
            return false;
        }
        if let Stream::Open(flow) = &mut self.stream {
            let goes_on = flow.receive(part, message_bytes);
            self.dropped |= !goes_on;
            return goes_on;
        }
        self.memory = memory;
        self.outcome = Some(Ok(match part {
            Part::Error(text) => Outcome::error(&text),
            Part::Stop => Outcome::Stop,
            Part::Answer(body) | Part::Chunk(body) | Part::Last(body) => Outcome::Answer(body),
        }));
        true
    }

    /// Begins the stream, unless the answer has to be one message.
    fn open_stream(&mut self) -> bool {
        if matches!(self.stream, Stream::May) {
            let flow =
                Flow { messages: Messages::new(), window: INPUT_WINDOW, sender: None, waits_for_room: false };
            self.stream = Stream::Open(Box::new(flow));
            self.outcome = Some(Ok(Outcome::Streaming));
        }
        matches!(self.stream, Stream::Open(_))
    }

    fn finish(&mut self, woken: &mut Vec<Waker>) {
        self.finished = true;
        if let Stream::Open(flow) = &mut self.stream {
            woken.extend(flow.sender.take());
        }
    }

    fn message_bytes(&self) -> usize {
        if let Stream::Open(flow) = &self.stream { flow.messages.bytes() } else { 0 }
    }

    /// Drops what was not taken. Returns how many bytes of messages that were.
    fn drop_all(&mut self, woken: &mut Vec<Waker>) -> usize {
        self.dropped = true;
        self.released = true;
        self.outcome = None;
        self.memory = None;
        match &mut self.stream {
            Stream::Open(flow) => {
                let bytes = flow.messages.bytes();
                flow.messages = Messages::new();
                woken.extend(flow.sender.take());
                bytes
            }
            Stream::Never | Stream::May => 0,
        }
    }
}

impl Flow {
    /// Takes a frame. False if those which may follow are of no use.
    fn receive(&mut self, part: Part, message_bytes: usize) -> bool {
        let (message, end) = match part {
            Part::Chunk(message) => (Some(message), None),
            // An empty one is the end alone.
            Part::Answer(message) | Part::Last(message) => {
                (Some(message).filter(|message| !message.is_empty()), Some(Received::End))
            }
            Part::Error(text) => (None, Some(Received::Error(Outcome::text(&text)))),
            Part::Stop => (None, Some(Received::End)),
        };
        let fits = |message: &Bytes| message_bytes + message.len() <= MAX_MESSAGE_BYTES;
        if let Some(message) = message {
            if !fits(&message) {
                self.messages.end(Received::Overrun);
                return false;
            }
            if !self.messages.push(message) {
                return false;
            }
        }
        if let Some(end) = end {
            self.messages.end(end);
        }
        true
    }
}

#[cfg(test)]
#[path = "requests_tests.rs"]
mod tests;
