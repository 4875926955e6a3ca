//! One relay, over pipes or a socket.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;
use tokio::process::{ChildStdin, ChildStdout};

use crate::net::Stream;
use crate::os;

/// A byte channel to one worker. Dropping it closes both directions.
#[derive(Debug)]
pub(crate) enum Relay {
    /// The worker's standard input and output.
    Pipes {
        /// Our end of its input; `None` once closed.
        to: Option<pipe::Sender>,
        /// Our end of its output.
        from: pipe::Receiver,
    },
    /// A connection that the worker has opened.
    Socket(Stream),
}

impl Relay {
    /// The relay of a child whose standard streams are pipes.
    ///
    /// # Errors
    /// If the descriptors cannot be registered with the runtime.
    pub(crate) fn pipes(stdin: ChildStdin, stdout: ChildStdout) -> io::Result<Self> {
        Ok(Self::Pipes {
            to: Some(pipe::Sender::from_owned_fd(stdin.into_owned_fd()?)?),
            from: pipe::Receiver::from_owned_fd(stdout.into_owned_fd()?)?,
        })
    }

    /// Bytes that the worker has not read yet, if that can be known: it can for a pipe.
    pub(crate) fn unread(&self) -> Option<usize> {
        match self {
            Self::Pipes { to: Some(to), .. } => os::process::unread(to.as_fd()),
            _ => None,
        }
    }

    /// Our own address; `None` unless over TCP.
    pub(super) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Pipes { .. } => None,
            Self::Socket(stream) => stream.local_address(),
        }
    }

    /// Acknowledges the worker's answer at once. If the worker does not set `TCP_NODELAY` (PHP workers do not), its kernel holds back the echo
    /// behind the answer until then, and ours would delay the acknowledgement for up to 40 ms to send it along with data.
    pub(crate) fn acknowledge(&self) {
        if let Self::Socket(stream) = self {
            stream.acknowledge();
        }
    }

    /// Closes our sending direction: the worker reads end-of-file.
    pub(crate) fn close_sending(&mut self) {
        match self {
            Self::Pipes { to, .. } => *to = None,
            Self::Socket(stream) => stream.close_sending(),
        }
    }
}

impl AsyncRead for Relay {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Pipes { from, .. } => Pin::new(from).poll_read(cx, buf),
            Self::Socket(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Relay {
    /// Where to write.
    fn writer(&mut self) -> io::Result<Pin<&mut (dyn AsyncWrite + Unpin + Send)>> {
        match self {
            Self::Pipes { to: Some(to), .. } => Ok(Pin::new(to)),
            Self::Pipes { to: None, .. } => Err(io::ErrorKind::BrokenPipe.into()),
            Self::Socket(stream) => Ok(Pin::new(stream)),
        }
    }
}

impl AsyncWrite for Relay {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().writer()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().writer()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().close_sending();
        Poll::Ready(Ok(()))
    }
}
