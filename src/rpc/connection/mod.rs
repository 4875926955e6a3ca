//! One connection: frames in, calls side by side, replies as they are ready.
//!
//! ```text
//!  frames ──▶ admission: may this one be read? ──▶ calls: three sets of futures, by what they wait for ──▶ replies ──▶ outbox
//! ```
//!
//! One task does all of it, so that a call costs no switch between tasks. What a peer can make it hold is bounded: calls in flight, their
//! arguments, replies that it does not read, and frames that it does not finish. Beyond a small part, all of that is taken from a budget
//! that all connections share ([`super::memory`]). At a limit nothing more is read, and a peer that makes no progress for [`PATIENCE`] is
//! disconnected. A frame that is too long for its method is refused after its header, and skipped.
//!
//! However many calls arrive at once, the task yields after every [`TURN`] of work; and connections with more work than that take turns
//! ([`Router::turn`]), so that one with a single call does not wait for all of them.

mod admission;
mod calls;
mod replies;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::envelope::{Call, MAX_METHOD, NoCall};
use super::memory::{FREE, Share};
use super::outbox::Outbox;
use super::router::{MAX_CALL, Router, work};
use crate::goridge::{Decoder, Frame, Item, Violation};
use crate::net::Registration;
use calls::{Calls, Done, Running};

/// Bytes that are read at once, at least: most calls are shorter.
const READ: usize = 4 << 10;

/// Work that is started before the task yields, in the units of [`TURN`]: many connections may start at the same time.
const BATCH: usize = 16;

/// Work that is done before the task yields: 1 for a call to Centrifugo, which takes some microseconds, more for calls that are answered
/// here, and 1 for each [`READ`] bytes.
const TURN: usize = 32;

/// Waiting calls that are cancelled before the task yields.
const CANCELLED: usize = 64;

/// Bytes of the reply to a lock's owner, at most.
const GRANT: usize = 4 << 10;

/// How long a peer may take for the rest of a frame, and to read some of its replies. It may connect long before its first call.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long it may take while another connection waits for the memory that is held for it.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// Why a connection was closed from this side.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    NoCall(#[from] NoCall),
    #[error("no complete call within {PATIENCE:?}")]
    IncompleteCall,
    #[error("no reply read within {PATIENCE:?}")]
    Unread,
    #[error("replies not read, and other connections need the memory")]
    OutOfMemory,
}

/// Serves a connection until it is closed, or evicted. Returns how it ended, if it was not evicted, and the calls that are still in
/// flight: to be finished, so that their outcome is certain.
pub(super) async fn serve<'r>(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    registration: &Registration,
    router: &'r Router,
) -> (Option<Result<(), Fault>>, Unfinished<'r>) {
    let mut connection = Connection::new(registration, router);
    let ended = registration.until_evicted(connection.run(reader, writer)).await;
    connection.cancel_waiting().await;
    (ended, connection.into_unfinished())
}

/// The calls in flight of a connection that has ended, with the memory that they hold.
#[must_use = "calls are cancelled when this is dropped"]
pub(super) struct Unfinished<'r> {
    calls: Calls<'r>,
    share: Share,
}

impl Unfinished<'_> {
    /// Finishes them; nothing waits for their results. May be dropped and called again.
    pub(super) async fn finish(&mut self) {
        loop {
            let Calls { local, remote, .. } = &mut self.calls;
            let done = tokio::select! {
                Some(done) = local.next() => done,
                Some(done) = remote.next() => done,
                else => return,
            };
            self.calls.end(&done);
            self.share.shrink(self.calls.held());
        }
    }
}

