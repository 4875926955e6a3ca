//! What a connection may hold, and what happens to a frame for which there is no room.

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::calls::Done;
use super::replies::MAX_UNSENT;
use super::{Connection, Fault, PATIENCE, READ};
use crate::goridge::Begun;
use crate::rpc::envelope::{MAX_METHOD, NoCall};
use crate::rpc::memory::{FREE, MAX_TOTAL};
use crate::rpc::router::MAX_CALL;

/// Calls in flight, at most; more are read when some are done.
const MAX_CALLS: usize = 1024;

/// Bytes that the calls in flight hold; beyond it no call is read.
const MAX_HELD: usize = MAX_CALL;

/// Bytes that are read at once, at most.
const MAX_READ: usize = 128 << 10;

/// Bytes of a refused frame that are read at once, at most.
const SKIP: usize = 16 << 10;

impl Connection<'_, '_> {
    pub(super) fn has_room(&mut self) -> bool {
        self.calls.len() < MAX_CALLS
            && self.calls.held() < MAX_HELD
            && self.output.len() < MAX_UNSENT
            && self.share.cover(self.held())
    }

    /// Bytes that this connection holds.
    pub(super) fn held(&self) -> usize {
        self.input.len() + self.calls.held() + self.output.len()
    }

    /// The number of bytes that may be read now; 0 while there is no room for another call or no memory for more bytes.
    pub(super) fn readable(&mut self) -> usize {
        let held = self.held();
        self.share.shrink(held);
        if !self.is_open {
            return 0;
        }
        if self.share.is_waiting() && held + READ <= self.share.covered() {
            self.share.give_up();
        }
        if !self.has_room() {
            // The peer is not to blame for what it cannot send.
            self.read_deadline = None;
            if self.share.covered() < held && !self.share.is_waiting() {
                self.share.wait_for(held);
            }
            return 0;
        }
        if self.has_whole_frame() {
            // It is taken before anything is read behind it.
            return 0;
        }
        // The length in a header is reserved only in steps of what has arrived, and nothing is read behind a long frame.
        let wanted = match self.skip {
            0 => self.decoder.wanted(&self.input).clamp(READ, self.input.len().clamp(READ, MAX_READ)),
            skip => skip.clamp(READ, SKIP),
        };
        if self.share.cover(held + wanted) {
            return wanted;
        }
        let room = self.share.covered().saturating_sub(held);
        if room < READ && !self.share.is_waiting() {
            self.share.wait_for(held + wanted);
        }
        if room < READ || self.share.is_waiting() { 0 } else { room.min(wanted) }
    }

    /// Whether the frame at the front has arrived as a whole.
    pub(super) fn has_whole_frame(&self) -> bool {
        let begun = self.decoder.begun(&self.input);
        self.skip == 0 && begun.is_some_and(|begun| begun.header + begun.payload <= self.input.len())
    }

    /// Refuses the frame at the front, if it has begun and is too long to be a call. True when it was refused.
    pub(super) fn refuse_early(&mut self) -> Result<bool, Fault> {
        if self.is_admitted || self.input.len() < READ {
            return Ok(false);
        }
        let Some((begun, sequence, method)) = self.front() else { return Ok(false) };
        self.is_admitted = true;
        let name = &self.input[begun.header..begun.header + method.min(MAX_METHOD)];
        let argument = begun.payload.saturating_sub(method);
        let text = if method > MAX_METHOD && method <= begun.payload {
            NoCall::Name { sequence, length: method }.to_string()
        } else if let Err(error) = self.router.admit(name, argument) {
            error.to_string()
        } else {
            return Ok(false);
        };
        self.refuse_front(&begun, sequence, method, text)?;
        Ok(true)
    }

    /// The frame that has begun at the front: its header, its sequence, and the length of its method's name, once all of these have arrived.
    fn front(&self) -> Option<(Begun, u32, usize)> {
        let begun = self.decoder.begun(&self.input)?;
        let &[sequence, method] = begun.options.as_slice() else { return None };
        let method = usize::try_from(method).unwrap_or(usize::MAX);
        let needed = begun.header + method.min(MAX_METHOD).min(begun.payload);
        (self.input.len() >= needed && method <= begun.payload).then_some((begun, sequence, method))
    }

    /// Answers the frame at the front with an error, and skips the rest of it.
    fn refuse_front(
        &mut self,
        begun: &Begun,
        sequence: u32,
        method: usize,
        text: String,
    ) -> Result<(), Fault> {
        let end = begun.header + if method <= MAX_METHOD { method } else { 0 };
        let method = Bytes::copy_from_slice(&self.input[begun.header..end]);
        self.skip = begun.header + begun.payload;
        let skipped = self.skip.min(self.input.len());
        self.skip -= skipped;
        self.input = BytesMut::from(&self.input[skipped..]);
        self.is_admitted = false;
        self.reply(&Done::refused(begun.flags, sequence, method, text))
    }

    /// Refuses the frame at the front, which has waited for memory for too long. A whole frame waits for calls to end, or for replies to be
    /// read.
    pub(super) fn refuse_for_memory(&mut self) -> Result<(), Fault> {
        let Some((begun, sequence, method)) = self.front() else { return Ok(()) };
        if self.input.len() >= begun.header + begun.payload {
            return Ok(());
        }
        self.share.give_up();
        let text = format!(
            "rpc: limit of {} MB for calls and replies of all connections reached; try again later",
            MAX_TOTAL >> 20
        );
        self.refuse_front(&begun, sequence, method, text)
    }

    /// Whether memory of the shared budget is held for a peer that has to send the rest of a frame, or to read.
    pub(super) fn holds_for_slow_peer(&self) -> bool {
        self.share.is_in_use()
            && !self.share.is_waiting()
            && (self.output.len() > FREE || (self.input.len() > FREE && self.read_deadline.is_some()))
    }

    /// Since when the peer could have done so.
    pub(super) fn slow_since(&self) -> Instant {
        let deadline = match self.read_deadline {
            _ if self.output.len() > FREE => self.write_deadline,
            Some(deadline) => deadline,
            None => self.write_deadline,
        };
        deadline.checked_sub(PATIENCE).unwrap_or(deadline)
    }

    /// Releases the memory that is held for a slow peer, since other connections need it.
    pub(super) fn release_memory(&mut self) -> Result<(), Fault> {
        if self.output.len() > FREE {
            return Err(Fault::OutOfMemory);
        }
        self.refuse_for_memory()
    }
}
