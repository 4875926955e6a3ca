//! The messages of a stream that wait until its client reads. Pure: what may wait, and what becomes of the others.

use std::collections::VecDeque;

use bytes::Bytes;

use super::config::Overflow;

/// Bytes that wait in one stream, at most, unless it is a single message.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// Messages that wait, each as HTTP/2 sends it.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Bytes>,
    bytes: usize,
    /// A part of the first message has been sent, so it cannot be dropped.
    is_begun: bool,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits.
    Kept,
    /// So many messages, this one included if it is too large, were dropped with so many bytes that had been counted.
    Dropped { messages: usize, bytes: usize },
    /// There is no room, and the stream has to be closed.
    Full,
}

/// What may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) messages: usize,
    pub(super) overflow: Overflow,
}

impl Outbox {
    pub(super) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The number of messages.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Their bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a message if there is room for it. `take` takes memory for so many bytes of a stream that holds so many others.
    pub(super) fn push(
        &mut self,
        message: Bytes,
        limits: Limits,
        take: impl Fn(usize, usize) -> bool,
    ) -> Pushed {
        if self.fits(&message, limits) && take(self.bytes, message.len()) {
            self.add(message);
            return Pushed::Kept;
        }
        match limits.overflow {
            Overflow::Close => Pushed::Full,
            Overflow::DropOldest => self.push_newest(message, limits, take),
        }
    }

    /// Adds a message in place of the oldest ones.
    fn push_newest(&mut self, message: Bytes, limits: Limits, take: impl Fn(usize, usize) -> bool) -> Pushed {
        let (mut messages, mut bytes) = (0, 0);
        while let Some(oldest) = self.messages.remove(usize::from(self.is_begun)) {
            messages += 1;
            self.bytes -= oldest.len();
            bytes += oldest.len();
            // Its memory is reused, so that others cannot get in between.
            if self.fits(&message, limits)
                && (message.len() <= bytes || take(self.bytes + bytes, message.len() - bytes))
            {
                bytes = bytes.saturating_sub(message.len());
                self.add(message);
                return Pushed::Dropped { messages, bytes };
            }
        }
        Pushed::Dropped { messages: messages + 1, bytes }
    }

    /// Adds a message in front of all others, whatever waits.
    pub(super) fn push_first(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_front(message);
    }

    /// Adds a message behind all others, whatever waits.
    pub(super) fn push_last(&mut self, message: Bytes) {
        self.add(message);
    }

    /// Whether a part of the first message has been taken.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The length of the first message, as far as it has not been taken.
    pub(super) fn first(&self) -> Option<usize> {
        self.messages.front().map(Bytes::len)
    }

    /// Takes up to `most` bytes of the first message, and returns whether that was the rest of it.
    pub(super) fn take(&mut self, most: usize) -> Option<(Bytes, bool)> {
        let first = self.messages.front_mut()?;
        let piece = first.split_to(most.min(first.len()));
        self.bytes -= piece.len();
        self.is_begun = !first.is_empty();
        if !self.is_begun {
            self.messages.pop_front();
            if self.messages.is_empty() {
                // Many streams are idle, each with the memory of its largest backlog otherwise.
                self.messages = VecDeque::new();
            }
        }
        Some((piece, !self.is_begun))
    }

    /// Drops all messages, and returns how many there were and their bytes.
    pub(super) fn clear(&mut self) -> (usize, usize) {
        let dropped = (self.messages.len(), self.bytes);
        *self = Self::default();
        dropped
    }

    fn add(&mut self, message: Bytes) {
        self.bytes += message.len();
        self.messages.push_back(message);
    }

