//! The listener: accepts connections, and drains them at shutdown.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::health::Health;
use super::lifetime::{MaxAge, ON_THEIR_WAY};
use super::service::Service;
use super::statistics::Statistics;
use super::{Backend, Config, CredentialCheck, connection};
use crate::net::{Address, Connections, Limit, Listener, Options, Sockets};
use crate::pool_names::PoolNames;
use crate::streams::Streams;
use crate::telemetry::trace::Tracer;
use crate::tls::Acceptor;

/// Concurrent connections. Centrifugo has one for all its calls.
const CONNECTIONS: Limit = Limit { at_most: 4096, one_of: 8 };

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
    credentials: Arc<CredentialCheck>,
    max_message_size: usize,
    max_age: MaxAge,
    statistics: Arc<Statistics>,
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
    pub async fn bind(config: &Config, pools: PoolNames, sockets: &Sockets) -> io::Result<Self> {
        let tls = config.tls.as_ref().map(|files| Acceptor::new("centrifuge.proxy_tls", files, &[b"h2"]));
        let tls = tls.transpose()?;
        let listener = Listener::bind(Options {
            key: "centrifuge.proxy_address",
            sockets: Some((sockets, "proxy")),
            address: &config.address,
            attributes: config.attributes(),
            allow: &[],
            limit: CONNECTIONS,
            tls: tls.as_ref(),
        })
        .await?;
        let (statistics, tracer) = (Statistics::new(pools), Tracer::default());
        let credentials = Arc::new(CredentialCheck::new(config.credentials.as_ref()));
        let (max_message_size, max_age) = (config.max_message_size, config.max_age());
        Ok(Self { listener, tls, credentials, max_message_size, max_age, statistics, tracer })
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

    /// Serves until `shutdown` resolves. Then no connection is accepted, the open ones are drained (see `lifetime`), and the calls in
    /// flight are finished, those that wait for a worker included. The `streams` end within the grace period, which `shutdown` resolves to.
    /// The health service reports `serving`.
    pub async fn run<B: Backend>(
        mut self,
        backend: B,
        streams: Streams,
        serving: watch::Receiver<bool>,
        shutdown: impl Future<Output = Duration> + Send + 'static,
    ) -> Stopped {
        let health = Health { serving };
        let (statistics, limit, max_age) = (self.statistics, self.max_message_size, self.max_age);
        let (credentials, open) = (self.credentials, streams.clone());
        let service = Service::new(backend, health, statistics, credentials, limit, open, self.tracer);
        let service = Arc::new(service);
        let in_flight = Arc::clone(&service.in_flight);
        let goodbye = CancellationToken::new();
        let serve = |accepted| connection::serve(accepted, Arc::clone(&service), goodbye.clone(), max_age);
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        let grace = loop {
            tokio::select! {
                grace = &mut shutdown => break grace,
                accepted = self.listener.accept() => {
                    connections.spawn(serve(accepted));
                }
                Some(_) = connections.join_next() => {}
            }
        };
        // Here and not later: a successor may listen as soon as this server does not.
        for accepted in self.listener.close().await {
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
