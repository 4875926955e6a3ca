//! Replies to finished calls, as far as the peer reads them.

use std::io;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::stream::StreamExt as _;
use tokio::io::AsyncWrite;
use tokio::time::Instant;

use super::calls::Done;
use super::{Connection, Fault, PATIENCE, READ, TURN};
use crate::goridge::Flags;
use crate::rpc::envelope::{self, MAX_ERROR, MAX_METHOD, NoCall};
use crate::rpc::memory::FREE;

/// Bytes of replies that the peer has not read. Beyond it no call is read, and no call that is answered here is polled.
pub(super) const MAX_UNSENT: usize = 1 << 20;

/// Bytes of unread replies, those of Centrifugo included. Beyond it a result is replaced by an error.
const MAX_REPLIES: usize = 96 << 20;

impl Connection<'_, '_> {
    pub(super) fn may_reply(&self) -> bool {
        self.output.len() < MAX_UNSENT
    }

    /// Answers a frame that is no call, if it has a sequence number.
    pub(super) fn refuse(&mut self, no_call: NoCall) -> Result<(), Fault> {
        let (NoCall::Method { sequence, .. } | NoCall::Name { sequence, .. }) = no_call else {
            return Err(no_call.into());
        };
        self.reply(&Done::refused(Flags::JSON, sequence, Bytes::new(), no_call.to_string()))
    }

    /// Replies to a call, and to all others that are done as well, before more are started: calls that are not polled would pile up.
    pub(super) fn reply_to_all(&mut self, done: &Done) -> Result<(), Fault> {
        self.reply(done)?;
        while self.work < TURN
            && self.may_reply()
            && let Some(Some(done)) = self.calls.local.next().now_or_never()
        {
            self.reply(&done)?;
        }
        Ok(())
    }

    pub(super) fn reply(&mut self, done: &Done) -> Result<(), Fault> {
        self.calls.end(done);
        let length = done.result.as_ref().map_or_else(String::len, Bytes::len);
        self.work += done.work + length / READ;
        if !self.is_writable {
            return Ok(());
        }
        if self.output.is_sent() {
            self.write_deadline = Instant::now() + PATIENCE;
        }
        let is_covered = self.share.cover(self.held() + length + MAX_METHOD);
        if !is_covered && self.output.len() > FREE {
            return Err(Fault::OutOfMemory);
        }
        let fits = is_covered && self.output.len() + length <= MAX_REPLIES;
        let Done { flags, sequence, method, .. } = done;
        if fits || length <= MAX_ERROR {
            envelope::reply(&mut self.output, *flags, *sequence, method, &done.result);
        } else {
            let text =
                format!("rpc: no memory for a result of {length} bytes; read replies, or ask for less");
            envelope::reply(&mut self.output, *flags, *sequence, method, &Err(text));
        }
        Ok(())
    }

    /// Sends the replies to all calls in flight. Nothing can be read behind a frame that breaks the protocol.
    pub(super) async fn finish(&mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        self.cancel_waiting().await;
        self.input.clear();
        self.share.give_up();
        let finish = async {
            loop {
                while !self.output.is_sent() {
                    self.output.write_to(writer).await?;
                }
                let done = tokio::select! {
                    Some(done) = self.calls.local.next() => done,
                    Some(done) = self.calls.remote.next() => done,
                    else => return io::Result::Ok(()),
                };
                if self.reply(&done).is_err() {
                    return Ok(());
                }
            }
        };
        // A peer that does not read misses its replies.
        let _ = tokio::time::timeout(PATIENCE, finish).await;
    }
}
