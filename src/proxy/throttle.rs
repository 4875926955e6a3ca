//! The stream that `h2` reads: one time slice at a time ([`super::slice`]), by what frames cost to handle rather than by their bytes.
//!
//! On unix sockets it also replaces authorities that are paths ([`super::authority`]). Between the frames that are written, it announces how many
//! calls the peer may have open ([`super::concurrency`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::account::Account;
use super::authority;
use super::concurrency::Concurrency;
use super::resets::Resets;
use super::slice::SLICE;

/// Bytes that are still read from a peer that reads nothing itself. Answers would pile up otherwise.
const READ_UNTAKEN: usize = 256 * 1024;

/// The length of a frame header.
const HEADER_LEN: usize = 9;

/// The length of HTTP/2's preface, in front of the first frame.
const PREFACE: usize = 24;

/// The largest frame payload that this side allows: HTTP/2's default.
const MAX_FRAME: usize = 16 * 1024;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

/// What any frame costs to handle, where a byte costs 1.
const FRAME: isize = 24;

/// A stream that is read in time slices.
#[derive(Debug)]
pub(super) struct Throttle<S> {
    stream: S,
    account: Arc<Account>,
    /// Bytes that were read but not passed on: the rest of a read whose slice was used up, or a part of a frame that is needed whole.
    /// Bounded by one read of `h2` or one frame, about 32 KB.
    held: BytesMut,
    /// Bytes until the next frame begins.
    until_frame: usize,
    replaces_authorities: bool,
    /// Bytes read since a write blocked.
    since_blocked: Option<usize>,
    resets: Resets,
    concurrency: Concurrency,
    /// The rest of a frame of `concurrency`; nothing else is written before it.
    announcement: Bytes,
}

impl<S> Throttle<S> {
    pub(super) fn new(stream: S, account: Arc<Account>, replaces_authorities: bool) -> Self {
        Self {
            stream,
            account,
            held: BytesMut::new(),
            until_frame: PREFACE,
            replaces_authorities,
            since_blocked: None,
            resets: Resets::new(Instant::now()),
            concurrency: Concurrency::new(),
            announcement: Bytes::new(),
        }
    }

    /// Returns how many of these bytes may be passed on now, up to `room`, and charges for them.
    fn pass(&mut self, bytes: &mut [u8], room: usize) -> usize {
        let mut at = 0;
        loop {
            let step = self.until_frame.min(bytes.len() - at).min(room - at);
            at += step;
            self.until_frame -= step;
            if self.until_frame > 0 || at == room || self.account.slice().may_not_read() {
                return at;
            }
            let Some(&[l0, l1, l2, kind, flags, ..]) = bytes[at..].first_chunk::<HEADER_LEN>() else {
                return at;
            };
            let length = u32::from_be_bytes([0, l0, l1, l2]) as usize;
            match kind {
                SETTINGS => self.concurrency.hide(&mut bytes[at..at + HEADER_LEN]),
                RST_STREAM if self.resets.exceed(Instant::now()) => self.account.flood(),
                _ => {}
            }
            if kind == HEADERS && self.replaces_authorities && length <= MAX_FRAME {
                let Some(payload) = bytes.get_mut(at + HEADER_LEN..at + HEADER_LEN + length) else {
                    return at;
                };
                if let Some(replaced) = authority::replace(flags, payload) {
                    self.account.set_authority(replaced);
                }
            }
            self.account.slice().read(cost(kind, flags, length));
            self.until_frame = HEADER_LEN + length;
        }
    }

    /// Writes the rest of an announcement.
    fn poll_announce(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.announcement.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.announcement))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.announcement.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Whether the peer reads so little that nothing more is read from it.
    fn is_stuck(&self) -> bool {
        self.since_blocked.is_some_and(|read| read > READ_UNTAKEN)
    }

    fn wrote(&mut self, is_blocked: bool, cx: &Context<'_>) {
        match (is_blocked, self.since_blocked) {
            (true, None) => self.since_blocked = Some(0),
            (false, Some(_)) => {
                if self.is_stuck() {
                    // The read that found it so, perhaps in this very poll, waits for nothing else.
                    cx.waker().wake_by_ref();
                }
                self.since_blocked = None;
            }
            _ => {}
        }
    }
}

