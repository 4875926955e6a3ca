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
use super::error::CallError;
use super::services::Services;

/// Bytes of an argument, at most, unless a method allows more.
const MAX_ARGUMENT: usize = 1 << 20;

type Running = Pin<Box<dyn Future<Output = Result<Value, CallError>> + Send>>;

/// A call whose argument has been decoded.
pub(super) type Begin = Box<dyn FnOnce(Arc<Services>) -> Running + Send>;

/// A method with its types. It knows nothing of codecs, frames and connections.
///
/// Its future is not polled while the caller does not read its replies, so it must hold nothing that others wait for.
pub(super) struct Method {
    pub(super) argument: Shape,
    pub(super) result: Shape,
    max_argument: usize,
    begin: Box<dyn Fn(Value) -> Result<Begin, CallError> + Send + Sync>,
    ends_with_its_caller: bool,
}

impl Method {
    /// A method whose argument and result have these shapes. Fields left out of an argument are those of `A::default`.
    pub(super) fn new<A, R, E, F>(
        argument: Shape,
        result: Shape,
        run: impl Fn(Arc<Services>, A) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        A: DeserializeOwned + Send + 'static,
        R: Serialize,
        E: std::error::Error + Send + Sync + 'static,
        F: Future<Output = Result<R, E>> + Send + 'static,
    {
        let begin = move |value: Value| -> Result<Begin, CallError> {
            let argument: A = serde_json::from_value(value)?;
            let run = run.clone();
            Ok(Box::new(move |services| {
                let result = run(services, argument);
                Box::pin(async move { Ok(serde_json::to_value(result.await.map_err(CallError::method)?)?) })
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

    /// The same method, cancelled as soon as its caller disconnects. Others are finished: a caller may close its sending side right after
    /// its call, which is still to be done.
    pub(super) fn until_hangup(self) -> Self {
        Self { ends_with_its_caller: true, ..self }
    }

    /// The same method with another limit for its argument, in bytes.
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

    /// Decodes an argument.
    ///
    /// # Errors
    /// When the bytes are no such argument.
    pub(super) fn read(&self, codec: Codec, argument: &Bytes) -> Result<Begin, CallError> {
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
