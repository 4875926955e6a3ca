//! The handshake of TLS, in the task of an accepted connection.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout_at;
use tracing::{debug, warn};

use super::{Accepted, Incident, Peer, Stream};
#[cfg(test)]
use super::{LimitSettings, Registration};
use crate::tls::Acceptor;

/// Handshakes no longer fail if none has failed for this time.
const CALM: Duration = Duration::from_secs(10);

/// The TLS of a listener.
#[derive(Debug)]
pub(super) struct Tls {
    acceptor: Arc<Acceptor>,
    failing: Mutex<Incident>,
}

/// Why a connection is not secured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsecured {
    /// The peers do not agree, or the connection broke.
    #[error(transparent)]
    Failed(#[from] io::Error),
    /// The peer was too slow.
    #[error("no TLS handshake in time")]
    Late,
    /// The connection was evicted.
    #[error("closed for another connection")]
    Evicted,
}

impl Accepted {
    /// A connection without a listener.
    #[cfg(test)]
    pub(crate) fn alone(stream: Stream) -> Self {
        let handshake_until = tokio::time::Instant::now() + LimitSettings::default().handshake_timeout;
        let (peer, registration) = (Peer::Process(None), Registration::alone());
        Self { stream, peer, registration, tls: None, handshake_until }
    }

    /// Completes the handshake, if the listener has TLS. Without it, this costs nothing.
    ///
    /// # Errors
    /// If the peer does not complete it in time, or the connection is evicted before.
    pub(crate) async fn secured(self) -> Result<Self, Unsecured> {
        match self.tls {
            None => Ok(self),
            // Boxed, so that it does not make the tasks of other connections larger.
            Some(_) => Box::pin(self.handshake()).await,
        }
    }

    async fn handshake(self) -> Result<Self, Unsecured> {
        let Self { stream, peer, registration, tls, handshake_until } = self;
        let (Stream::Tcp(stream), Some(tls)) = (stream, tls) else { return Err(Unsecured::Evicted) };
        let handshake = timeout_at(handshake_until, tls.acceptor.accept(stream));
        let result = match registration.until_evicted(handshake).await {
            None => Err(Unsecured::Evicted),
            Some(Err(_)) => Err(Unsecured::Late),
            Some(Ok(Err(error))) => Err(Unsecured::Failed(error)),
            Some(Ok(Ok(stream))) => Ok(Stream::Tls(Box::new(stream.into()))),
        };
        let stream = result.inspect_err(|error| tls.failed(peer, error))?;
        Ok(Self { stream, peer, registration, tls: None, handshake_until })
    }
}

impl Tls {
    pub(super) fn new(acceptor: &Arc<Acceptor>) -> Arc<Self> {
        Arc::new(Self { acceptor: Arc::clone(acceptor), failing: Mutex::new(Incident::new(CALM)) })
    }

    fn failed(&self, peer: Peer, error: &Unsecured) {
        let section = self.acceptor.section();
        // A peer that has left, such as the TCP check of a load balancer.
        let has_left = |error: &io::Error| {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        };
        match error {
            Unsecured::Evicted => return,
            Unsecured::Failed(error) if has_left(error) => {
                debug!(target: "net", section, %peer, "connection closed before the TLS handshake");
                return;
            }
            _ => {}
        }
        let times = self.failing.lock().unwrap_or_else(PoisonError::into_inner).happened();
        if let Some(times) = times {
            warn!(target: "net", section, %peer, %error, failed = times, "TLS handshake failed");
        }
    }
}
