//! The socket of one connection, which gathers small writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use super::calls::Calls;

/// Writes from this size on are worth it as they are.
const LARGE_WRITE: usize = 8 * 1024;

/// An accepted connection.
///
/// A write costs more than anything else that a call needs. So while other calls are in flight, a small write waits until the tasks that
/// are ready have run: what they have to say goes out with it.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    calls: Arc<Calls>,
    /// The write in hand has waited.
    gathering: bool,
}

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// A socket whose writes wait while any of `calls` is in flight.
    pub(super) fn new(stream: Stream, calls: Arc<Calls>) -> Self {
        Self { stream, calls, gathering: false }
    }

    /// Whether a write of so many bytes should wait; it is woken at once, behind all others.
    fn gather(&mut self, bytes: usize, cx: &Context<'_>) -> bool {
        self.gathering = !self.gathering && bytes < LARGE_WRITE && self.calls.in_flight();
        if self.gathering {
            cx.waker().wake_by_ref();
        }
        self.gathering
    }
}

macro_rules! delegate {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match &mut $self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.gather(buf.len(), cx) {
            return Poll::Pending;
        }
        delegate!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.gather(bufs.iter().map(|buf| buf.len()).sum(), cx) {
            return Poll::Pending;
        }
        delegate!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        delegate!(self, poll_shutdown, cx)
    }
}
