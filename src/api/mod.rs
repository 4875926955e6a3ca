//! Calls to Centrifugo's server API, which workers make through `rpc`: one generic call for every method, those of later versions included.
//!
//! ```text
//!  Client::call(method, bytes) ─▶ connection: the open one, or a new one ─▶ call: one HTTP/2 stream ─▶ bytes
//!                                  (one caller opens it, others wait)       (prefix, gzip, status)
//!          trace: the span of a call, if it is recorded
//! ```
//!
//! It speaks gRPC over the `h2` crate directly. A unary call of bytes needs so little of gRPC that a general client would cost more, in
//! time and in code, than these few files.
//!
//! Invariants:
//! - Messages are bytes: neither requests nor answers are decoded, so unknown fields and methods pass.
//! - Each call ends within `centrifuge.api_timeout`, whatever the network does.
//! - A call is repeated only if it is certain that Centrifugo never started it.
//! - A connection that was silent for a while is pinged before it is used: the first call after Centrifugo is back succeeds.
//! - Nothing wakes up while there are no calls. In particular, there are no periodic pings, for which Centrifugo would disconnect.
//!
//! Deliberately absent: streams (the API has none), retries of calls that may have been executed, more than one connection, balancing.

mod call;
mod config;
mod connection;
mod error;
mod statistics;
mod tls;
mod trace;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use tonic::Code;

use crate::telemetry::metrics::Collect;
use crate::telemetry::trace::{Trace, Tracer};

pub(crate) use config::target;
pub use config::{ApiKey, Config, Tls};
pub use error::{Error, SetupError};

pub(crate) use statistics::METHODS;

use call::{Caller, Failure};
use connection::Connections;
use statistics::Statistics;
use trace::Recording;

/// Centrifugo's API. Clones share one connection, which is opened by the first call.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    caller: Caller,
    connections: Connections,
    timeout: Duration,
    statistics: Arc<Statistics>,
    tracer: Tracer,
}

impl Client {
    /// Prepares calls. Nothing is sent yet, and Centrifugo need not be running.
    ///
    /// # Errors
    /// If a certificate or key cannot be used, or the address or the API key cannot be sent.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        Self::traced(config, Tracer::default())
    }

    /// The same with spans of the calls.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub fn traced(config: &Config, tracer: Tracer) -> Result<Self, SetupError> {
        let caller = Caller::new(config)?;
        let connections = Connections::new(config)?;
        let (timeout, statistics) = (config.api_timeout, Arc::default());
        Ok(Self { inner: Arc::new(Inner { caller, connections, timeout, statistics, tracer }) })
    }

    /// The durations of its calls.
    pub(crate) fn figures(&self) -> Arc<dyn Collect> {
        Arc::clone(&self.inner.statistics) as _
    }

    /// How many calls have ended so far, and how many of them have failed.
    pub(crate) fn counted(&self) -> (u64, u64) {
        self.inner.statistics.counted()
    }

    /// Calls `method`, say `Publish`, of `centrifugal.centrifugo.api.CentrifugoApi`.
    ///
    /// `message` is the encoded request message, and the result the encoded response message. A response with an `error` in it is a success
    /// here.
    ///
    /// # Errors
    /// If Centrifugo cannot be reached, does not answer in time, or answers with a gRPC status.
    pub async fn call(&self, method: &str, message: Bytes) -> Result<Bytes, Error> {
        let Inner { connections, timeout: patience, statistics, tracer, .. } = &*self.inner;
        let timed = statistics.begin(method);
        // Callers of RPC send no context, so each call is a trace of its own.
        let trace = tracer.outgoing(None);
        let pending = trace.and_then(|trace| tracer.pending(trace, None));
        let recording = pending.map(|pending| Recording::begin(pending, method, connections.address()));
        let answer = match timeout(*patience, self.attempt(method, &message, trace.as_ref())).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::late(connections.address(), *patience)),
        };
        timed.end(answer.as_ref().map_or_else(Error::code, |_| Code::Ok));
        if let Some(recording) = recording {
            recording.end(&answer);
        }
        answer
    }

    async fn attempt(&self, method: &str, message: &Bytes, trace: Option<&Trace>) -> Result<Bytes, Error> {
        let Inner { caller, connections, .. } = &*self.inner;
        let mut is_second = false;
        loop {
            let connection = connections.get().await?;
            match caller.call(&connection, method, message, trace).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::NotBegun(error)) if is_second => return Err(error),
                Err(Failure::NotBegun(_)) => connection.retire(),
            }
            is_second = true;
        }
    }
}
