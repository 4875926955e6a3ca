//! One connection of a caller: frames in, calls side by side, replies as they are ready.
//!
//! One task does it all, so that a call costs no switch between tasks. What a peer can make it hold is bounded: calls in flight, their
//! arguments, replies that it does not read, and frames that it begins and does not finish. All of that counts, and what is beyond a small
//! part is taken from a budget that all connections share ([`super::memory`]). Past a bound nothing more is read, and a peer that then does
//! not move for [`PATIENCE`] is hung up on. A frame that is too long for its method is refused when its header has come, and skipped.
//!
//! However many calls come at once, the task lets others go on after every [`TURN`] of work; and however many connections have more work
//! than that, they go on one after the other ([`Router::turn`]), so that one with a single call does not wait for all of them.

mod room;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use super::envelope::{self, Call, MAX_ERROR, MAX_METHOD, NoCall};
use super::memory::{FREE, Share};
use super::outbox::Outbox;
use super::router::{MAX_CALL, Router, is_centrifuge, work};
use crate::goridge::{Decoder, Flags, Item, Violation};
use crate::net::Registration;

/// Calls in flight, at most; more are read when some are done.
const MAX_CALLS: usize = 1024;

/// Bytes of the arguments of all calls in flight; past it no call is read.
const MAX_HELD: usize = MAX_CALL;

/// What a call in flight counts as, in bytes, beside its argument.
const CALL: usize = 5 << 10;

/// Bytes of replies that the peer has not read; past it no call is read, and no reply is made that needs nobody else.
const MAX_UNSENT: usize = 1 << 20;

/// Bytes of replies that the peer has not read, those of Centrifugo included; past it a result is replaced by an error.
const MAX_REPLIES: usize = 96 << 20;

/// How many bytes are read at once, at least: most calls are shorter.
const READ: usize = 4 << 10;

/// How many bytes are read at once, at most.
const MAX_READ: usize = 128 << 10;

/// How many bytes of a frame that was refused are read at once.
const SKIP: usize = 16 << 10;

/// How much work is begun, in the measure of [`TURN`], before others have their turn: many connections may begin at the same time.
const BATCH: usize = 16;

/// How much work is done before others have their turn: one for a call to Centrifugo, which costs some microseconds, more for what is
/// done here, and for each [`READ`] of bytes.
const TURN: usize = 32;

/// How long a peer may take for its first call, for the rest of a frame that it began, and to read some of its replies.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long it may take while another connection waits for the memory that this one holds for it.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

/// Why a connection was ended from this side.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    NoCall(#[from] NoCall),
    #[error("it sent no call, or only a part of one, within {PATIENCE:?}")]
    SilentReader,
    #[error("it read no reply within {PATIENCE:?}")]
    Unread,
    #[error("it does not read its replies, and others need the memory that they take")]
    GaveWay,
}

/// A call that runs, and what it comes to.
type Running<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

struct Done {
    /// What the call counted as, in bytes.
    held: usize,
    /// What it cost the thread.
    work: usize,
    flags: Flags,
    sequence: u32,
    method: Bytes,
    result: Result<Bytes, String>,
}

/// Serves a connection to its end.
///
/// # Errors
/// Why it was ended from this side.
pub(super) async fn serve(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    registration: &Registration,
    router: &Router,
) -> Result<(), Fault> {
    let mut connection = Connection {
        registration,
        router,
        decoder: Decoder::strict(MAX_CALL),
        input: BytesMut::new(),
        skip: 0,
        is_judged: false,
        output: Outbox::default(),
        calls: FuturesUnordered::new(),
        remote: FuturesUnordered::new(),
        waiting: FuturesUnordered::new(),
        is_open: true,
        is_heard: true,
        read_by: Some(Instant::now() + PATIENCE),
        held: 0,
        share: Share::new(Arc::clone(router.memory())),
        work: 0,
        written_by: Instant::now(),
    };
    connection.run(reader, writer).await
}

