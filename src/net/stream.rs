//! A connection, over TCP or a unix socket, and its peer.
//!
//! An enum of our own, and not tokio-util's `Either`: there are three kinds, and the methods below would need a trait.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{self as io_util, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, tcp, unix};
use tokio_rustls::TlsStream;

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    /// Over TCP, of either side. The others are not to be as large.
    Tls(Box<TlsStream<TcpStream>>),
}

/// The other end of an accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Over TCP: its address.
    Address(SocketAddr),
    /// Over a unix socket: the pid of the process that connected, from the kernel; `None` if it is in another PID namespace.
    Process(Option<u32>),
}

/// The receiving direction of a borrowed [`Stream`].
#[derive(Debug)]
pub(crate) enum ReadHalf<'a> {
    Tcp(tcp::ReadHalf<'a>),
    Unix(unix::ReadHalf<'a>),
    Tls(io_util::ReadHalf<&'a mut TlsStream<TcpStream>>),
}

/// The sending direction of a borrowed [`Stream`].
#[derive(Debug)]
pub(crate) enum WriteHalf<'a> {
    Tcp(tcp::WriteHalf<'a>),
    Unix(unix::WriteHalf<'a>),
    Tls(io_util::WriteHalf<&'a mut TlsStream<TcpStream>>),
}

impl Stream {
    /// Splits the stream into halves that can be polled at the same time. Those of TLS share a lock.
    pub(crate) fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Tcp(stream) => {
                let (reading, writing) = stream.split();
                (ReadHalf::Tcp(reading), WriteHalf::Tcp(writing))
            }
            Self::Unix(stream) => {
                let (reading, writing) = stream.split();
                (ReadHalf::Unix(reading), WriteHalf::Unix(writing))
            }
            Self::Tls(stream) => {
                let (reading, writing) = io_util::split(&mut **stream);
                (ReadHalf::Tls(reading), WriteHalf::Tls(writing))
            }
        }
    }

    /// Makes the kernel acknowledge at once what it has received over TCP. Until then a peer without `TCP_NODELAY` holds back small writes.
    pub(crate) fn acknowledge(&self) {
        if let Some(stream) = self.tcp() {
            // The kernel resets the option by itself. If it fails, the peer is only slower.
            let _ = socket2::SockRef::from(stream).set_tcp_quickack(true);
        }
    }

    /// Our own address; `None` for a unix socket.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        self.tcp()?.local_addr().ok()
    }

    fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(stream) => Some(stream),
            Self::Unix(_) => None,
            Self::Tls(stream) => Some(stream.get_ref().0),
        }
    }

    /// Says goodbye over TLS, as far as that is possible without waiting: without it, the peer would take the end for that of an attacker.
    pub(crate) fn close(mut self) {
        if let Self::Tls(stream) = &mut self {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(stream).poll_shutdown(&mut cx);
        }
    }

    /// Closes our sending direction: the peer reads end-of-file.
    pub(crate) fn close_sending(&self) {
        let socket = match self {
            Self::Tcp(stream) => socket2::SockRef::from(stream),
            Self::Unix(stream) => socket2::SockRef::from(stream),
            Self::Tls(stream) => socket2::SockRef::from(stream.get_ref().0),
        };
        // It only fails if the peer is gone.
        let _ = socket.shutdown(std::net::Shutdown::Write);
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Process(Some(pid)) => write!(f, "process {pid}"),
            Self::Process(None) => f.write_str("an unknown process"),
        }
    }
}

macro_rules! delegate {
    ($self:ident, $method:ident $(, $argument:expr)*) => {
        match $self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).$method($($argument),*),
            Self::Unix(stream) => Pin::new(stream).$method($($argument),*),
            Self::Tls(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

macro_rules! read {
    ($of:ty) => {
        impl AsyncRead for $of {
            fn poll_read(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                delegate!(self, poll_read, cx, buf)
            }
        }
    };
}

macro_rules! write {
    ($of:ty) => {
        impl AsyncWrite for $of {
            fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
                delegate!(self, poll_write, cx, buf)
            }

            fn poll_write_vectored(
                self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                bufs: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
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
    };
}

read!(Stream);
write!(Stream);
read!(ReadHalf<'_>);
write!(WriteHalf<'_>);
