//! What a worker sends, cut into frames: whatever it prints between them goes to the log, and no frame costs more memory or time than it may.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{BufMut as _, BytesMut};

use super::budget::{self, Memory, Share};
use super::lines::Lines;
use super::outcome::{Fault, Outcome};
use super::output::Source;
use super::status::Status;
use super::work::Work;
use crate::goridge::{Decoder, Frame, Item};
use crate::relay::Relay;

/// How much is read at once, at least, while the worker prints text.
const READ_TEXT: usize = 16 * 1024;

/// How much is read at once, at most, while a large frame arrives.
const READ_LARGE: usize = 256 * 1024;

/// What a frame counts as work, beside its bytes.
const FRAME: usize = 256;

/// An outcome that is not passed on yet, and its memory if it is large.
pub(super) type Held = (Outcome, Option<Memory>);

/// How a connection reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// How much is read at once, at least: the buffer that each idle worker keeps.
    pub(super) least: usize,
    /// Frames of more bytes take their buffer with them, and the memory for it.
    pub(super) keeps: usize,
}

/// The receiving side of a relay.
#[derive(Debug)]
pub(super) struct Incoming {
    status: Arc<Status>,
    decoder: Decoder,
    reading: Reading,
    buffer: BytesMut,
    /// The memory for the buffer.
    share: Share,
    /// The memory of the last frame, if it was large.
    arrived: Option<Memory>,
    noise: Lines,
    work: Work,
    bytes: u64,
}

impl Incoming {
    /// `max_message_size` bytes are the most that a frame may hold.
    pub(super) fn new(status: Arc<Status>, max_message_size: usize, reading: Reading) -> Self {
        Self {
            status,
            decoder: Decoder::lenient(max_message_size),
            reading,
            buffer: BytesMut::new(),
            share: Share::new(max_message_size),
            arrived: None,
            noise: Lines::default(),
            work: Work::default(),
            bytes: 0,
        }
    }

    /// Logs text without an end, in front of a frame or of the end.
    fn log_unfinished(&mut self) {
        if !self.noise.is_empty() {
            let trace = self.status.output.marks.current();
            self.status.output.log_unfinished(Source::Stdout, &mut self.noise, trace);
        }
    }

    /// How many bytes have arrived.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads otherwise from now on.
    pub(super) fn set_reading(&mut self, reading: Reading) {
        self.reading = reading;
    }

    /// Another request is in hand: what came before does not count against it.
    pub(super) fn begin(&mut self) {
        self.work.begin();
        self.share.begin();
    }

    /// What came was of use.
    pub(super) fn was_useful(&mut self) {
        self.work.begin();
    }

    /// Whether nothing of a frame has arrived.
    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Whether reading was interrupted for the sake of others.
    pub(super) fn has_more(&self) -> bool {
        self.work.has_yielded() || self.share.is_waiting()
    }

    pub(super) fn work(&mut self) -> &mut Work {
        &mut self.work
    }

    /// How long this connection has waited for memory since the request in hand began.
    pub(super) fn waited(&self) -> Duration {
        self.share.waited()
    }

    /// Whether it waits for memory now.
    pub(super) fn is_waiting(&self) -> bool {
        self.share.is_waiting()
    }

    /// Takes the memory of the last frame, if it was large.
    pub(super) fn take_arrived(&mut self) -> Option<Memory> {
        self.arrived.take()
    }

    /// The memory for the buffer that the last frame is in, if it needs any; the buffer is the frame's then.
    pub(super) fn take_memory(&mut self) -> Option<Memory> {
        self.share.has_memory().then(|| self.take_buffer())
    }

    /// The next frame; noise in front of it is logged. Pending, too, when other tasks have their turn: see [`Work::has_yielded`]. `held` is
    /// an answer that is kept until the next frame says what it is.
    pub(super) fn poll_frame(
        &mut self,
        relay: &mut Relay,
        held: Option<&Held>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Frame, Fault>> {
        loop {
            ready!(self.work.poll_turn(cx));
            match self.decoder.decode(&mut self.buffer)? {
                Some(Item::Noise(text)) => {
                    self.work.dropped(text.len());
                    self.status.output.count_noise(text.len());
                    self.noise.push(&text);
                    let trace = self.status.output.marks.current();
                    if !self.status.output.log_whole(Source::Stdout, &mut self.noise, trace) {
                        self.work.slow_down();
                    }
                }
                Some(Item::Frame(frame)) => {
                    // Most frames are the answer; if not, this was useless.
                    self.work.dropped(FRAME);
                    self.log_unfinished();
                    let size = frame.payload.len();
                    if size > self.reading.keeps || !self.share.keeps_buffer_of(size) {
                        self.arrived = Some(self.take_buffer());
                    }
                    return Poll::Ready(Ok(frame));
                }
                None => match self.poll_read(relay, held, cx) {
                    Poll::Ready(read) => read?,
                    Poll::Pending => {
                        self.work.wait();
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Leaves the buffer to the frame that was read into it, with the memory for it.
    fn take_buffer(&mut self) -> Memory {
        self.buffer = BytesMut::from(&self.buffer[..]);
        self.share.take_memory()
    }

    fn poll_read(
        &mut self,
        relay: &mut Relay,
        held: Option<&Held>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>> {
        let least = self.reading.least;
        let least = if self.work.useless() >= least { READ_TEXT.max(least) } else { least };
        let (arrived, missing) = (self.buffer.len(), self.decoder.wanted(&self.buffer));
        let wanted = missing.clamp(least, READ_LARGE);
        if held.is_some() && arrived + missing > budget::FREE {
            // A second answer. It needs memory, perhaps that which the first one keeps.
            return Poll::Ready(Err(Fault::OutOfStep));
        }
        ready!(self.share.poll_cover(cx, arrived + missing.min(READ_LARGE), arrived + missing));
        self.buffer.reserve(wanted);
        let mut free = (&mut self.buffer).limit(wanted.max(budget::FREE));
        let Poll::Ready(read) = tokio_util::io::poll_read_buf(Pin::new(relay), cx, &mut free) else {
            let kept = held.and_then(|(_, memory)| memory.as_ref());
            return if self.share.poll_stalled(cx, kept) {
                Poll::Ready(Err(Fault::Stalled))
            } else {
                Poll::Pending
            };
        };
        let error = match read {
            Ok(0) => {
                self.log_unfinished();
                None
            }
            Ok(read) => {
                self.bytes += read as u64;
                self.work.read(read);
                self.share.read(read);
                return Poll::Ready(Ok(()));
            }
            Err(error) => Some::<io::Error>(error),
        };
        Poll::Ready(Err(Fault::Closed(error)))
    }
}
