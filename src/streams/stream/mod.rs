//! One stream: its states, and what each of its callers does to it.
//!
//! ```text
//!  Opening ── accept ──▶ Open ── the client leaves, close, overflow, a failure, shutdown ──▶ Over
//!     └── rejected, failed ──────────────────────────────────────────────────────────────────▶ (nothing is told)
//! ```
//!
//! A stream is in the registry from the moment its opening is passed to a worker, so that messages may be published as soon as the worker
//! knows its id: until the client has the answer, they wait.
//!
//! Locks: the stream's own is taken first, then those of the registry, the port, the events, or of HTTP/2. HTTP/2 calls [`Stream::sent`] and
//! the waker while it holds its lock; both touch atomics and the port's queue alone.
//!
//! `sending` has the messages to the client, `receiving` what the client sends; here is how a stream begins and ends.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::SendStream;
use tonic::{Code, Status};

use super::budget;
use super::figures::{Kind, OfPool, Reason};
use super::id::StreamId;
use super::inlet::Inlet;
use super::opening::Opening;
use super::outbox::Outbox;
use super::outlet::{Gone, Outlet};
use super::port::{Attend, Driver, Port};
use super::shared::{Place, Shared};

mod receiving;
mod sending;

pub use sending::PublishError;

/// How long a stream that ends waits for its client to read the rest.
const LINGER: Duration = Duration::from_secs(30);

/// A subscription stream.
#[derive(Debug)]
pub struct Stream {
    id: StreamId,
    pub(super) pool: usize,
    pub(super) is_bidirectional: bool,
    pub(super) began: SystemTime,
    pub(super) opening: Opening,
    pub(super) shared: Arc<Shared<Self>>,
    port: Arc<Port>,
    /// Whether it is in the port's queue.
    is_queued: AtomicBool,
    /// Bytes that HTTP/2 holds.
    handed: AtomicUsize,
    state: Mutex<State>,
    _place: Place,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    kind: Kind,
    outbox: Outbox,
    /// What the client sends, on a bidirectional stream.
    inlet: Option<Box<Inlet>>,
    /// How it ends once the outbox is empty. No message is accepted any more.
    closing: Option<Box<(Reason, Status)>>,
    /// A task delivers the client's messages, and the end behind them.
    is_delivering: bool,
    /// Messages sent so far.
    sent: u64,
    /// The task of a worker that streams: waits for room, or for the end.
    feeder: Option<Waker>,
}

#[derive(Debug)]
enum Phase {
    Opening,
    Open(Outlet),
    Over(Reason),
}

/// A stream as it is created.
#[derive(Debug)]
pub(super) struct New {
    pub(super) id: StreamId,
    pub(super) pool: usize,
    pub(super) is_bidirectional: bool,
    pub(super) opening: Opening,
    pub(super) port: Arc<Port>,
    pub(super) place: Place,
}

impl Stream {
    pub(super) fn new(shared: &Arc<Shared<Self>>, new: New) -> Arc<Self> {
        let New { id, pool, is_bidirectional, opening, port, place } = new;
        let state = State {
            phase: Phase::Opening,
            kind: Kind::Owned,
            outbox: Outbox::default(),
            inlet: None,
            closing: None,
            is_delivering: false,
            sent: 0,
            feeder: None,
        };
        Arc::new(Self {
            id,
            pool,
            is_bidirectional,
            began: SystemTime::now(),
            opening,
            shared: Arc::clone(shared),
            port,
            is_queued: AtomicBool::new(false),
            handed: AtomicUsize::new(0),
            state: Mutex::new(state),
            _place: place,
        })
    }

    /// Its id.
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The application has accepted it: sends the first message, and those that were published meanwhile. Returns the driver of its
    /// connection, to be spawned, if there is none.
    pub fn accept(
        self: &Arc<Self>,
        stream: SendStream<Bytes>,
        inlet: Option<Inlet>,
        first: Bytes,
        is_held: bool,
    ) -> Option<Driver> {
        let driver = self.port.opened();
        let mut state = self.lock();
        state.kind = if is_held { Kind::Held } else { Kind::Owned };
        self.counters().open(state.kind);
        state.phase = Phase::Open(Outlet::new(stream));
        state.inlet = inlet.map(Box::new);
        // One message more than the limits allow; it is released as the others are.
        self.shared.budget.add(&self.port.share, first.len());
        state.outbox.push_first(first);
        self.pump(&mut state);
        if state.closing.is_some() {
            Arc::clone(self).cut_later();
        } else if self.shared.is_closing() {
            self.fail(&mut state, Reason::Shutdown, shutting_down());
        }
        drop(state);
        // The driver registers the waker.
        Arc::clone(self).wake();
        driver
    }

    /// The application has accepted it, but its client is gone: tells the application so.
    pub fn abandon(self: &Arc<Self>, reason: Reason) {
        let mut state = self.lock();
        self.counters().open(state.kind);
        self.over(&mut state, reason);
    }

    /// Whether it is one of this connection.
    pub(super) fn is_of(&self, port: &Arc<Port>) -> bool {
        Arc::ptr_eq(&self.port, port)
    }

