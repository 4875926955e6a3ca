//! Replies that the peer has not read yet.

use std::collections::VecDeque;
use std::io;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

/// Bytes of a result that is copied, at most.
const COPIED: usize = 16 << 10;

/// Bytes that are written at once, at most: a longer write would block the thread.
const WRITE: usize = 256 << 10;

/// Bytes of small pieces in one buffer, at most: a single growing buffer would be up to twice as large as its contents.
const GATHERED: usize = 64 << 10;

/// The capacity of a buffer that is kept for the next replies, at most.
const KEPT: usize = 32 << 10;

/// A queue of bytes. Small pieces are gathered, large ones are passed on without a copy.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// The bytes in front of `tail`.
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    /// Bytes in `pieces`.
    in_pieces: usize,
    /// Whether the writer may hold bytes back until it is flushed, as over TLS.
    is_unflushed: bool,
}

impl Outbox {
    pub(super) fn len(&self) -> usize {
        self.in_pieces + self.tail.len()
    }

    fn is_empty(&self) -> bool {
        self.in_pieces == 0 && self.tail.is_empty()
    }

    /// Whether all bytes have been sent, and the writer holds none back.
    pub(super) fn is_sent(&self) -> bool {
        self.is_empty() && !self.is_unflushed
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The buffer for small pieces.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        if self.tail.len() > GATHERED {
            self.end_piece();
            self.tail.reserve(GATHERED + 2 * COPIED);
        }
        &mut self.tail
    }

    /// Appends bytes, which may be many.
    pub(super) fn push(&mut self, bytes: &Bytes) {
        if bytes.len() <= COPIED {
            return self.tail.extend_from_slice(bytes);
        }
        self.end_piece();
        self.push_piece(bytes.clone());
    }

    fn end_piece(&mut self) {
        if !self.tail.is_empty() {
            let gathered = std::mem::take(&mut self.tail).freeze();
            self.push_piece(gathered);
        }
    }

    fn push_piece(&mut self, piece: Bytes) {
        self.in_pieces += piece.len();
        self.pieces.push_back(piece);
    }

    /// Writes some of the bytes. Cancel-safe.
    pub(super) async fn write_to(&mut self, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        if self.is_empty() {
            writer.flush().await?;
            self.is_unflushed = false;
            return Ok(());
        }
        let first = self.pieces.front().map_or(&*self.tail, |piece| piece);
        let written = writer.write(&first[..first.len().min(WRITE)]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.is_unflushed = true;
        match self.pieces.front_mut() {
            Some(piece) => {
                piece.advance(written);
                self.in_pieces -= written;
                self.pieces.pop_front_if(|piece| piece.is_empty());
            }
            None => self.tail.advance(written),
        }
        if !self.is_empty() {
            return Ok(());
        }
        if self.tail.capacity() > KEPT {
            self.tail = BytesMut::new();
        }
        writer.flush().await?;
        self.is_unflushed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_that_the_writer_holds_back_are_not_sent_yet() {
        let (near, mut far) = tokio::io::duplex(4);
        let (mut outbox, mut writer) = (Outbox::default(), tokio::io::BufWriter::new(near));
        outbox.push(&Bytes::from_static(b"replies"));
        let mut arrived = [0; 7];
        let sent = async {
            while !outbox.is_sent() {
                outbox.write_to(&mut writer).await.unwrap();
            }
        };
        let read = tokio::io::AsyncReadExt::read_exact(&mut far, &mut arrived);
        let (read, ()) = tokio::join!(read, sent);
        read.unwrap();
        assert_eq!(&arrived, b"replies");
    }

    #[tokio::test]
    async fn bytes_come_out_in_order() {
        let (mut outbox, mut written) = (Outbox::default(), Vec::new());
        let mut expected = Vec::new();
        for (number, length) in [(1, 10), (2, COPIED + 1), (3, 0), (4, WRITE * 2 + 7), (5, 3)] {
            let piece = vec![number; length];
            outbox.tail().extend_from_slice(b"head");
            outbox.push(&Bytes::from(piece.clone()));
            expected.extend_from_slice(b"head");
            expected.extend(piece);
        }
        assert_eq!(outbox.len(), expected.len());
        while !outbox.is_sent() {
            outbox.write_to(&mut written).await.unwrap();
        }
        assert!(written == expected);
        assert!(outbox.tail.capacity() <= KEPT);
    }
}
