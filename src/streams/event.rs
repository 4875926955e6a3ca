//! Requests of streams to the application, and who runs them.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tonic::Status;

/// One request to the application.
#[derive(Debug)]
pub struct Event {
    /// The number of the pool.
    pub pool: usize,
    /// Its type.
    pub kind: &'static str,
    /// Its context.
    pub context: Vec<u8>,
    /// Its body, in protobuf.
    pub body: Bytes,
}

/// Why a request has no answer.
#[derive(Debug)]
pub struct Failure {
    /// Whether no worker has seen it, so that it may be tried again.
    pub is_refused: bool,
    /// What it means for the stream.
    pub status: Status,
}

/// The answer to a request, in protobuf.
pub type Handled = Pin<Box<dyn Future<Output = Result<Bytes, Failure>> + Send>>;

/// Runs the requests of streams.
pub trait Handler: fmt::Debug + Send + Sync {
    /// Runs one request on a worker. The future may be dropped when it has taken too long.
    fn handle(&self, event: Event) -> Handled;
}
