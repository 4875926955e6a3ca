//! Messages between two servers on the same machine, with descriptors: a pair of sockets that keep the bounds of messages.

use std::io;
use std::mem::zeroed;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The longest message in bytes.
const MAX_BYTES: usize = 64 << 10;

/// The most descriptors of a message.
const MAX_DESCRIPTORS: usize = 16;

/// Room for the header of control data and the descriptors, aligned for the header.
const CONTROL: usize = 16;

/// One end of a pair.
#[derive(Debug)]
pub(crate) struct Channel(AsyncFd<OwnedFd>);

/// Both ends of a new pair. What this process starts inherits neither.
///
/// # Errors
/// If there can be no more descriptors.
pub(crate) fn pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)
}

impl Channel {
    /// Uses an end of a pair, within a tokio runtime.
    ///
    /// # Errors
    /// If it is no socket.
    pub(crate) fn open(end: OwnedFd) -> io::Result<Self> {
        // SAFETY: the descriptor is owned, and so stays open and the same.
        Ok(Self(unsafe { AsyncFd::register(end) }?))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the other end is closed, or the message is too long.
    pub(crate) async fn send(&self, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.0.async_io(Interest::WRITABLE, |end| Ok(send(end.as_raw_fd(), message, descriptors)?)).await
    }

    /// Waits for a message; `None` if the other end is closed. The future may be dropped without losing one.
    ///
    /// # Errors
    /// Any error of recvmsg(2).
    pub(crate) async fn receive(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        loop {
            let received = self.0.async_io(Interest::READABLE, |end| Ok(receive(end.as_raw_fd())?)).await;
            match received {
                Ok((bytes, _)) if bytes.is_empty() => return Ok(None),
                Ok(message) => return Ok(Some(message)),
                // It was closed with messages that it had not read. The kernel reports that once, before what it had sent.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// The bytes of this number of descriptors, of which there are few.
fn bytes_of(descriptors: usize) -> u32 {
    u32::try_from(descriptors * size_of::<RawFd>()).unwrap_or(u32::MAX)
}

fn send(end: RawFd, message: &[u8], descriptors: &[BorrowedFd<'_>]) -> nix::Result<()> {
    if message.is_empty() || message.len() > MAX_BYTES || descriptors.len() > MAX_DESCRIPTORS {
        return Err(Errno::EMSGSIZE);
    }
    let mut control = [0_u64; CONTROL];
    let mut parts = libc::iovec { iov_base: message.as_ptr().cast_mut().cast(), iov_len: message.len() };
    // SAFETY: all fields may be zero. The kernel only reads what the header points to, which outlives the call; the control data have room
    // for the header and the descriptors (16 of 4 bytes and a header of 16, in 128 bytes).
    let sent = unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &raw mut parts;
        header.msg_iovlen = 1;
        if !descriptors.is_empty() {
            header.msg_control = control.as_mut_ptr().cast();
            header.msg_controllen = libc::CMSG_SPACE(bytes_of(descriptors.len())) as _;
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(bytes_of(descriptors.len())) as _;
            #[expect(clippy::cast_ptr_alignment, reason = "written unaligned")]
            let numbers = libc::CMSG_DATA(first).cast::<RawFd>();
            for (index, descriptor) in descriptors.iter().enumerate() {
                numbers.add(index).write_unaligned(descriptor.as_raw_fd());
            }
        }
        libc::sendmsg(end, &raw const header, libc::MSG_NOSIGNAL)
    };
    Errno::result(sent).map(drop)
}

/// Sends a message that is small, or drops it if the other end has not read the earlier ones.
///
/// # Errors
/// If the other end is closed.
pub(crate) fn send_now(end: &OwnedFd, message: &[u8]) -> nix::Result<()> {
    send(end.as_raw_fd(), message, &[])
}

fn receive(end: RawFd) -> nix::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; MAX_BYTES];
    let mut control = [0_u64; CONTROL];
    let mut parts = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut descriptors = Vec::new();
    // SAFETY: all fields may be zero. The kernel writes into buffers of ours, no more than their lengths. It has opened the descriptors for
    // this process, and nothing else owns them.
    let read = unsafe {
        let mut header: libc::msghdr = zeroed();
        header.msg_iov = &raw mut parts;
        header.msg_iovlen = 1;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = libc::CMSG_SPACE(bytes_of(MAX_DESCRIPTORS)) as _;
        let read = Errno::result(libc::recvmsg(end, &raw mut header, libc::MSG_CMSG_CLOEXEC))?;
        let mut next = libc::CMSG_FIRSTHDR(&raw const header);
        while !next.is_null() {
            if (*next).cmsg_level == libc::SOL_SOCKET && (*next).cmsg_type == libc::SCM_RIGHTS {
                let length = (*next).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                #[expect(clippy::cast_ptr_alignment, reason = "read unaligned")]
                let numbers = libc::CMSG_DATA(next).cast::<RawFd>();
                for index in 0..length / size_of::<RawFd>() {
                    descriptors.push(OwnedFd::from_raw_fd(numbers.add(index).read_unaligned()));
                }
            }
            next = libc::CMSG_NXTHDR(&raw const header, next);
        }
        read
    };
    bytes.truncate(usize::try_from(read).unwrap_or_default());
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::fd::AsFd as _;

    use super::*;

    #[tokio::test]
    async fn messages_keep_their_bounds_and_descriptors_arrive_open() {
        let (near, far) = pair().unwrap();
        let (near, far) = (Channel::open(near).unwrap(), Channel::open(far).unwrap());
        let (mut reader, mut writer) = io::pipe().unwrap();
        let all = vec![writer.as_fd(); MAX_DESCRIPTORS];
        near.send(b"first", &[]).await.unwrap();
        near.send(&vec![b'x'; MAX_BYTES], &all).await.unwrap();
        let (message, descriptors) = far.receive().await.unwrap().unwrap();
        assert_eq!((&message[..], descriptors.len()), (&b"first"[..], 0));
        let (message, descriptors) = far.receive().await.unwrap().unwrap();
        assert_eq!((message.len(), descriptors.len()), (MAX_BYTES, MAX_DESCRIPTORS));
        let mut copy = std::fs::File::from(descriptors.into_iter().next_back().unwrap());
        copy.write_all(b"here").unwrap();
        drop(copy);
        writer.write_all(b" too").unwrap();
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "here too", "the others are closed");
    }

    #[tokio::test]
    async fn the_end_of_the_other_side_is_noticed() {
        for unread in [false, true] {
            let (near, far) = pair().unwrap();
            let (near, far) = (Channel::open(near).unwrap(), Channel::open(far).unwrap());
            far.send(b"last words", &[]).await.unwrap();
            if unread {
                near.send(b"unread", &[]).await.unwrap();
            }
            drop(far);
            assert_eq!(near.receive().await.unwrap().unwrap().0, b"last words");
            assert!(near.receive().await.unwrap().is_none());
            assert!(near.send(b"in vain", &[]).await.is_err());
        }
    }

    #[tokio::test]
    async fn what_is_too_long_is_not_sent() {
        let (near, _far) = pair().unwrap();
        let near = Channel::open(near).unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        assert!(near.send(&vec![0; MAX_BYTES + 1], &[]).await.is_err());
        assert!(near.send(b"x", &[reader.as_fd(); MAX_DESCRIPTORS + 1]).await.is_err());
    }
}
