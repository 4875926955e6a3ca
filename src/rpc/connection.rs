//! One connection of a caller: frames in, calls side by side, replies as they are ready.
//!
//! One task does it all, so that a call costs no switch between tasks. What a peer can make it hold is bounded: calls in flight, replies
//! that it does not read, and frames that it begins and does not finish. Past a bound nothing more is read, and a peer that then does not
//! move for [`PATIENCE`] is hung up on.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::envelope::{self, Call, NoCall};
use super::router::Router;
use crate::goridge::{Decoder, Flags, Item, Violation};
use crate::net::Registration;

/// Bytes of an argument, at most. Centrifugo itself takes 4 MB unless told otherwise; this leaves room.
const MAX_CALL: usize = 64 << 20;

/// Calls in flight, at most; more are read when some are done.
const MAX_CALLS: usize = 1024;

/// Bytes of the arguments of all calls in flight; past it no call is read.
const MAX_HELD: usize = MAX_CALL;

/// Bytes of replies that the peer has not read; past it no call is read.
const MAX_UNSENT: usize = 1 << 20;

/// How many bytes are read at once, at least: most calls are shorter.
const READ: usize = 4 << 10;

/// How long a peer may take for its first call, for the rest of a frame that it began, and to read some of its replies.
const PATIENCE: Duration = Duration::from_mins(1);

/// Why a connection was ended from this side.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    NoCall(#[from] NoCall),
    #[error("it sent no call, or only a part of one, within {PATIENCE:?}")]
    SilentReader,
    #[error("it read no reply within {PATIENCE:?}")]
    Unread,
}

/// A call that runs, and what it comes to.
type Running<'a> = Pin<Box<dyn Future<Output = Done> + Send + 'a>>;

struct Done {
    /// Bytes of the call's argument.
    held: usize,
    flags: Flags,
    sequence: u32,
    method: Bytes,
    result: Result<Bytes, String>,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    reader: impl AsyncRead + Unpin,
    writer: impl AsyncWrite + Unpin,
    peer: &str,
    registration: &Registration,
    router: &Router,
) {
    let mut connection = Connection {
        registration,
        router,
        decoder: Decoder::strict(MAX_CALL),
        input: BytesMut::new(),
        output: BytesMut::new(),
        calls: FuturesUnordered::new(),
        waiting: FuturesUnordered::new(),
        is_open: true,
        is_heard: true,
        read_by: Some(Instant::now() + PATIENCE),
        held: 0,
        written_by: Instant::now(),
    };
    if let Err(fault) = connection.run(reader, writer).await {
        warn!(target: "rpc", peer, reason = %fault, "ended a connection");
    }
}

