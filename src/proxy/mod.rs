//! The proxy: the gRPC service that Centrifugo calls.
//!
//! ```text
//!  HTTP/2 ──▶ server ──▶ connection ──▶ service (one call) ──▶ context (metadata as JSON) ──▶ Backend (the pool)
//!                                          ◀── status (why there is no answer) ◀── error ───────┘
//! ```
//!
//! Every unary method of `centrifugal.centrifugo.proxy.CentrifugoProxy` is served by one function: the type that a worker reads is the
//! method's name in lower case, and the messages pass through as bytes. So a method of a later Centrifugo works without a change, and
//! fields that nobody here knows survive.
//!
//! Invariants:
//! - A caller's deadline is kept to here, at the edge: at its end the call is answered and the backend's future dropped.
//! - Each call gets an answer, even while the server stops; only a caller that goes away gets none.
//! - Nothing that a client can put into metadata changes the type, or ends anything but its own call.
//!
//! Deliberately absent: typed messages, and the two subscription streams, whose methods are answered as not served yet.

mod account;
mod authority;
mod call;
mod calls;
mod config;
mod connection;
mod context;
mod deadline;
mod gzip;
mod health;
mod incoming;
mod intake;
mod raw;
mod send;
mod server;
mod service;
mod slice;
mod statistics;
mod status;
mod unary;

use bytes::Bytes;
use tokio::time::Instant;

use crate::pool::{self, Answered};
use crate::pools::{Call, Pools};

pub use config::Config;
pub(crate) use raw::RawCodec;
pub use server::{Server, Stopped};
pub use statistics::{BOUNDS, Durations, Statistics};

/// The full name of the service.
pub const SERVICE: &str = "centrifugal.centrifugo.proxy.CentrifugoProxy";

/// One call.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// The type of the call, such as `connect`.
    pub kind: &'a str,
    /// The metadata and the type, as JSON.
    pub context: Vec<u8>,
    /// The message.
    pub body: Bytes,
    /// When the caller stops waiting.
    pub deadline: Option<Instant>,
}

/// Whoever answers calls.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Answers one call with the bytes of a message. The future is dropped when the caller is gone or its deadline has passed.
    fn call(&self, request: Request<'_>) -> impl Future<Output = Result<Answered, pool::Error>> + Send;
}

impl Backend for Pools {
    async fn call(&self, request: Request<'_>) -> Result<Answered, pool::Error> {
        let call = Call { kind: request.kind, ..Call::default() };
        self.exec(call, &request.context, request.body, request.deadline).await
    }
}
