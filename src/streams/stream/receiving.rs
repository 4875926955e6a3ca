//! What the client of a bidirectional stream sends: one message at a time is delivered, and the end behind the last one.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};

use super::{Phase, State, Stream};
use crate::streams::figures::Reason;
use crate::streams::inlet::Message;

impl Stream {
    /// Takes what the client has sent, and has it delivered.
    pub(super) fn receive(self: &Arc<Self>, state: &mut State, cx: &mut Context<'_>) {
        let Some(inlet) = &mut state.inlet else { return };
        let arrived = inlet.poll(cx);
        let has_message = inlet.has_message();
        if let Poll::Ready(Err(status)) = arrived {
            return self.fail(state, Reason::Error, status);
        }
        if has_message {
            self.deliver(state);
        }
    }

    /// Starts the task that delivers the client's messages, unless it runs.
    pub(super) fn deliver(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.is_delivering, true) {
            (self.shared.tasks.deliver)(Arc::clone(self));
        }
    }

    /// The next message of the client to be delivered. Without one, the delivery is over.
    pub(in crate::streams) fn next_message(self: &Arc<Self>) -> Option<Message> {
        let mut state = self.lock();
        let message = state.inlet.as_mut().and_then(|inlet| inlet.take());
        if message.is_some() {
            self.counters().received.fetch_add(1, Relaxed);
            return message;
        }
        state.is_delivering = false;
        if let Phase::Over(reason) = state.phase {
            state.inlet = None;
            drop(state);
            (self.shared.tasks.tell_end)(Arc::clone(self), reason);
        }
        None
    }

    /// The message has been delivered.
    pub(in crate::streams) fn delivered(&self) {
        if let Some(inlet) = &mut self.lock().inlet {
            inlet.handled();
        }
    }

    /// Whether it has ended by a decision of this side: its client's messages are of no use then.
    pub(in crate::streams) fn is_ended_here(&self) -> bool {
        matches!(self.lock().phase, Phase::Over(reason) if !matches!(reason, Reason::Client | Reason::Connection))
    }
}