struct Connection<'a> {
    registration: &'a Registration,
    router: &'a Router,
    decoder: Decoder,
    input: BytesMut,
    output: BytesMut,
    calls: FuturesUnordered<Running<'a>>,
    /// Those that end with their caller.
    waiting: FuturesUnordered<Running<'a>>,
    /// Whether more calls may come.
    is_open: bool,
    /// Whether replies can be sent.
    is_heard: bool,
    /// When the next bytes are due: in front of the first call, and within a frame.
    read_by: Option<Instant>,
    /// Bytes of the arguments of the calls in flight.
    held: usize,
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
            let fault = self.take_calls();
            if let Err(fault) = fault {
                self.finish(&mut writer).await;
                return Err(fault);
            }
            let is_idle = self.calls.is_empty() && self.waiting.is_empty();
            if !self.is_open && is_idle && self.output.is_empty() {
                return Ok(());
            }
            let may_read = self.is_open && self.has_room();
            tokio::select! {
                read = read_or_wait(
                    read(&mut reader, &mut self.input, &self.decoder), may_read, &mut self.waiting
                ), if may_read || !self.waiting.is_empty() => match read {
                    Ok(read) => self.was_read(&read),
                    Err(done) => self.reply(&done),
                },
                Some(done) = self.calls.next(), if !self.calls.is_empty() => self.reply(&done),
                written = writer.write_buf(&mut self.output), if !self.output.is_empty() => self.was_written(&written),
                () = sleep_until(self.written_by), if !self.output.is_empty() => return Err(Fault::Unread),
                () = until(self.read_by), if may_read => return Err(Fault::SilentReader),
            }
        }
    }

    /// Starts the calls that have come as a whole, as far as there is room.
    fn take_calls(&mut self) -> Result<(), Fault> {
        while self.has_room() {
            match self.decoder.decode(&mut self.input)? {
                Some(Item::Frame(frame)) => match Call::parse(frame) {
                    Ok(call) => self.start(call),
                    Err(no_call) => self.refuse(no_call)?,
                },
                // A strict decoder has no noise.
                Some(Item::Noise(_)) => {}
                None => break,
            }
            self.read_by = None;
        }
        if self.input.is_empty() {
            return Ok(());
        }
        self.read_by.get_or_insert_with(|| Instant::now() + PATIENCE);
        Ok(())
    }

    fn has_room(&self) -> bool {
        let calls = self.calls.len() + self.waiting.len();
        calls < MAX_CALLS && self.held < MAX_HELD && self.output.len() < MAX_UNSENT
    }

    fn start(&mut self, call: Call) {
        let router = self.router;
        let held = call.argument.len();
        self.held += held;
        let ends_with_its_caller = router.ends_with_its_caller(&call);
        let in_flight = self.registration.call();
        let running = Box::pin(async move {
            let result = router.answer(&call).await;
            drop(in_flight);
            Done { held, flags: call.flags, sequence: call.sequence, method: call.method, result }
        });
        if ends_with_its_caller { self.waiting.push(running) } else { self.calls.push(running) }
    }

    /// Answers a frame that is no call, if it says whom to answer.
    fn refuse(&mut self, no_call: NoCall) -> Result<(), Fault> {
        let NoCall::Method { sequence, .. } = no_call else { return Err(no_call.into()) };
        let result = Err(no_call.to_string());
        self.reply(&Done { held: 0, flags: Flags::JSON, sequence, method: Bytes::new(), result });
        Ok(())
    }

    fn reply(&mut self, done: &Done) {
        self.held -= done.held;
        if self.is_heard {
            if self.output.is_empty() {
                self.written_by = Instant::now() + PATIENCE;
            }
            envelope::reply(&mut self.output, done.flags, done.sequence, &done.method, &done.result);
        }
    }

    fn was_read(&mut self, read: &io::Result<usize>) {
        if !matches!(read, Ok(1..)) {
            // The caller is gone, or has asked all that it wanted to. What was begun is finished, so that nobody has to guess what was
            // done; but nobody waits for a lock that he cannot use.
            self.is_open = false;
            self.waiting.clear();
        }
    }

    fn was_written(&mut self, written: &io::Result<usize>) {
        if written.is_ok() {
            self.written_by = Instant::now() + PATIENCE;
        } else {
            self.is_open = false;
            self.is_heard = false;
            self.output.clear();
            self.waiting.clear();
        }
    }

    /// Behind a frame that breaks the protocol nothing can be read; what was asked before it is answered.
    async fn finish(&mut self, writer: &mut (impl AsyncWrite + Unpin)) {
        self.waiting.clear();
        let finish = async {
            while let Some(done) = self.calls.next().await {
                self.reply(&done);
            }
            writer.write_all_buf(&mut self.output).await
        };
        // Whether the peer still reads is its own affair.
        let _ = tokio::time::timeout(PATIENCE, finish).await;
    }
}

async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    input: &mut BytesMut,
    decoder: &Decoder,
) -> io::Result<usize> {
    // What a header claims is reserved only in steps of what has come.
    input.reserve(decoder.wanted(input).clamp(READ, READ.max(input.len())));
    reader.read_buf(input).await
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

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
