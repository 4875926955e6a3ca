//! Calls to Centrifugo's server API, which workers make through `rpc`: one generic call for every method there is, and for those to come.
//!
//! ```text
//!  Client::call(method, bytes) ─▶ connection: the one that is open, or a new one ─▶ call: one HTTP/2 stream ─▶ bytes
//!                                  (one opens, the others wait for it)              (prefix, gzip, status)
//! ```
//!
//! It speaks gRPC over the `h2` crate itself. A unary call of bytes needs so little of gRPC that a general client would cost more, in
//! time and in code between a call and its stream, than these few files.
//!
//! Invariants:
//! - Messages are bytes: neither a request nor an answer is decoded, so unknown fields and methods pass.
//! - Each call ends within `centrifuge.api_timeout`, whatever the network does.
//! - A call is sent again only if Centrifugo has said, or cannot but have seen, that it never began.
//! - A connection that was silent for a while is asked before it is trusted: the first call after Centrifugo is back succeeds.
//! - Nothing wakes up while there are no calls. In particular, there are no pings by the clock, for which Centrifugo would hang up.
//!
//! Deliberately absent: streams (the API has none), retries of what may have been done already, more than one connection, balancing.

mod call;
mod config;
mod connection;
mod error;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

pub(crate) use config::target;
pub use config::{ApiKey, Config, Tls};
pub use error::{Error, SetupError};

use call::{Caller, Failure};
use connection::Connections;

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
}

impl Client {
    /// Prepares calls; nothing is sent yet, and Centrifugo need not be there.
    ///
    /// # Errors
    /// If a certificate or key cannot be used, or the address or the API key cannot be sent.
    pub fn new(config: &Config) -> Result<Self, SetupError> {
        let caller = Caller::new(config)?;
        let connections = Connections::new(config)?;
        Ok(Self { inner: Arc::new(Inner { caller, connections, timeout: config.api_timeout }) })
    }

    /// Calls `method`, say `Publish`, of `centrifugal.centrifugo.api.CentrifugoApi`.
    ///
    /// `message` is the request message, encoded; the result is the response message, encoded. An `error` in it is the application's
    /// business and a success here.
    ///
    /// # Errors
    /// If Centrifugo cannot be reached, does not answer in time, or answers with a gRPC status.
    pub async fn call(&self, method: &str, message: Bytes) -> Result<Bytes, Error> {
        let Inner { connections, timeout: patience, .. } = &*self.inner;
        match timeout(*patience, self.attempt(method, &message)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::late(connections.address(), *patience)),
        }
    }

    async fn attempt(&self, method: &str, message: &Bytes) -> Result<Bytes, Error> {
        let Inner { caller, connections, .. } = &*self.inner;
        let mut is_second = false;
        loop {
            let connection = connections.get().await?;
            match caller.call(&connection, method, message).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::NotBegun(error)) if is_second => return Err(error),
                Err(Failure::NotBegun(_)) => connection.retire(),
            }
            is_second = true;
        }
    }
}
