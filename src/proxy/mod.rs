//! The proxy: the gRPC service that Centrifugo calls.
//!
//! ```text
//!  server ──▶ connection ──▶ call ──▶ context ──▶ service ──▶ Backend (the pools)
//!               │              │ receive, message               │
//!               │ throttle     ◀── send ◀── gzip ◀── status ◀───┘
//!               │ authority, concurrency
//!               │ slice, resets  account, memory: what calls hold     in_flight: what shutdown waits for
//!               │ lifetime: how a connection is drained
//! ```
//!
//! The path of one call, file by file:
//! 1. `server` accepts a connection, and `connection` speaks HTTP/2 on it, in one task. It reads through `throttle`, which ends each poll
//!    after one time slice (`slice`), counts cancelled calls (`resets`) and, on unix sockets, replaces authorities that `h2` would reject (`authority`).
//! 2. `call` accepts the call: `route` finds its type, `credentials` are checked, if there are any, `account` reserves memory for it (`memory`), `receive` and `message` put its message
//!    together, `context` turns its metadata into JSON.
//! 3. `service` passes it to the [`Backend`] and waits until its deadline, counted by `in_flight`. `gzip` decompresses the message and
//!    compresses the answer where the caller asks for it; `status` maps errors to gRPC statuses, and `retry` says which calls may be repeated. `sub_refresh` knows the one event that some
//!    workers wait for under another name.
//! 4. `answer` runs steps 3 and 4 in the task of the call; `send` writes the answer as the caller's flow control allows, `statistics`
//!    counts how long it took, `recording` makes the spans of a call that is traced, and `access` logs it.
//!
//! Every unary method of `centrifugal.centrifugo.proxy.CentrifugoProxy` is served by this one path: the type that a worker reads is the
//! method's name in lower case, and messages pass through as bytes. So a method of a later Centrifugo works without a change, and unknown
//! fields survive. The listener also serves `health`.
//!
//! Invariants:
//! - A caller's deadline is kept here, at the edge: when it passes, the call is answered and the backend's future dropped.
//! - Every call that is accepted gets an answer, during shutdown too; only a caller that goes away gets none. One that is not accepted has not
//!   been seen by a worker, and its client learns that.
//! - Nothing that a client puts into metadata changes the type, or ends any call but its own.
//! - Memory, and the time that a connection takes before others have a turn, are bounded whatever callers send.
//!
//! The two methods that stream are opened by `subscription`, and go over to [`crate::streams`]; `stream_events` runs what streams have to tell
//! the application.
//!
//! Deliberately absent: typed messages.

mod accepted;
mod access;
mod account;
mod answer;
mod authority;
mod call;
mod concurrency;
mod config;
mod connection;
#[cfg(test)]
mod connection_tests;
mod context;
mod credentials;
mod gzip;
mod health;
mod held;
mod in_flight;
mod lifetime;
mod memory;
mod message;
mod receive;
mod recording;
mod resets;
mod retry;
mod route;
mod send;
mod server;
mod service;
mod slice;
mod statistics;
mod status;
mod stream_events;
mod sub_refresh;
mod subscription;
mod throttle;

use std::sync::atomic::AtomicBool;

use crate::pools::{self, Answered, Opened, Pools, Request, Timings};

pub use config::Config;
pub use credentials::{CredentialCheck, Credentials};
pub use server::{Server, Stopped};
pub use statistics::Statistics;
pub use stream_events::StreamEvents;

/// The full name of the service.
pub const SERVICE: &str = "centrifugal.centrifugo.proxy.CentrifugoProxy";

/// In a call's metadata, asks for the name of the pool that answers it; that is the value in the answer's. Only a server with several pools
/// answers it.
pub const POOL_HEADER: &str = "causeway-pool";

/// Answers calls.
pub trait Backend: Clone + Send + Sync + 'static {
    /// Returns the number of the pool that answers a call of this type with this message.
    fn route(&self, kind: &str, message: &[u8]) -> usize;

    /// Answers one call with the bytes of a message. The future is dropped when the caller is gone or its deadline has passed; `timings` says
    /// how far it came.
    fn call(
        &self,
        request: &Request<'_>,
        timings: &mut Timings,
    ) -> impl Future<Output = Result<Answered, pools::Error>> + Send;

    /// The same for a call that opens a stream. `is_seen` is set as soon as a worker gets it.
    fn open(
        &self,
        request: &Request<'_>,
        is_seen: &AtomicBool,
        timings: &mut Timings,
    ) -> impl Future<Output = Result<Opened, pools::Error>> + Send;
}

impl Backend for Pools {
    #[inline]
    fn route(&self, kind: &str, message: &[u8]) -> usize {
        Self::route(self, kind, message)
    }

    fn call(
        &self,
        request: &Request<'_>,
        timings: &mut Timings,
    ) -> impl Future<Output = Result<Answered, pools::Error>> + Send {
        self.exec(request, timings)
    }

    fn open(
        &self,
        request: &Request<'_>,
        is_seen: &AtomicBool,
        timings: &mut Timings,
    ) -> impl Future<Output = Result<Opened, pools::Error>> + Send {
        Self::open(self, request, is_seen, timings)
    }
}
