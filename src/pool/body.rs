//! The body of a request, before its worker is known.

use bytes::Bytes;
use futures_util::future::{BoxFuture, ready};

use super::Error;

/// The body of a request, in the codec of the worker that gets it. It is asked for when the worker is known, and once more for each other
/// worker if that one does not handle the request.
pub trait Body: Send + Sync {
    /// The body as protobuf, which is how it came: this has to be cheap.
    fn proto(&self) -> Bytes;

    /// The body as JSON; the worker waits for it. Boxed, so that other requests do not pay for it.
    ///
    /// # Errors
    /// [`Error::Codec`] if it cannot be expressed as JSON.
    fn json(&self) -> BoxFuture<'_, Result<Bytes, Error>>;
}

/// A body that is in its worker's codec already.
impl Body for Bytes {
    fn proto(&self) -> Bytes {
        self.clone()
    }

    fn json(&self) -> BoxFuture<'_, Result<Bytes, Error>> {
        Box::pin(ready(Ok(self.clone())))
    }
}
