//! Why a call has no result.

use tokio::task::JoinError;

use super::codec;
use crate::api;

/// A failed call. The text is sent to the caller; where RoadRunner has one for the same case it is the same, since clients match on it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// The name is not `service.method`.
    #[error("rpc: service/method request ill-formed: {0}")]
    IllFormed(String),
    #[error("rpc: can't find service {0}")]
    NoService(String),
    #[error("rpc: can't find method {0}")]
    NoMethod(String),
    /// The listener serves other methods.
    #[error("rpc: method {0} is not served at this address (rpc.methods)")]
    NotServed(String),
    #[error("goridge_read_request_body: unknown decoder used in frame")]
    NoCodec,
    #[error("rpc: the argument of {method} is too long: {length} bytes, limit {max_argument}")]
    ArgumentTooLong { method: String, length: usize, max_argument: usize },
    /// The argument cannot be decoded, or the result cannot be encoded.
    #[error(transparent)]
    Codec(#[from] codec::Error),
    /// The argument or the result does not fit the types of the method.
    #[error(transparent)]
    Value(#[from] serde_json::Error),
    /// Centrifugo did not answer, or answered with a gRPC status.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// The method's own error.
    #[error(transparent)]
    Method(Box<dyn std::error::Error + Send + Sync>),
    /// Offloaded work has panicked.
    #[error(transparent)]
    Panicked(#[from] JoinError),
}

impl CallError {
    pub(super) fn method(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Method(Box::new(error))
    }
}