    /// It was not opened.
    pub(super) fn discard(&self) {
        let mut state = self.lock();
        self.drop_outbox(&mut state);
        state.phase = Phase::Over(Reason::Error);
    }

    /// Ends it behind the messages that wait, so that the client stays away, or subscribes again. False if it has ended already.
    pub fn close(self: &Arc<Self>, resubscribe: bool) -> bool {
        let status = if resubscribe {
            Status::unavailable("the application asks the client to subscribe again")
        } else {
            Status::new(Code::Ok, "")
        };
        self.finish(Reason::Closed, status)
    }

    /// Ends it behind the messages that wait. False if it has ended already.
    pub fn finish(self: &Arc<Self>, reason: Reason, status: Status) -> bool {
        let mut state = self.lock();
        if state.closing.is_some() || matches!(state.phase, Phase::Over(_)) {
            return false;
        }
        state.closing = Some(Box::new((reason, status)));
        self.pump(&mut state);
        if matches!(state.phase, Phase::Open(_)) {
            Arc::clone(self).cut_later();
        }
        true
    }

    /// Ends it now, whatever waits.
    pub fn end(self: &Arc<Self>, reason: Reason, status: Status) {
        let mut state = self.lock();
        self.fail(&mut state, reason, status);
    }

    /// Ends it after a while, if it still waits for its client to read before it ends.
    fn cut_later(self: Arc<Self>) {
        tokio::spawn(async move {
            tokio::time::sleep(LINGER).await;
            let mut state = self.lock();
            if let Some(closing) = state.closing.take() {
                self.fail(&mut state, closing.0, closing.1);
            }
        });
    }

    /// Messages that were sent, and that wait; and whether a worker streams.
    pub(super) fn progress(&self) -> (u64, usize, bool) {
        let state = self.lock();
        (state.sent, state.outbox.len(), state.kind == Kind::Held)
    }

    /// Ends it with a status. What waits is dropped.
    fn fail(self: &Arc<Self>, state: &mut State, reason: Reason, status: Status) {
        match std::mem::replace(&mut state.phase, Phase::Over(reason)) {
            Phase::Open(outlet) if state.outbox.is_begun() => outlet.cut(),
            Phase::Open(outlet) => outlet.end(&status),
            Phase::Opening => {
                // It ends as soon as its client has the answer.
                state.phase = Phase::Opening;
                state.closing.get_or_insert_with(|| Box::new((reason, status)));
                return;
            }
            Phase::Over(first) => {
                state.phase = Phase::Over(first);
                return;
            }
        }
        self.gone(state, reason);
    }

    /// It was open and has ended.
    fn gone(self: &Arc<Self>, state: &mut State, reason: Reason) {
        self.over(state, reason);
        self.port.ended();
    }

    /// It has ended: lets go of everything, and tells the application behind the client's last message.
    fn over(self: &Arc<Self>, state: &mut State, reason: Reason) {
        state.phase = Phase::Over(reason);
        self.drop_outbox(state);
        self.shared.remove(self.id);
        self.counters().end(state.kind, reason);
        if let Some(feeder) = state.feeder.take() {
            feeder.wake();
        }
        let is_gone = matches!(reason, Reason::Client | Reason::Connection);
        let has_messages = match &mut state.inlet {
            // What its client has sent before it left is delivered.
            Some(inlet) if is_gone => {
                inlet.hang_up();
                inlet.has_message()
            }
            Some(inlet) => {
                inlet.clear();
                false
            }
            None => false,
        };
        if has_messages {
            self.deliver(state);
        } else if !state.is_delivering {
            state.inlet = None;
            (self.shared.tasks.tell_end)(Arc::clone(self), reason);
        }
    }

    fn release(&self, bytes: usize) {
        self.shared.budget.release(&self.port.share, bytes);
    }

    fn counters(&self) -> &OfPool {
        self.shared.counters.of(self.pool)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The status of streams that end with their connection.
pub(super) fn connection_over() -> Status {
    Status::unavailable("the connection has reached its maximum age (centrifuge.max_connection_age)")
}

/// The status of streams that end with the server.
pub(super) fn shutting_down() -> Status {
    Status::unavailable("the server is shutting down")
}

impl Attend for Stream {
    fn attend(self: Arc<Self>) {
        self.is_queued.store(false, SeqCst);
        let waker = Waker::from(Arc::clone(&self));
        let mut cx = Context::from_waker(&waker);
        let mut state = self.lock();
        let Phase::Open(outlet) = &mut state.phase else { return };
        let gone = outlet.poll_gone(&mut cx);
        self.receive(&mut state, &mut cx);
        match gone {
            // What it sent was not acceptable.
            _ if !matches!(state.phase, Phase::Open(_)) => {}
            Poll::Ready(Gone::Stream) => self.gone(&mut state, Reason::Client),
            Poll::Ready(Gone::Connection) => self.gone(&mut state, Reason::Connection),
            Poll::Pending => self.pump(&mut state),
        }
    }
}

impl Wake for Stream {
    /// Called by HTTP/2 within its lock.
    fn wake(self: Arc<Self>) {
        if !self.is_queued.swap(true, SeqCst) {
            let port = Arc::clone(&self.port);
            port.push(self);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.release(budget::STREAM + self.opening.size());
    }
}
