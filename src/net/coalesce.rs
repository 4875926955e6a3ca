//! Write coalescing: a small write waits a moment for those of other calls.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Writes of this size in bytes, or more, do not wait.
const LARGE: usize = 8 * 1024;

/// A stream that many calls share.
///
/// A system call to write costs more than the rest of a call. So while other calls are in flight, a small write waits until the tasks that
/// are ready have run: what they write goes out with it.
#[derive(Debug)]
pub(crate) struct Coalesce<S, F> {
    stream: S,
    has_others: F,
    /// Whether the current write has waited.
    waited: bool,
}

impl<S, F: Fn() -> bool> Coalesce<S, F> {
    /// Coalesces writes to `stream` while `has_others` returns that other calls are in flight.
    pub(crate) fn new(stream: S, has_others: F) -> Self {
        Self { stream, has_others, waited: false }
    }

    /// Whether a write of `bytes` has to wait; if so, it is woken behind all tasks that are ready.
    fn waits(&mut self, bytes: usize, cx: &Context<'_>) -> bool {
        self.waited = !self.waited && bytes < LARGE && (self.has_others)();
        if self.waited {
            cx.waker().wake_by_ref();
        }
        self.waited
    }
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for Coalesce<S, F> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, F: Fn() -> bool + Unpin> AsyncWrite for Coalesce<S, F> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.waits(buf.len(), cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.waits(bufs.iter().map(|buf| buf.len()).sum(), cx) {
            return Poll::Pending;
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// How often a write has to be polled. All of it arrives.
    async fn polls(bytes: &[u8], has_others: bool) -> usize {
        let (near, mut far) = tokio::io::duplex(2 * LARGE);
        let mut stream = Coalesce::new(near, || has_others);
        let mut polls = 0;
        let written = poll_fn(|cx| {
            polls += 1;
            Pin::new(&mut stream).poll_write(cx, bytes)
        });
        assert_eq!(written.await.unwrap(), bytes.len());
        let mut arrived = vec![0; bytes.len()];
        far.read_exact(&mut arrived).await.unwrap();
        assert_eq!(arrived, bytes);
        polls
    }

    #[tokio::test]
    async fn a_small_write_waits_once_while_other_calls_are_in_flight() {
        assert_eq!(polls(b"small", true).await, 2);
        assert_eq!(polls(b"small", false).await, 1);
        assert_eq!(polls(&[b'x'; LARGE], true).await, 1);
    }
}
