//! The messages of one streamed answer: how many may come, and which wait to be taken. Pure.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::worker::outcome::Received;

/// Messages that a worker may send ahead: as many when the stream begins, and as many more as were taken since.
const WINDOW: u32 = 64;

/// Taken messages are granted together.
const GRANT: u32 = WINDOW / 2;

/// While so many bytes wait, nothing is granted.
const BYTES: usize = 256 << 10;

/// So many bytes may wait, and one message: more ends the stream.
const MAX_BYTES: usize = 16 << 20;

/// The messages of one stream.
#[derive(Debug)]
pub(super) struct Messages {
    waiting: VecDeque<Bytes>,
    bytes: usize,
    /// How many more the worker may send.
    allowed: u32,
    /// How many were taken since the last grant.
    taken: u32,
    end: Option<Received>,
}

impl Messages {
    pub(super) fn new() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, allowed: WINDOW, taken: 0, end: None }
    }

    /// A message has come. False if the worker may not send it: the stream has ended then.
    pub(super) fn push(&mut self, message: Bytes) -> bool {
        if self.allowed == 0 || self.bytes > MAX_BYTES {
            self.end(Received::Overrun);
            return false;
        }
        self.allowed -= 1;
        self.bytes += message.len();
        self.waiting.push_back(message);
        true
    }

    /// Nothing comes any more.
    pub(super) fn end(&mut self, how: Received) {
        self.end.get_or_insert(how);
    }

    /// The next message, or the end after the last one; `None` if there is nothing yet.
    pub(super) fn take(&mut self) -> Option<Received> {
        let Some(message) = self.waiting.pop_front() else { return self.end.take() };
        self.bytes -= message.len();
        self.taken += 1;
        Some(Received::Message(message))
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many more messages the worker is to be granted, if it is time.
    pub(super) fn grant(&mut self) -> Option<u32> {
        if self.taken < GRANT || self.bytes >= BYTES || self.end.is_some() {
            return None;
        }
        self.allowed += self.taken;
        Some(std::mem::take(&mut self.taken))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(size: usize) -> Bytes {
        Bytes::from(vec![b'x'; size])
    }

    #[test]
    fn a_worker_may_send_a_window_ahead_and_as_many_more_as_were_taken() {
        let mut messages = Messages::new();
        for _ in 0..WINDOW {
            assert!(messages.push(message(1)));
        }
        for _ in 1..GRANT {
            messages.take().unwrap();
            assert_eq!(messages.grant(), None);
        }
        messages.take().unwrap();
        assert_eq!(messages.grant(), Some(GRANT));
        for _ in 0..GRANT {
            assert!(messages.push(message(1)));
        }
        assert!(!messages.push(message(1)), "it was not granted");
        for _ in 0..WINDOW {
            assert!(matches!(messages.take(), Some(Received::Message(_))));
        }
        assert_eq!(messages.take(), Some(Received::Overrun), "what came before is not lost");
        assert_eq!(messages.take(), None);
    }

    #[test]
    fn nothing_is_granted_while_many_bytes_wait_and_a_flood_ends_the_stream() {
        let mut messages = Messages::new();
        for _ in 0..40 {
            assert!(messages.push(message(100 << 10)));
        }
        for _ in 0..37 {
            messages.take().unwrap();
            assert_eq!(messages.grant(), None);
        }
        messages.take().unwrap();
        assert_eq!(messages.grant(), Some(38));
        assert!(messages.push(message(MAX_BYTES)));
        assert!(!messages.push(message(1)));
    }

    #[test]
    fn the_end_comes_after_the_last_message_and_is_final() {
        let mut messages = Messages::new();
        messages.push(message(1));
        messages.end(Received::Error("no".into()));
        messages.end(Received::End);
        assert_eq!(messages.take(), Some(Received::Message(message(1))));
        assert_eq!(messages.take(), Some(Received::Error("no".into())));
    }
}
