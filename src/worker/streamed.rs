//! How far the streamed answer of a worker is that has one request at a time. Pure.

use bytes::Bytes;

use super::outcome::{Outcome, Received};

/// Whether the answer to the request in hand is streamed.
#[derive(Debug, Default)]
pub(super) enum Streamed {
    /// It has to be one message.
    #[default]
    Never,
    /// It may be.
    May,
    /// It is; this message was not taken yet.
    Open(Option<Bytes>),
    /// It is, and nobody wants its messages: the worker was asked to end it.
    Dropped,
    /// It was, and its end has been taken.
    Over,
}

/// What a message of a streamed answer is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It waits to be taken.
    Kept,
    /// The answer has to be one message: the worker is to be asked to end it.
    Refused,
    /// It is dropped.
    None,
}

impl Streamed {
    /// That of a new request.
    pub(super) fn begin(may_stream: bool) -> Self {
        if may_stream { Self::May } else { Self::Never }
    }

    /// A message has come.
    pub(super) fn receive(&mut self, message: Bytes) -> Use {
        match self {
            Self::May | Self::Open(_) => {
                *self = Self::Open(Some(message));
                Use::Kept
            }
            Self::Never => {
                *self = Self::Dropped;
                Use::Refused
            }
            Self::Dropped | Self::Over => Use::None,
        }
    }

    /// The message that waits.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        match self {
            Self::Open(message) => message.take(),
            _ => None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Drops what still comes. Returns whether the worker is to be asked to end it.
    pub(super) fn give_up(&mut self) -> bool {
        let is_open = self.is_open();
        if is_open {
            *self = Self::Dropped;
        }
        is_open
    }

    /// What ends the answer has come; returns what that is for the reader of the stream.
    pub(super) fn end(&mut self, outcome: Outcome) -> Received {
        *self = Self::Over;
        match outcome {
            // An empty one is the end alone.
            Outcome::Answer(last) if !last.is_empty() => Received::Message(last),
            Outcome::Error(text) => Received::Error(text),
            Outcome::Nothing => Received::Unfinished,
            _ => Received::End,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: Bytes = Bytes::from_static(b"x");

    #[test]
    fn an_answer_that_may_be_streamed_is_read_message_by_message() {
        let mut stream = Streamed::begin(true);
        assert!(!stream.is_open() && stream.take().is_none());
        assert_eq!(stream.receive(MESSAGE), Use::Kept);
        assert_eq!((stream.take(), stream.take()), (Some(MESSAGE), None));
        assert!(matches!(stream.end(Outcome::Answer(MESSAGE)), Received::Message(_)));
        assert!(!stream.is_open() && !stream.give_up());
        assert_eq!(stream.receive(MESSAGE), Use::None);
    }

    #[test]
    fn the_worker_is_asked_once_to_end_a_stream_that_is_not_wanted() {
        let mut stream = Streamed::begin(false);
        assert_eq!([(); 2].map(|()| stream.receive(MESSAGE)), [Use::Refused, Use::None]);
        assert!(!stream.give_up());
        let mut stream = Streamed::begin(true);
        assert!(!stream.give_up(), "it is not streamed yet");
        assert_eq!(stream.receive(MESSAGE), Use::Kept);
        assert!(stream.give_up() && !stream.give_up());
        assert_eq!(stream.receive(MESSAGE), Use::None);
        assert!(matches!(stream.end(Outcome::Answer(Bytes::new())), Received::End));
    }
}
