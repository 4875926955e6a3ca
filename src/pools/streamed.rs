//! Answers that workers stream, as protobuf whatever the worker writes.

use bytes::Bytes;

use super::translation::stream_message;
use crate::pool::{self, AnswerStream, Answered, Codec, Error, StreamInput};

/// The answer to a request that may be streamed.
#[derive(Debug)]
pub enum Opened {
    /// It is one message.
    Answer(Answered),
    /// Its messages follow.
    Stream(Streamed),
}

/// A streamed answer. Dropping it asks the worker to end it.
#[derive(Debug)]
pub struct Streamed {
    stream: AnswerStream,
    /// The type of the request, if its worker writes JSON.
    json: Option<String>,
}

impl Opened {
    pub(super) fn of(kind: &str, opened: pool::Opened) -> Self {
        match opened {
            pool::Opened::Answer(answer) => Self::Answer(answer),
            pool::Opened::Stream(stream) => {
                let json = (stream.codec() == Codec::Json).then(|| kind.to_owned());
                Self::Stream(Streamed { stream, json })
            }
        }
    }
}

impl Streamed {
    /// The worker.
    pub fn pid(&self) -> u32 {
        self.stream.pid()
    }

    /// Takes the way for the client's messages, if the worker reads them; see [`AnswerStream::input`].
    pub fn input(&mut self) -> Option<StreamInput> {
        self.stream.input()
    }

    /// Waits for the next message; `None` when the stream has ended well, and after an error. While this is not called, the worker is held
    /// back. A message may be lost if the future is dropped.
    ///
    /// # Errors
    /// See [`AnswerStream::next`]; or if the message cannot be converted.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        let message = self.stream.next().await?;
        match (message, &self.json) {
            (Ok(json), Some(kind)) => Some(stream_message(kind, self.stream.pid(), json).await),
            (message, _) => Some(message),
        }
    }
}
