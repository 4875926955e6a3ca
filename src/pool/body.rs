//! The body of a request, before its worker is known.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};

use super::{Answered, Describe, Error};

/// The body of a request, in the codec of the worker that gets it. It is asked for when the worker is known, and once more for each other
/// worker if that one does not handle the request.
pub trait Body: Send + Sync {
    /// The body as protobuf, which is how it came: this has to be cheap.
    fn proto(&self) -> Bytes;

    /// The body as JSON; the worker waits for it. Boxed, so that other requests do not pay for it.
    ///
    /// # Errors
    /// [`Error::UnknownType`], [`Error::InvalidRequest`] or [`Error::TooLarge`] if it cannot be expressed as JSON.
    fn json(&self) -> BoxFuture<'_, Result<Bytes, Error>>;

    /// What is kept of the request, with this context, while a worker has it, for the slow log; asked for only if there is one.
    fn details(&self, _context: &[u8]) -> Option<Arc<dyn Describe>> {
        None
    }

    /// Converts the JSON of an answer to protobuf.
    ///
    /// # Errors
    /// [`Error::InvalidAnswer`].
    fn answer(&self, json: Answered) -> BoxFuture<'_, Result<Answered, Error>>;
}

/// A body that is in its worker's codec already.
impl Body for Bytes {
    fn proto(&self) -> Bytes {
        self.clone()
    }

    fn json(&self) -> BoxFuture<'_, Result<Bytes, Error>> {
        Box::pin(ready(Ok(self.clone())))
    }

    fn answer(&self, json: Answered) -> BoxFuture<'_, Result<Answered, Error>> {
        Box::pin(ready(Ok(json)))
    }
}
