//! The listener: accepts connections, and drains them at shutdown.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::connection::{self, Flooder, Lifetime};
use super::health::Health;
use super::lifetime::ON_THEIR_WAY;
use super::memory::Memory;
use super::service::Service;
use super::statistics::Statistics;
use super::{Backend, Config, CredentialCheck};
use crate::net::{Address, Connections, Incident, Limit, LimitSettings, Listener, Options, Sockets};
use crate::pool_names::PoolNames;
use crate::streams::Streams;
use crate::telemetry::metrics::Collect;
use crate::telemetry::trace::Tracer;
use crate::tls::Acceptor;

/// Concurrent connections. Centrifugo has one for all its calls.
const CONNECTIONS: Limit = Limit { at_most: usize::MAX, one_of: 8, per_address: true };

/// Peers that were disconnected for cancelling too many calls are logged now and then until there was none for this time.
const CALM: Duration = Duration::from_secs(10);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
    credentials: Arc<CredentialCheck>,
    max_message_size: usize,
    lifetime: Lifetime,
    statistics: Arc<Statistics>,
    memory: Arc<Memory>,
    tracer: Tracer,
}

/// How a server shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every call was answered.
    Clean,
    /// Some connections stayed open after the last call, and were cut.
    Cut,
}

impl Server {
    /// Listens on the socket named `proxy`, if one was inherited, or binds the address. Calls are counted under the names of the `pools` that
    /// answer them.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn bind(
        config: &Config,
        limits: LimitSettings,
        pools: PoolNames,
        sockets: &Sockets,
    ) -> io::Result<Self> {
        let tls = config.tls.as_ref().map(|files| Acceptor::new("centrifuge.proxy_tls", files, &[b"h2"]));
        let tls = tls.transpose()?;
        let listener = Listener::bind(Options {
            key: "centrifuge.proxy_address",
            sockets: Some((sockets, "proxy")),
            address: &config.address,
            attributes: config.attributes(),
            allow: &[],
            limit: CONNECTIONS,
            settings: limits,
            tls: tls.as_ref(),
        })
        .await?;
        let lifetime = Lifetime { max_age: config.max_age(), idle_timeout: limits.idle_timeout };
        Ok(Self {
            listener,
            tls,
            credentials: Arc::new(CredentialCheck::new(config.credentials.as_ref())),
            max_message_size: config.max_message_size,
            lifetime,
            statistics: Statistics::new(pools),
            memory: Arc::new(Memory::new(config.max_message_size)),
            tracer: Tracer::default(),
        })
    }

    /// The same with spans of the calls.
    #[must_use]
    pub fn traced(self, tracer: Tracer) -> Self {
        Self { tracer, ..self }
    }

    /// The address it listens on: `host:port`, or the path of the socket.
    pub fn local_address(&self) -> String {
        self.listener.local_address()
    }

    /// The same address as it is configured, with the real port.
    pub(crate) fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Its certificates, if it has TLS.
    pub fn tls(&self) -> Option<&Arc<Acceptor>> {
        self.tls.as_ref()
    }

    /// The credentials that calls have to present.
    pub fn credentials(&self) -> &Arc<CredentialCheck> {
        &self.credentials
    }

    /// Its open connections.
    pub(crate) fn connections(&self) -> Arc<Connections> {
        Arc::clone(self.listener.connections())
    }

    /// The durations of its calls.
    pub fn statistics(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics)
    }

    /// What its calls hold in memory.
    pub(crate) fn memory(&self) -> Arc<dyn Collect> {
        Arc::clone(&self.memory) as _
    }

    /// Serves until `shutdown` resolves. Then no connection is accepted, the open ones are drained (see `lifetime`), and the calls in
    /// flight are finished, those that wait for a worker included. The `streams` end within the grace period, which `shutdown` resolves to.
    /// The health service reports `serving`.
    pub async fn run<B: Backend>(
        self,
        backend: B,
        streams: Streams,
        serving: watch::Receiver<bool>,
        shutdown: impl Future<Output = Duration> + Send + 'static,
    ) -> Stopped {
        let health = Health { serving };
        let Self { mut listener, max_message_size: limit, lifetime, credentials, tracer, .. } = self;
        let (statistics, memory, open) = (self.statistics, self.memory, streams.clone());
        let service = Service::new(backend, health, statistics, credentials, limit, open, tracer);
        let service = Arc::new(Service { memory, ..service });
        let in_flight = Arc::clone(&service.in_flight);
        let goodbye = CancellationToken::new();
        let serve = |accepted| connection::serve(accepted, Arc::clone(&service), goodbye.clone(), lifetime);
        let mut connections = JoinSet::new();
        let mut floods = Incident::new(CALM);
        let mut shutdown = pin!(shutdown);
        let grace = loop {
            tokio::select! {
                grace = &mut shutdown => break grace,
                accepted = listener.accept() => {
                    connections.spawn(serve(accepted));
                }
                Some(ended) = connections.join_next() => {
                    if let Ok(Some(Flooder(peer))) = ended
                        && let Some(times) = floods.happened()
                    {
                        warn!(target: "centrifuge", %peer, closed = times, "too many cancelled calls, connection closed");
                    }
                }
            }
        };
        // Here and not later: a successor may listen as soon as this server does not.
        for accepted in listener.close().await {
            connections.spawn(serve(accepted));
        }
        in_flight.close();
        goodbye.cancel();
        tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => Stopped::Clean,
            () = async {
                // A call may still be on its way to a connection that has not closed by itself.
                tokio::join!(streams.end_all(grace), tokio::time::sleep(ON_THEIR_WAY));
                in_flight.finished().await;
            } => Stopped::Cut,
        }
    }
}