/// Returns what a frame costs to handle.
fn cost(kind: u8, flags: u8, length: usize) -> isize {
    let length = isize::try_from(length).unwrap_or(SLICE);
    FRAME
        + match kind {
            // The payload is only passed on.
            DATA => length / 4,
            // Each byte may stand for a field, and the first frame of a call starts a task.
            HEADERS | CONTINUATION => 64 + 2 * length,
            // It may change the window of every open stream. An acknowledgement changes nothing.
            SETTINGS if flags & 1 == 0 => SLICE / 4,
            _ => length,
        }
}

impl<S: AsyncRead + Unpin> AsyncRead for Throttle<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.account.slice().may_not_read() {
                // The connection's task is polled again at its next turn.
                return Poll::Pending;
            }
            if this.is_stuck() {
                // The next write that succeeds wakes this task: see `wrote`.
                return Poll::Pending;
            }
            if this.held.is_empty() {
                let before = buf.filled().len();
                ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
                let read = buf.filled().len() - before;
                if let Some(since) = &mut this.since_blocked {
                    *since += read;
                }
                let passed = this.pass(&mut buf.filled_mut()[before..], read);
                this.held.extend_from_slice(&buf.filled()[before + passed..]);
                buf.set_filled(before + passed);
                if passed > 0 || read == 0 {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let mut held = std::mem::take(&mut this.held);
            let room = buf.remaining().min(held.len());
            let passed = this.pass(&mut held, room);
            buf.put_slice(&held[..passed]);
            held.advance(passed);
            this.held = held;
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
            if this.account.slice().may_not_read() {
                continue;
            }
            let read = ready!(poll_read_buf(Pin::new(&mut this.stream), cx, &mut this.held))?;
            if read == 0 {
                // The stream has ended within a frame: pass on what there is.
                let rest = this.held.split_to(this.held.len().min(buf.remaining()));
                buf.put_slice(&rest);
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Throttle<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_announce(cx))?;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written.is_pending(), cx);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_announce(cx))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written.is_pending(), cx);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // All that was written before is whole frames.
        let open = self.account.port().open();
        if self.announcement.is_empty()
            && let Some((limit, frame)) = self.concurrency.announce(open)
        {
            self.account.allow(limit);
            self.announcement = frame;
        }
        ready!(self.poll_announce(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::{Wake, Waker};

    use tokio::io::AsyncReadExt as _;

    use super::super::in_flight::InFlight;
    use super::super::memory::Memory;
    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[tokio::test]
    async fn a_write_that_succeeds_wakes_the_reader_that_waited_for_it() {
        let (near, mut far) = tokio::io::duplex(64);
        let account = Account::open(Arc::new(InFlight::new()), Arc::new(Memory::new(1 << 20)), None);
        let mut stream = Throttle::new(near, account, false);
        let count = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut cx = Context::from_waker(&waker);
        assert!(Pin::new(&mut stream).poll_write(&mut cx, &[0; 64]).is_ready());
        stream.since_blocked = Some(READ_UNTAKEN + 1);
        let mut bytes = [0; 16];
        assert!(Pin::new(&mut stream).poll_read(&mut cx, &mut ReadBuf::new(&mut bytes)).is_pending());
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"x").is_pending());
        assert_eq!(count.0.load(Relaxed), 0);
        let mut taken = [0; 64];
        far.read_exact(&mut taken).await.unwrap();
        let before = count.0.load(Relaxed);
        assert!(Pin::new(&mut stream).poll_write(&mut cx, b"x").is_ready());
        assert_eq!(count.0.load(Relaxed), before + 1);
    }
}
