//! Frames that wait to be written: control frames first, then messages of streams and requests in turns, each in their order.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};

use crate::goridge;

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
    /// How many more messages the worker is granted, by the number of the stream.
    grants: HashMap<u32, u32>,
    messages: VecDeque<Frame>,
    message_bytes: usize,
    /// Their counts rise.
    requests: VecDeque<Frame>,
    /// If a message and a request wait, the request is next.
    is_requests_turn: bool,
    /// Nothing is written any more.
    closed: bool,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.control.is_empty()
            && self.grants.is_empty()
            && self.messages.is_empty()
            && self.requests.is_empty()
    }

    /// Adds a control frame.
    pub(super) fn control(&mut self, frame: &[u8]) {
        if !self.closed {
            self.control.extend_from_slice(frame);
        }
    }

    /// Grants more messages of a stream. Those that were not written yet are granted in one frame, however slowly the worker reads.
    pub(super) fn grant(&mut self, number: u32, messages: u32) {
        if !self.closed {
            let granted = self.grants.entry(number).or_default();
            *granted = granted.saturating_add(messages);
        }
    }

    /// Adds the answer to a PING, unless as many wait as a worker can need.
    pub(super) fn reply(&mut self, frame: &[u8]) {
        if self.control.len() < MAX_REPLIES {
            self.control(frame);
        }
    }

    /// Drops everything, and takes nothing any more.
    pub(super) fn close(&mut self) {
        *self = Self { closed: true, ..Self::default() };
    }

    /// Whether nothing is written any more.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Adds a client's message.
    pub(super) fn message(&mut self, id: u32, head: Vec<u8>, body: Bytes) {
        if self.closed {
            return;
        }
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
        if !self.closed {
            self.requests.push_back(Frame { id, head, body });
        }
    }

    /// Removes a request that was not taken to be written yet. False if it was.
    pub(super) fn remove(&mut self, id: u32) -> bool {
        let at = self.requests.partition_point(|frame| frame.id < id);
        let waits = self.requests.get(at).is_some_and(|frame| frame.id == id);
        waits && self.requests.remove(at).is_some()
    }

    /// Removes what is to be written next into `parts`. Calls `taken` for each request, with the bytes in front of it.
    pub(super) fn take(&mut self, parts: &mut VecDeque<Bytes>, mut taken: impl FnMut(u32, usize)) -> usize {
        for (number, messages) in self.grants.drain() {
            self.control.extend_from_slice(&goridge::window(number, messages));
        }
        let mut bytes = self.control.len();
        if !self.control.is_empty() {
            parts.push_back(self.control.split().freeze());
        }
        while let Some((frame, is_request)) = self.next() {
            if is_request {
                taken(frame.id, bytes);
            }
            bytes += frame.len();
            parts.push_back(frame.head.into());
            if !frame.body.is_empty() {
                parts.push_back(frame.body);
            }
            if parts.len() >= PARTS || bytes >= BATCH {
                break;
            }
        }
        bytes
    }

    /// The next message or request, and whether it is a request: in turns, so that neither can keep the other from being written.
    fn next(&mut self) -> Option<(Frame, bool)> {
        let is_request = self.messages.is_empty() || self.is_requests_turn && !self.requests.is_empty();
        self.is_requests_turn = !is_request;
        if is_request {
            return Some((self.requests.pop_front()?, true));
        }
        let frame = self.messages.pop_front()?;
        self.message_bytes -= frame.len();
        Some((frame, false))
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
    fn messages_and_requests_take_turns_from_one_write_to_the_next() {
        let mut queue = Queue::default();
        for id in 1..=3 {
            queue.message(9, vec![b'm'; BATCH], Bytes::new());
            queue.request(id, vec![b'r'; BATCH], Bytes::new());
        }
        queue.message(9, vec![b'm'; BATCH], Bytes::new());
        let turns = [(); 7].map(|()| taken(&mut queue).0[0]);
        assert_eq!(&turns, b"mrmrmrm");
        assert!(queue.is_empty());
        for id in 4..=9 {
            queue.message(9, b"m".to_vec(), Bytes::new());
            queue.request(id, b"r".to_vec(), Bytes::new());
        }
        assert_eq!(taken(&mut queue).0, b"rmrmrmrmrmrm");
    }

    #[test]
    fn grants_that_wait_are_written_together() {
        let mut queue = Queue::default();
        for _ in 0..1_000 {
            queue.grant(7, 32);
        }
        assert_eq!(taken(&mut queue).0, goridge::window(7, 32_000));
        assert!(queue.is_empty());
    }

    #[test]
    fn nothing_is_added_to_a_closed_queue() {
        let mut queue = Queue::default();
        queue.request(1, b"x".to_vec(), Bytes::new());
        queue.close();
        queue.control(b"x");
        queue.reply(b"x");
        queue.grant(1, 1);
        queue.message(1, b"x".to_vec(), Bytes::new());
        queue.request(2, b"x".to_vec(), Bytes::new());
        assert!(queue.is_closed() && queue.is_empty());
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
