//! Frames that wait to be written: control frames first, then messages of streams, then requests in their order.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Bytes that are taken for one write, about.
const BATCH: usize = 256 * 1024;

/// Frames of one write, at most: each is a part of a vectored write.
const PARTS: usize = 64;

/// While so many bytes of control frames wait, no PING is answered.
const MAX_REPLIES: usize = 16 * 1024;

/// A frame: its head with a small body, or with its body apart.
#[derive(Debug)]
struct Frame {
    id: u32,
    head: Vec<u8>,
    body: Bytes,
}

impl Frame {
    fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

/// Frames that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Queue {
    control: BytesMut,
    messages: VecDeque<Frame>,
    message_bytes: usize,
    /// Their numbers rise.
    requests: VecDeque<Frame>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty() && self.messages.is_empty() && self.requests.is_empty()
    }

    /// Adds a control frame.
    pub(super) fn control(&mut self, frame: &[u8]) {
        self.control.extend_from_slice(frame);
    }

    /// Adds the answer to a PING, unless as many wait as a worker can need.
    pub(super) fn reply(&mut self, frame: &[u8]) {
        if self.control.len() < MAX_REPLIES {
            self.control(frame);
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Adds a client's message.
    pub(super) fn message(&mut self, id: u32, head: Vec<u8>, body: Bytes) {
        let frame = Frame { id, head, body };
        self.message_bytes += frame.len();
        self.messages.push_back(frame);
    }

    /// Bytes of messages that wait.
    pub(super) fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// Adds a request, whose number is higher than all before.
    pub(super) fn request(&mut self, id: u32, head: Vec<u8>, body: Bytes) {
        self.requests.push_back(Frame { id, head, body });
    }

    /// Removes a request that was not taken to be written yet. False if it was.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let at = self.requests.partition_point(|frame| frame.id < id);
        let waits = self.requests.get(at).is_some_and(|frame| frame.id == id);
        waits && self.requests.remove(at).is_some()
    }

    /// Removes what is to be written next into `parts`. Calls `taken` for each request, with the bytes in front of it.
    pub(super) fn take(&mut self, parts: &mut VecDeque<Bytes>, mut taken: impl FnMut(u32, usize)) -> usize {
        let mut bytes = self.control.len();
        if !self.control.is_empty() {
            parts.push_back(self.control.split().freeze());
        }
        let mut push = |frame: Frame, bytes: &mut usize| {
            *bytes += frame.len();
            parts.push_back(frame.head.into());
            if !frame.body.is_empty() {
                parts.push_back(frame.body);
            }
            parts.len() < PARTS && *bytes < BATCH
        };
        let mut has_room = true;
        while has_room && let Some(frame) = self.messages.pop_front() {
            self.message_bytes -= frame.len();
            has_room = push(frame, &mut bytes);
        }
        while has_room && let Some(frame) = self.requests.pop_front() {
            taken(frame.id, bytes);
            has_room = push(frame, &mut bytes);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(queue: &mut Queue) -> (Vec<u8>, Vec<(u32, usize)>) {
        let (mut parts, mut ids) = (VecDeque::new(), Vec::new());
        let bytes = queue.take(&mut parts, |id, at| ids.push((id, at)));
        let all: Vec<u8> = parts.iter().flatten().copied().collect();
        assert_eq!(all.len(), bytes);
        (all, ids)
    }

    #[test]
    fn frames_are_written_in_their_order_and_control_frames_first() {
        let mut queue = Queue::default();
        queue.request(1, b"one".to_vec(), Bytes::new());
        queue.request(3, b"three".to_vec(), Bytes::from_static(b"-body"));
        queue.message(9, b"message".to_vec(), Bytes::new());
        queue.control(b"control");
        let (bytes, ids) = taken(&mut queue);
        assert_eq!(bytes, b"controlmessageonethree-body");
        assert_eq!(ids, [(1, 14), (3, 17)]);
        assert!(queue.is_empty());
        assert_eq!(queue.message_bytes(), 0);
    }

    #[test]
    fn a_request_can_be_removed_until_it_is_taken() {
        let mut queue = Queue::default();
        for id in [2, 5, 8] {
            queue.request(id, vec![b'0' + u8::try_from(id).unwrap()], Bytes::new());
        }
        assert!(queue.remove(5));
        assert!(!queue.remove(5) && !queue.remove(1) && !queue.remove(9));
        assert_eq!(taken(&mut queue).0, b"28");
        assert!(!queue.remove(2));
    }

    #[test]
    fn a_large_frame_is_not_taken_together_with_all_that_follow() {
        let mut queue = Queue::default();
        for id in 1..=3 {
            queue.request(id, vec![0; BATCH / 2 + 1], Bytes::new());
        }
        assert_eq!(taken(&mut queue).1.len(), 2);
        assert_eq!(taken(&mut queue).1.len(), 1);
        for id in 10..1000 {
            queue.request(id, vec![0], Bytes::new());
        }
        assert_eq!(taken(&mut queue).1.len(), PARTS);
    }
}
