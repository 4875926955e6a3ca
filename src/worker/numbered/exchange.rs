//! One unit of a worker that numbers its requests.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;

use super::shared::{Farewell, Shared};
use crate::goridge::{self, Cancel, Codec};
use crate::worker::in_hand::Tag;
use crate::worker::outcome::{Fault, Outcome, Received};

/// Bodies from this size on are written from where they are; smaller ones are copied behind their header.
const COPY_LIMIT: usize = 16 * 1024;

/// While so many bytes of clients' messages wait to be written, no more are taken.
pub(super) const MESSAGES_AHEAD: usize = 256 * 1024;

/// The right to have one request in flight.
#[derive(Debug)]
pub(crate) struct Numbered {
    shared: Arc<Shared>,
    /// The request in hand.
    id: Option<u32>,
    has_begun: bool,
    /// How long the connection had waited for memory when the request began.
    waited_before: Duration,
}

/// Sends clients' messages to the handler of a stream.
#[derive(Debug)]
pub(crate) struct Input {
    shared: Arc<Shared>,
    id: u32,
}

impl Numbered {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, id: None, has_begun: false, waited_before: Duration::ZERO }
    }

    /// Another unit of the same worker.
    pub(in crate::worker) fn another(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }

    /// Whether it was used for a request.
    pub(in crate::worker) fn has_begun(&self) -> bool {
        self.has_begun
    }

    pub(in crate::worker) fn codec(&self) -> Codec {
        self.shared.codec
    }

    /// Puts a request into the queue.
    ///
    /// # Errors
    /// If it is too long for a frame; nothing has changed then.
    pub(in crate::worker) fn begin(
        &mut self,
        context: &[u8],
        body: Bytes,
        may_stream: bool,
        tag: Tag,
    ) -> Result<(), goridge::TooLarge> {
        let (codec, numbers) = (self.shared.codec, self.shared.numbers);
        // Before a number is used.
        goridge::numbered_head(codec, 0, context, body.len())?;
        let id = self.shared.change(|state| {
            self.waited_before = state.waits.total();
            if state.queue.is_closed() {
                return None;
            }
            let id = state.requests.begin(may_stream, tag)?;
            let head = goridge::numbered_head(codec, numbers.number(id), context, body.len()).ok()?;
            let is_small = body.len() < COPY_LIMIT;
            let copied = if is_small { body.len() } else { 0 };
            let mut bytes = Vec::with_capacity(head.as_ref().len() + context.len() + copied);
            bytes.extend_from_slice(head.as_ref());
            bytes.extend_from_slice(context);
            if is_small {
                bytes.extend_from_slice(&body);
            }
            state.queue.request(id, bytes, if is_small { Bytes::new() } else { body });
            Some(id)
        });
        self.id = id;
        self.has_begun = id.is_some();
        Ok(())
    }

    pub(in crate::worker) fn poll_answer(&mut self, cx: &Context<'_>) -> Poll<Result<Outcome, Fault>> {
        match self.id {
            Some(id) => self.shared.change(|state| state.requests.poll_outcome(id, cx)),
            // The queue was closed before the request could be put into the queue.
            None => Poll::Ready(Err(Fault::Unsent)),
        }
    }

    /// Ready when the worker is done with the request in hand; what it still sends is dropped.
    pub(in crate::worker) fn poll_settled(&mut self, cx: &Context<'_>) -> Poll<Result<(), Fault>> {
        let Some(id) = self.id else { return Poll::Ready(Ok(())) };
        let settled = self.shared.change(|state| match &state.ended {
            Some(fault) => Poll::Ready(Err(fault.again())),
            None => state.requests.poll_settled(id, cx).map(Ok),
        });
        if settled.is_ready() {
            self.id = None;
        }
        settled
    }

    /// Whether the worker is done with the request. If not, it hears that the answer is not wanted any more; a request that was not written
    /// is never written.
    pub(in crate::worker) fn release(&mut self, reason: impl FnOnce() -> Cancel) -> Poll<Result<(), Fault>> {
        let Some(id) = self.id else { return Poll::Ready(Ok(())) };
        let released = self.shared.change(|state| {
            if let Some(fault) = &state.ended {
                return Poll::Ready(Err(fault.again()));
            }
            if state.requests.is_unwritten(id) && state.queue.remove(id) {
                state.requests.forget(id);
                return Poll::Ready(Ok(()));
            }
            if state.requests.cancel(id) {
                state.queue.control(&goridge::cancel(self.shared.numbers.number(id), reason()));
            }
            state.requests.poll_settled(id, &Context::from_waker(Waker::noop())).map(Ok)
        });
        if released.is_ready() {
            self.id = None;
        }
        released
    }

    /// Lets the worker know that it gets no new requests.
    pub(in crate::worker) fn drain(&self) {
        self.shared.change(|state| {
            if !std::mem::replace(&mut state.drained, true) && state.ended.is_none() {
                state.queue.control(&goridge::drain());
            }
        });
    }

    /// How long the request in hand has waited for memory, and whether it does now.
    pub(in crate::worker) fn waited(&self) -> (Duration, bool) {
        let state = self.shared.lock();
        (state.waits.total().saturating_sub(self.waited_before), state.waits.are_going_on())
    }

    /// The next message of the streamed answer.
    pub(in crate::worker) fn poll_message(&mut self, cx: &Context<'_>) -> Poll<Result<Received, Fault>> {
        let Some(id) = self.id else { return Poll::Ready(Ok(Received::End)) };
        self.shared.change(|state| {
            state.requests.poll_message(id, cx).map_ok(|(received, grant)| {
                if let Some(messages) = grant {
                    state.queue.grant(self.shared.numbers.number(id), messages);
                }
                received
            })
        })
    }

    /// Where messages for the handler of the streamed answer go.
    pub(in crate::worker) fn input(&self) -> Option<Input> {
        Some(Input { shared: Arc::clone(&self.shared), id: self.id? })
    }

    /// Asks the worker to leave. Resolves to whether it can have read the stop frame: at the end of its output, or at once when it cannot.
    pub(in crate::worker) async fn say_farewell(self) -> bool {
        self.shared.change(|state| {
            if state.farewell == Farewell::None {
                state.farewell = Farewell::Asked;
            }
        });
        poll_fn(|cx| {
            let mut state = self.shared.lock();
            if state.queue.is_closed() {
                return Poll::Ready(state.farewell == Farewell::Said);
            }
            let old = state.leaver.replace(cx.waker().clone());
            drop(state);
            drop(old);
            Poll::Pending
        })
        .await
    }
}

impl Input {
    /// Sends a message, in the worker's codec, as soon as the worker takes one. False if the stream is over. May be dropped and called again.
    pub(crate) async fn send(&mut self, message: Bytes) -> bool {
        let number = self.shared.numbers.number(self.id);
        let Ok(head) = goridge::message_head(self.shared.codec, number, message.len()) else { return false };
        poll_fn(|cx| self.poll_send(&message, head.as_ref(), cx)).await
    }

    fn poll_send(&self, message: &Bytes, head: &[u8], cx: &Context<'_>) -> Poll<bool> {
        self.shared.change(|state| {
            if state.queue.is_closed() {
                return Poll::Ready(false);
            }
            let has_room = state.queue.message_bytes() < MESSAGES_AHEAD;
            let may = state.requests.poll_send(self.id, has_room, cx);
            if may == Poll::Ready(true) {
                let mut bytes = Vec::with_capacity(head.len() + message.len());
                bytes.extend_from_slice(head);
                bytes.extend_from_slice(message);
                state.queue.message(self.id, bytes, Bytes::new());
            }
            may
        })
    }
}