struct Connection<'c, 'r> {
    registration: &'c Registration,
    router: &'r Router,
    decoder: Decoder,
    input: BytesMut,
    /// Bytes to come that belong to a refused frame.
    skip: usize,
    /// Whether the frame at the front, which has begun, may arrive as a whole.
    is_admitted: bool,
    output: Outbox,
    calls: Calls<'r>,
    /// Whether more calls may arrive.
    is_open: bool,
    /// Whether replies can be sent.
    is_writable: bool,
    /// When a frame that has begun has to be complete.
    read_deadline: Option<Instant>,
    share: Share,
    /// Work done since the task yielded.
    work: usize,
    /// When some of the replies must have been read.
    write_deadline: Instant,
}

impl<'c, 'r> Connection<'c, 'r> {
    fn new(registration: &'c Registration, router: &'r Router) -> Self {
        Self {
            registration,
            router,
            decoder: Decoder::strict(MAX_CALL),
            input: BytesMut::new(),
            skip: 0,
            is_admitted: false,
            output: Outbox::default(),
            calls: Calls::default(),
            is_open: true,
            is_writable: true,
            read_deadline: None,
            share: Share::new(Arc::clone(router.memory())),
            work: 0,
            write_deadline: Instant::now(),
        }
    }

    fn into_unfinished(mut self) -> Unfinished<'r> {
        // Nothing more is read or sent.
        self.share.give_up();
        self.share.shrink(self.calls.held());
        Unfinished { calls: self.calls, share: self.share }
    }

    async fn run(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<(), Fault> {
        loop {
            let has_more = match self.start_calls() {
                Ok(has_more) => has_more,
                Err(fault) => {
                    self.finish(&mut writer).await;
                    return Err(fault);
                }
            };
            if self.work >= TURN {
                self.work = 0;
                self.router.turn().await;
            }
            let is_idle = self.calls.is_idle() && self.output.is_sent();
            if is_idle && self.input.is_empty() {
                // It has kept up with its peer, and so has not kept the thread busy.
                self.work = 0;
            }
            if !self.is_open && is_idle && self.calls.until_hangup.is_empty() {
                return Ok(());
            }
            let readable = self.readable();
            // The budget may have room by now for the calls that it had none for above.
            let has_more = has_more || self.has_whole_frame() && self.has_room();
            let may_read = readable > 0;
            let may_reply = self.may_reply();
            let may_grant = !self.calls.until_hangup.is_empty() && self.may_grant();
            let is_slow = self.holds_for_slow_peer();
            let wanted = is_slow.then(|| self.share.wanted_by_others(self.slow_since() + SHORT_PATIENCE));
            let Calls { local, remote, until_hangup, .. } = &mut self.calls;
            tokio::select! {
                read = read_or_wait(
                    read(&mut reader, &mut self.input, readable), may_read, until_hangup, may_grant
                ), if may_read || may_grant => match read {
                    Ok(read) => {
                        self.after_read(&read);
                        if !self.is_open {
                            self.cancel_waiting().await;
                        }
                    }
                    Err(done) => self.reply(&done)?,
                },
                Some(done) = local.next(), if may_reply && !local.is_empty() => self.reply_to_all(&done)?,
                Some(done) = remote.next(), if !remote.is_empty() => self.reply(&done)?,
                written = self.output.write_to(&mut writer), if !self.output.is_sent() => {
                    self.after_write(&written);
                    if !self.is_writable {
                        self.cancel_waiting().await;
                    }
                }
                () = sleep_until(self.write_deadline), if !self.output.is_sent() => return Err(Fault::Unread),
                () = until(self.read_deadline), if may_read => return Err(Fault::IncompleteCall),
                granted = self.share.granted(), if self.share.is_waiting() => if !granted { self.refuse_for_memory()? },
                () = or_never(wanted), if is_slow => self.release_memory()?,
                () = yield_now(), if has_more => {}
            }
        }
    }

    /// Whether a lock may be granted: only if there is memory for the reply, without which its owner would not know of it.
    fn may_grant(&mut self) -> bool {
        self.output.len() <= FREE || self.share.cover(self.held() + GRANT + MAX_METHOD)
    }

    /// Starts the calls that have arrived as a whole, as far as there is room, and no more than [`BATCH`]. True when there may be another.
    fn start_calls(&mut self) -> Result<bool, Fault> {
        let (mut started, mut has_more) = (0, false);
        loop {
            let skipped = self.skip.min(self.input.len());
            self.input.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 || !self.has_room() {
                break;
            }
            if started >= BATCH {
                has_more = !self.input.is_empty();
                break;
            }
            match self.decoder.decode(&mut self.input)? {
                Some(Item::Frame(mut frame)) => {
                    self.detach(&mut frame);
                    match Call::parse(frame) {
                        Ok(call) => {
                            started += work(&call);
                            self.start(call)?;
                        }
                        Err(no_call) => {
                            started += 1;
                            self.refuse(no_call)?;
                        }
                    }
                }
                // A strict decoder has no noise.
                Some(Item::Noise(_)) => {}
                None if self.refuse_early()? => continue,
                None => break,
            }
            self.is_admitted = false;
            self.read_deadline = None;
        }
        if self.input.is_empty() && self.skip == 0 {
            return Ok(false);
        }
        self.read_deadline.get_or_insert_with(|| Instant::now() + PATIENCE);
        Ok(has_more)
    }

    /// Separates a frame from what was read behind it, so that neither keeps the memory of the other. The frame of an only call may have
    /// the buffer.
    fn detach(&mut self, frame: &mut Frame) {
        if frame.payload.len() > FREE {
            self.input = BytesMut::from(&*self.input);
        } else if !self.input.is_empty() || self.calls.len() > 0 {
            frame.payload = Bytes::copy_from_slice(&frame.payload);
        }
    }

    fn start(&mut self, call: Call) -> Result<(), Fault> {
        if call.argument.len() > READ
            && let Err(error) = self.router.admit(&call.method, call.argument.len())
        {
            let Call { flags, sequence, method, .. } = call;
            return self.reply(&Done::refused(flags, sequence, method, error.to_string()));
        }
        self.work += self.calls.start(self.router, self.registration.call(), call);
        Ok(())
    }

    fn after_read(&mut self, read: &io::Result<usize>) {
        if let Ok(bytes @ 1..) = read {
            self.work += bytes / READ;
        } else {
            // The caller is gone, or has asked all that it wanted to. Started calls are finished, so that their outcome is certain; but
            // none waits for a lock that its caller cannot use.
            self.is_open = false;
            self.share.give_up();
        }
    }

    /// Cancels the calls that end with their caller, some at a time: it may have many, and many callers may disconnect at once.
    async fn cancel_waiting(&mut self) {
        for (number, call) in (1..).zip(std::mem::take(&mut self.calls.until_hangup)) {
            drop(call);
            if number % CANCELLED == 0 {
                self.router.turn().await;
            }
        }
    }

    fn after_write(&mut self, written: &io::Result<()>) {
        if written.is_ok() {
            self.write_deadline = Instant::now() + PATIENCE;
        } else {
            self.is_open = false;
            self.is_writable = false;
            self.share.give_up();
            self.output.clear();
        }
    }
}

async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
    bytes: usize,
) -> io::Result<usize> {
    input.reserve(bytes);
    reader.read_buf(&mut input.limit(bytes)).await
}

/// Reads, or else finishes a call that ends with its caller. Reading is first, so that a caller that has disconnected is granted nothing.
async fn read_or_wait(
    read: impl Future<Output = io::Result<usize>>,
    may_read: bool,
    until_hangup: &mut FuturesUnordered<Running<'_>>,
    may_grant: bool,
) -> Result<io::Result<usize>, Done> {
    tokio::select! {
        biased;
        read = read, if may_read => Ok(read),
        Some(done) = until_hangup.next(), if may_grant => Err(done),
        else => std::future::pending().await,
    }
}

async fn or_never(future: Option<impl Future<Output = ()>>) {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
