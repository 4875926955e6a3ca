//! The handshake of TLS, in the task of an accepted connection.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::ready;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, SemaphorePermit};
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
        let handshake = timeout_at(handshake_until, in_turns(tls.acceptor.accept(stream)));
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

/// The turns of all handshakes: half of the threads at a time.
static TURNS: LazyLock<Semaphore> = LazyLock::new(|| {
    let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
    Semaphore::new((threads / 2).max(1))
});

/// A turn that a handshake waits for.
type Turn = Pin<Box<dyn Future<Output = Option<SemaphorePermit<'static>>> + Send>>;

/// Drives a handshake one step per turn.
///
/// A step signs with the private key: a millisecond with RSA, at the cost of one message for the peer. So a flood of them would keep all
/// threads busy. Before each, all ready tasks run. A peer that is slow has no turn while it is awaited.
async fn in_turns<T>(handshake: impl Future<Output = T>) -> T {
    let mut handshake = pin!(handshake);
    let mut next: Option<Turn> = None;
    poll_fn(|cx| {
        let turn = next.get_or_insert_with(|| {
            Box::pin(async {
                // The semaphore is never closed.
                let turn = TURNS.acquire().await.ok();
                tokio::task::yield_now().await;
                turn
            })
        });
        let _turn = ready!(turn.as_mut().poll(cx));
        next = None;
        handshake.as_mut().poll(cx)
    })
    .await
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