    fn fits(&self, message: &Bytes, limits: Limits) -> bool {
        self.messages.len() < limits.messages
            && (self.messages.is_empty() || self.bytes + message.len() <= MAX_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLOSE: Limits = Limits { messages: 3, overflow: Overflow::Close };
    const DROP: Limits = Limits { messages: 3, overflow: Overflow::DropOldest };

    fn text(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn outbox(limits: Limits, messages: &[&'static str]) -> Outbox {
        let mut outbox = Outbox::default();
        for message in messages {
            assert_eq!(outbox.push(text(message), limits, |_, _| true), Pushed::Kept);
        }
        outbox
    }

    fn contents(mut outbox: Outbox) -> Vec<Bytes> {
        std::iter::from_fn(|| outbox.take(usize::MAX)).map(|(message, _)| message).collect()
    }

    #[test]
    fn a_full_outbox_is_closed_or_drops_its_oldest_message() {
        let mut full = outbox(CLOSE, &["a", "b", "c"]);
        assert_eq!(full.push(text("d"), CLOSE, |_, _| true), Pushed::Full);
        assert_eq!(contents(full), ["a", "b", "c"]);
        let mut full = outbox(DROP, &["aa", "b", "c"]);
        assert_eq!(full.push(text("d"), DROP, |_, _| true), Pushed::Dropped { messages: 1, bytes: 1 });
        assert_eq!(contents(full), ["b", "c", "d"]);
    }

    #[test]
    fn a_message_of_which_a_part_was_sent_is_not_dropped() {
        let mut full = outbox(DROP, &["abc", "d", "e"]);
        assert_eq!(full.take(1), Some((text("a"), false)));
        assert_eq!(full.push(text("f"), DROP, |_, _| true), Pushed::Dropped { messages: 1, bytes: 0 });
        assert_eq!((full.len(), full.bytes(), full.first()), (3, 4, Some(2)));
        assert_eq!(contents(full), ["bc", "e", "f"]);
    }

    #[test]
    fn bytes_are_bounded_except_those_of_a_single_message() {
        let large = Bytes::from(vec![0; MAX_BYTES + 1]);
        let mut outbox = Outbox::default();
        assert_eq!(outbox.push(large.clone(), CLOSE, |_, _| true), Pushed::Kept);
        assert_eq!(outbox.push(text("x"), CLOSE, |_, _| true), Pushed::Full);
        assert_eq!(
            outbox.push(text("x"), DROP, |_, _| true),
            Pushed::Dropped { messages: 1, bytes: MAX_BYTES }
        );
        // There is no room for it behind a message that was begun.
        assert_eq!(outbox.push(text("yz"), DROP, |_, _| true), Pushed::Kept);
        outbox.take(1);
        assert_eq!(outbox.take(1), Some((text("y"), false)));
        assert_eq!(outbox.push(large, DROP, |_, _| true), Pushed::Dropped { messages: 1, bytes: 0 });
        assert_eq!(contents(outbox), ["z"]);
    }

    #[test]
    fn a_message_without_memory_is_refused_or_dropped() {
        let mut one = outbox(CLOSE, &["a"]);
        assert_eq!(one.push(text("b"), CLOSE, |held, bytes| held + bytes < 2), Pushed::Full);
        let mut empty = Outbox::default();
        assert_eq!(empty.push(text("b"), DROP, |_, _| false), Pushed::Dropped { messages: 1, bytes: 0 });
        // The memory of the dropped one suffices.
        assert_eq!(one.push(text("b"), DROP, |_, _| false), Pushed::Dropped { messages: 1, bytes: 0 });
        assert_eq!(contents(one), ["b"]);
    }

    proptest! {
        #[test]
        fn no_byte_is_counted_twice_or_forgotten(
            steps in prop::collection::vec((0..3_u8, 0..40_usize), 0..200),
            drops in any::<bool>(),
        ) {
            let limits = if drops { DROP } else { CLOSE };
            let (mut outbox, held) = (Outbox::default(), std::cell::Cell::new(0_usize));
            for (step, size) in steps {
                match step {
                    0 => {
                        let message = Bytes::from(vec![0; size]);
                        let take = |_: usize, bytes: usize| {
                            let fits = held.get() + bytes <= 60;
                            held.set(held.get() + if fits { bytes } else { 0 });
                            fits
                        };
                        if let Pushed::Dropped { bytes, .. } = outbox.push(message, limits, take) {
                            held.set(held.get() - bytes);
                        }
                    }
                    1 => {
                        let taken = outbox.take(size + 1).map_or(0, |(piece, _)| piece.len());
                        held.set(held.get() - taken);
                    }
                    _ => {}
                }
                prop_assert_eq!(outbox.bytes(), held.get());
                prop_assert_eq!(outbox.bytes(), outbox.messages.iter().map(Bytes::len).sum::<usize>());
                prop_assert!(outbox.len() <= limits.messages);
            }
            prop_assert_eq!(outbox.clear().1, held.get());
        }
    }
}
