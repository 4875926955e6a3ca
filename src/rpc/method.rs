//! One method that can be called over `rpc.listen`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::codec::{Codec, MAX_ITEMS, Shape};
use super::services::Services;

/// Bytes of an argument, at most, unless a method takes more.
const MAX_ARGUMENT: usize = 1 << 20;

/// What a call comes to, or the text for the caller.
pub(super) type Reply<T> = Result<T, String>;

type Running = Pin<Box<dyn Future<Output = Reply<Value>> + Send>>;

/// A call whose argument has been read.
pub(super) type Begin = Box<dyn FnOnce(Arc<Services>) -> Running + Send>;

/// A method with its types. It knows nothing of codecs, frames and connections; its future is dropped when the caller is gone.
///
/// The future is not driven while the caller does not read its replies, so it holds nothing that others wait for.
pub(super) struct Method {
    pub(super) argument: Shape,
    pub(super) result: Shape,
    max_argument: usize,
    begin: Box<dyn Fn(Value) -> Reply<Begin> + Send + Sync>,
    ends_with_its_caller: bool,
}

impl Method {
    /// A method whose argument and result have these shapes; what is left out of an argument is the default of `A`.
    pub(super) fn new<A, R, F>(
        argument: Shape,
        result: Shape,
        run: impl Fn(Arc<Services>, A) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize,
        F: Future<Output = Reply<R>> + Send + 'static,
    {
        let begin = move |value: Value| -> Reply<Begin> {
            let argument: A = serde_json::from_value(value).map_err(|error| error.to_string())?;
            let run = run.clone();
            Ok(Box::new(move |services| {
                let reply = run(services, argument);
                Box::pin(async move { serde_json::to_value(reply.await?).map_err(|error| error.to_string()) })
            }))
        };
        Self {
            argument,
            result,
            max_argument: MAX_ARGUMENT,
            begin: Box::new(begin),
            ends_with_its_caller: false,
        }
    }

    /// The same method, which ends as soon as its caller hangs up. Others are finished: a caller may close its sending side as soon as
    /// it has asked, and what was begun is to be done.
    pub(super) fn until_hangup(self) -> Self {
        Self { ends_with_its_caller: true, ..self }
    }

    /// The same method, whose argument may have so many bytes.
    pub(super) fn up_to(self, max_argument: usize) -> Self {
        Self { max_argument, ..self }
    }

    pub(super) fn ends_with_its_caller(&self) -> bool {
        self.ends_with_its_caller
    }

    /// Bytes of an argument, at most.
    pub(super) fn max_argument(&self) -> usize {
        self.max_argument
    }

    /// Reads an argument; what is long is read where it keeps nobody waiting.
    ///
    /// # Errors
    /// The text for the caller.
    pub(super) fn read(&self, codec: Codec, argument: &Bytes) -> Reply<Begin> {
        (self.begin)(codec.decode(&self.argument, argument, MAX_ITEMS)?)
    }
}

impl fmt::Debug for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Method")
            .field("argument", &self.argument)
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}