struct Connection<'a> {
    registration: &'a Registration,
    router: &'a Router,
    decoder: Decoder,
    input: BytesMut,
    /// How many bytes to come belong to a frame that was refused.
    skip: usize,
    /// Whether the frame at the front, which has begun, may come as a whole.
    is_judged: bool,
    output: Outbox,
    /// Those that are answered here. They are not driven while the peer does not read, so they must hold nothing that others need.
    calls: FuturesUnordered<Running<'a>>,
    /// Those that Centrifugo answers: it would have to hold back the answers of all connections if this one's were not taken.
    remote: FuturesUnordered<Running<'a>>,
    /// Those that end with their caller.
    waiting: FuturesUnordered<Running<'a>>,
    /// Whether more calls may come.
    is_open: bool,
    /// Whether replies can be sent.
    is_heard: bool,
    /// When the next bytes are due: in front of the first call, and within a frame.
    read_by: Option<Instant>,
    /// What the calls in flight count as, in bytes.
    held: usize,
    share: Share,
    /// What was done since others had their turn.
    work: usize,
    /// When the next replies have to have been read.
    written_by: Instant,
}

impl Connection<'_> {
    async fn run(
        &mut self,
        mut reader: impl AsyncRead + Unpin,
        mut writer: impl AsyncWrite + Unpin,
    ) -> Result<(), Fault> {
        loop {
            let has_more = match self.take_calls() {
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
            let is_idle = self.calls.is_empty() && self.remote.is_empty() && self.output.is_empty();
            if is_idle && self.input.is_empty() {
                // It has kept up with its peer, and so has not kept the thread busy.
                self.work = 0;
            }
            if !self.is_open && is_idle && self.waiting.is_empty() {
                return Ok(());
            }
            let readable = self.readable();
            let may_read = readable > 0;
            let is_unread = self.output.len() >= MAX_UNSENT;
            let is_in_debt = self.is_in_debt();
            let wanted = is_in_debt.then(|| self.share.wanted_by_others(self.owed_since() + SHORT_PATIENCE));
            tokio::select! {
                read = read_or_wait(
                    read(&mut reader, &mut self.input, readable), may_read, &mut self.waiting
                ), if may_read || !self.waiting.is_empty() => match read {
                    Ok(read) => self.was_read(&read),
                    Err(done) => self.reply(&done)?,
                },
                Some(done) = self.calls.next(), if !is_unread && !self.calls.is_empty() => self.reply_to_all(&done)?,
                Some(done) = self.remote.next(), if !self.remote.is_empty() => self.reply(&done)?,
                written = self.output.write_to(&mut writer), if !self.output.is_empty() => self.was_written(&written),
                () = sleep_until(self.written_by), if !self.output.is_empty() => return Err(Fault::Unread),
                () = until(self.read_by), if may_read => return Err(Fault::SilentReader),
                granted = self.share.granted(), if self.share.is_waiting() => if !granted { self.refuse_for_want()? },
                () = or_never(wanted), if is_in_debt => self.give_way()?,
                () = yield_now(), if has_more => {}
            }
        }
    }

    /// Starts the calls that have come as a whole, as far as there is room, and no more than [`BATCH`]. True when there may be another.
    fn take_calls(&mut self) -> Result<bool, Fault> {
        let (mut taken, mut has_more) = (0, false);
        loop {
            let skipped = self.skip.min(self.input.len());
            self.input.advance(skipped);
            self.skip -= skipped;
            if self.skip > 0 || !self.has_room() {
                break;
            }
            if taken >= BATCH {
                has_more = !self.input.is_empty();
                break;
            }
            match self.decoder.decode(&mut self.input)? {
                Some(Item::Frame(frame)) => {
                    if frame.payload.len() > FREE {
                        // What is left shall not keep the memory of the frame that was in front of it.
                        self.input = BytesMut::from(&*self.input);
                    }
                    match Call::parse(frame) {
                        Ok(call) => {
                            taken += work(&call);
                            self.start(call)?;
                        }
                        Err(no_call) => {
                            taken += 1;
                            self.refuse(no_call)?;
                        }
                    }
                }
                // A strict decoder has no noise.
                Some(Item::Noise(_)) => {}
                None if self.judge()? => continue,
                None => break,
            }
            self.is_judged = false;
            self.read_by = None;
        }
        if self.input.is_empty() && self.skip == 0 {
            return Ok(false);
        }
        self.read_by.get_or_insert_with(|| Instant::now() + PATIENCE);
        Ok(has_more)
    }

    fn start(&mut self, call: Call) -> Result<(), Fault> {
        let router = self.router;
        let Call { flags, sequence, .. } = call;
        if call.argument.len() > READ
            && let Err(text) = router.admit(&call.method, call.argument.len())
        {
            let Call { method, .. } = call;
            return self.reply(&Done { held: 0, work: 1, flags, sequence, method, result: Err(text) });
        }
        let is_remote = is_centrifuge(&call.method);
        // Elsewhere bytes pass through; here they become a value beside them.
        let held = CALL + call.argument.len() * if is_remote { 1 } else { 2 };
        let work = work(&call);
        self.held += held;
        let ends_with_its_caller = router.ends_with_its_caller(&call);
        let in_flight = self.registration.call();
        let running = Box::pin(async move {
            let result = router.answer(&call).await;
            drop(in_flight);
            Done { held, work, flags, sequence, method: call.method, result }
        });
        match (ends_with_its_caller, is_remote) {
            (true, _) => self.waiting.push(running),
            (false, true) => self.remote.push(running),
            (false, false) => self.calls.push(running),
        }
        Ok(())
    }

    /// Answers a frame that is no call, if it says whom to answer.
    fn refuse(&mut self, no_call: NoCall) -> Result<(), Fault> {
        let (NoCall::Method { sequence, .. } | NoCall::Name { sequence, .. }) = no_call else {
            return Err(no_call.into());
        };
        let result = Err(no_call.to_string());
        self.reply(&Done { held: 0, work: 1, flags: Flags::JSON, sequence, method: Bytes::new(), result })
    }

    /// Answers a call, and all others that are done as well, before more are taken: calls that are not driven would pile up.
    fn reply_to_all(&mut self, done: &Done) -> Result<(), Fault> {
        self.reply(done)?;
        while self.work < TURN
            && self.output.len() < MAX_UNSENT
            && let Some(Some(done)) = self.calls.next().now_or_never()
        {
            self.reply(&done)?;
        }
        Ok(())
    }

    fn reply(&mut self, done: &Done) -> Result<(), Fault> {
        self.held -= done.held;
        let length = done.result.as_ref().map_or_else(String::len, Bytes::len);
        self.work += done.work + length / READ;
        if !self.is_heard {
            return Ok(());
        }
        if self.output.is_empty() {
            self.written_by = Instant::now() + PATIENCE;
        }
        let is_covered = self.share.cover(self.weight() + length + MAX_METHOD);
        if !is_covered && self.output.len() > FREE {
            return Err(Fault::GaveWay);
        }
        let fits = is_covered && self.output.len() + length <= MAX_REPLIES;
        let Done { flags, sequence, method, .. } = done;
        if fits || length <= MAX_ERROR {
            envelope::reply(&mut self.output, *flags, *sequence, method, &done.result);
        } else {
            let text = format!(
                "rpc: the result has {length} bytes, for which there is no memory; read replies, or ask for less"
            );
            envelope::reply(&mut self.output, *flags, *sequence, method, &Err(text));
        }
        Ok(())
    }

    fn was_read(&mut self, read: &io::Result<usize>) {
        if let Ok(bytes @ 1..) = read {
            self.work += bytes / READ;
        } else {
            // The caller is gone, or has asked all that it wanted to. What was begun is finished, so that nobody has to guess what was
            // done; but nobody waits for a lock that he cannot use.
            self.is_open = false;
            self.share.give_up();
            self.waiting.clear();
        }
    }

    fn was_written(&mut self, written: &io::Result<()>) {
        if written.is_ok() {
            self.written_by = Instant::now() + PATIENCE;
        } else {
            self.is_open = false;
            self.is_heard = false;
            self.share.give_up();
            self.output.clear();
            self.waiting.clear();
        }
    }

    /// Behind a frame that breaks the protocol nothing can be read; what was asked before it is answered.
    async fn finish(&mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        self.waiting.clear();
        self.input.clear();
        let finish = async {
            loop {
                while !self.output.is_empty() {
                    self.output.write_to(writer).await?;
                }
                let done = tokio::select! {
                    Some(done) = self.calls.next() => done,
                    Some(done) = self.remote.next() => done,
                    else => return io::Result::Ok(()),
                };
                if self.reply(&done).is_err() {
                    return Ok(());
                }
            }
        };
        // Whether the peer still reads is its own affair.
        let _ = tokio::time::timeout(PATIENCE, finish).await;
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

/// Reads, or else finishes what ends with its caller; reading is first, so that a caller who has hung up is given nothing.
async fn read_or_wait(
    read: impl Future<Output = io::Result<usize>>,
    may_read: bool,
    waiting: &mut FuturesUnordered<Running<'_>>,
) -> Result<io::Result<usize>, Done> {
    tokio::select! {
        biased;
        read = read, if may_read => Ok(read),
        Some(done) = waiting.next(), if !waiting.is_empty() => Err(done),
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

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
