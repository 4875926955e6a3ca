//! Messages to the client: published by any caller of RPC, or fed by the worker that streams.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::task::{Context, Poll, Wake as _};

use bytes::Bytes;
use tonic::Status;

use super::{Phase, State, Stream};
use crate::streams::budget;
use crate::streams::figures::Reason;
use crate::streams::outbox::{Limits, Pushed};
use crate::streams::outlet::{HANDED, Holder};

/// A message was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no such stream, or not any more.
    #[error("no such stream")]
    NoStream,
    /// Its client does not read; it has been closed.
    #[error("the stream is full and was closed: its client does not read")]
    Full,
}

impl Stream {
    /// Sends a message, or keeps it until the client reads.
    pub(in crate::streams) fn publish(self: &Arc<Self>, message: Bytes) -> Result<(), PublishError> {
        let mut state = self.lock();
        if state.closing.is_some() || matches!(state.phase, Phase::Over(_)) {
            return Err(PublishError::NoStream);
        }
        // The windows may have opened since.
        self.pump(&mut state);
        let config = &self.shared.config;
        let limits = Limits { messages: config.buffer as usize, overflow: config.overflow };
        let (budget, share) = (&self.shared.budget, &self.port.share);
        let is_short = budget.held() + message.len() > budget::IN_ALL;
        let goes_at_once = is_short && self.can_send(&mut state, message.len());
        let pushed = state.outbox.push(message, limits, |held, bytes| {
            budget.take_for(share, held, bytes) || goes_at_once && budget.take_at_once(share, bytes)
        });
        match pushed {
            Pushed::Kept => {}
            Pushed::Dropped { messages, bytes } => {
                self.release(bytes);
                self.counters().dropped.fetch_add(messages as u64, Relaxed);
            }
            Pushed::Full => {
                self.counters().dropped.fetch_add(1, Relaxed);
                let text = format!(
                    "the client reads too slowly: {} messages wait (centrifuge.streams.buffer)",
                    state.outbox.len()
                );
                self.fail(&mut state, Reason::Overflow, Status::resource_exhausted(text));
                return Err(PublishError::Full);
            }
        }
        self.pump(&mut state);
        Ok(())
    }

    /// Whether nothing waits, here or in HTTP/2, and the client's windows allow so many bytes.
    fn can_send(&self, state: &mut State, bytes: usize) -> bool {
        if !state.outbox.is_empty() || self.handed.load(SeqCst) > 0 {
            return false;
        }
        let Phase::Open(outlet) = &mut state.phase else { return false };
        bytes <= HANDED && outlet.room(bytes) == bytes
    }

    /// For the worker that streams: resolves when another message may be sent; `Err` when the stream has ended.
    pub fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<(), Reason>> {
        let mut state = self.lock();
        match state.phase {
            Phase::Over(reason) => Poll::Ready(Err(reason)),
            Phase::Open(_) if state.outbox.is_empty() => Poll::Ready(Ok(())),
            _ => {
                state.feeder = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// For the worker that streams: resolves when the stream has ended.
    pub fn poll_over(&self, cx: &Context<'_>) -> Poll<Reason> {
        let mut state = self.lock();
        if let Phase::Over(reason) = state.phase {
            return Poll::Ready(reason);
        }
        state.feeder = Some(cx.waker().clone());
        Poll::Pending
    }

    /// For the worker that streams: sends a message for which there is room.
    pub fn feed(self: &Arc<Self>, message: Bytes) {
        let mut state = self.lock();
        if let Phase::Open(_) = state.phase {
            self.shared.budget.add(&self.port.share, message.len());
            state.outbox.push_last(message);
            self.pump(&mut state);
        }
    }

    /// Hands to HTTP/2 what the client's windows allow.
    pub(super) fn pump(self: &Arc<Self>, state: &mut State) {
        let State { phase, outbox, sent, feeder, .. } = state;
        let Phase::Open(outlet) = phase else { return };
        while let Some(first) = outbox.first() {
            if self.handed.load(SeqCst) >= HANDED {
                // `sent` wakes it.
                return;
            }
            let room = outlet.room(first).min(HANDED);
            if room == 0 {
                return;
            }
            let Some((piece, is_last)) = outbox.take(room) else { break };
            self.handed.fetch_add(piece.len(), SeqCst);
            outlet.send(piece, Arc::<Self>::clone(self));
            if is_last {
                *sent += 1;
                self.counters().sent.fetch_add(1, Relaxed);
            }
        }
        if let Some(feeder) = feeder.take() {
            feeder.wake();
        }
        if let Some(closing) = state.closing.take() {
            let (reason, status) = *closing;
            self.fail(state, reason, status);
        }
    }

    /// Drops all messages that wait.
    pub(super) fn drop_outbox(&self, state: &mut State) {
        let (messages, bytes) = state.outbox.clear();
        self.release(bytes);
        self.counters().dropped.fetch_add(messages as u64, Relaxed);
    }
}

impl Holder for Stream {
    fn sent(self: Arc<Self>, bytes: usize) {
        self.release(bytes);
        let before = self.handed.fetch_sub(bytes, SeqCst);
        if before >= HANDED && before - bytes < HANDED {
            self.wake();
        }
    }
}
