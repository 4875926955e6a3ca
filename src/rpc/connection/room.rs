//! How much a connection may hold, and what becomes of a frame for which there is no room.

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;

use super::{Connection, Done, Fault, MAX_CALLS, MAX_HELD, MAX_READ, MAX_UNSENT, PATIENCE, READ, SKIP};
use crate::goridge::Begun;
use crate::rpc::envelope::{MAX_METHOD, NoCall};
use crate::rpc::memory::{FREE, MAX_TOTAL};

impl Connection<'_> {
    pub(super) fn has_room(&mut self) -> bool {
        let calls = self.calls.len() + self.remote.len() + self.waiting.len();
        calls < MAX_CALLS
            && self.held < MAX_HELD
            && self.output.len() < MAX_UNSENT
            && self.share.cover(self.weight())
    }

    /// What is held for this connection, in bytes.
    pub(super) fn weight(&self) -> usize {
        self.input.len() + self.held + self.output.len()
    }

    /// How many bytes may be read now; none while there is no room for another call or no memory for more bytes.
    pub(super) fn readable(&mut self) -> usize {
        let weight = self.weight();
        self.share.shrink(weight);
        if !self.is_open {
            return 0;
        }
        if self.share.is_waiting() && weight + READ <= self.share.covered() {
            self.share.give_up();
        }
        if !self.has_room() {
            // The peer is not to blame for what it cannot send.
            self.read_by = None;
            if self.share.covered() < weight && !self.share.is_waiting() {
                self.share.wait_for(weight);
            }
            return 0;
        }
        // What a header claims is taken only in steps of what has come.
        let wanted = match self.skip {
            0 => self.decoder.wanted(&self.input).clamp(READ, self.input.len().clamp(READ, MAX_READ)),
            skip => skip.clamp(READ, SKIP),
        };
        if self.share.cover(weight + wanted) {
            return wanted;
        }
        let room = self.share.covered().saturating_sub(weight);
        if room < READ && !self.share.is_waiting() {
            self.share.wait_for(weight + wanted);
        }
        if room < READ || self.share.is_waiting() { 0 } else { room.min(wanted) }
    }

    /// Refuses the frame at the front if it has begun, is long, and is none that can be called. True when it has been refused.
    pub(super) fn judge(&mut self) -> Result<bool, Fault> {
        if self.is_judged || self.input.len() < READ {
            return Ok(false);
        }
        let Some((begun, sequence, method)) = self.front() else { return Ok(false) };
        self.is_judged = true;
        let name = &self.input[begun.header..begun.header + method.min(MAX_METHOD)];
        let argument = begun.payload.saturating_sub(method);
        let refusal = if method > MAX_METHOD && method <= begun.payload {
            NoCall::Name { sequence, length: method }.to_string()
        } else if let Err(text) = self.router.admit(name, argument) {
            text
        } else {
            return Ok(false);
        };
        self.refuse_front(&begun, sequence, method, refusal)?;
        Ok(true)
    }

    /// The frame that has begun at the front: its header, its sequence, and the length of its method's name, when that has come too.
    fn front(&self) -> Option<(Begun, u32, usize)> {
        let begun = self.decoder.begun(&self.input)?;
        let &[sequence, method] = begun.options.as_slice() else { return None };
        let method = usize::try_from(method).unwrap_or(usize::MAX);
        let needed = begun.header + method.min(MAX_METHOD).min(begun.payload);
        (self.input.len() >= needed && method <= begun.payload).then_some((begun, sequence, method))
    }

    /// Answers the frame at the front with an error, and skips what is still to come of it.
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
        self.is_judged = false;
        self.reply(&Done { held: 0, work: 1, flags: begun.flags, sequence, method, result: Err(text) })
    }

    /// There was no memory for the frame at the front for too long. A whole frame waits for calls to end, or for replies to be read.
    pub(super) fn refuse_for_want(&mut self) -> Result<(), Fault> {
        let Some((begun, sequence, method)) = self.front() else { return Ok(()) };
        if self.input.len() >= begun.header + begun.payload {
            return Ok(());
        }
        self.share.give_up();
        let text = format!(
            "rpc: all connections together hold {} MB of calls and replies, which is as much as they may; try again later",
            MAX_TOTAL >> 20
        );
        self.refuse_front(&begun, sequence, method, text)
    }

    /// Whether memory of all is held for what the peer has to do: to send the rest of a frame, or to read.
    pub(super) fn is_in_debt(&self) -> bool {
        self.share.is_in_use()
            && !self.share.is_waiting()
            && (self.output.len() > FREE || (self.input.len() > FREE && self.read_by.is_some()))
    }

    /// Since when it could have done so.
    pub(super) fn owed_since(&self) -> Instant {
        let by = match self.read_by {
            _ if self.output.len() > FREE => self.written_by,
            Some(by) => by,
            None => self.written_by,
        };
        by.checked_sub(PATIENCE).unwrap_or(by)
    }

    /// Others need the memory that is held for a slow peer.
    pub(super) fn give_way(&mut self) -> Result<(), Fault> {
        if self.output.len() > FREE {
            return Err(Fault::GaveWay);
        }
        self.refuse_for_want()
    }
}
