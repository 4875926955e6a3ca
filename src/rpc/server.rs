//! The listeners, of workers and of operators: they accept connections, and run a task for each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tracing::warn;

use super::config::{Config, Listening, Methods};
use super::connection::{self, Fault};
use super::router::Router;
use super::services::Services;
use crate::net::{
    Accepted, Address, Connections, Incident, Limit, LimitSettings, Listener, Options, Peer, Sockets,
};
use crate::os::process::Identity;
use crate::tls::Acceptor;

/// Concurrent connections. Each costs a descriptor and a small task.
const CONNECTIONS: Limit = Limit { at_most: usize::MAX, one_of: 8, per_address: true };

/// Evicted connections whose calls are finished at the same time; those of others are cancelled.
const EVICTED: usize = 256;

/// Connections closed for a fault that are logged one by one; of more in a row there is a line now and then.
const FAULTS: u64 = 20;

/// Faults are in a row until this time passes without one.
const CALM: Duration = Duration::from_secs(10);

/// The bound listeners.
#[derive(Debug)]
pub struct Server {
    workers: Bound,
    operators: Option<Bound>,
}

/// A bound listener.
#[derive(Debug)]
struct Bound {
    listener: Listener,
    tls: Option<Arc<Acceptor>>,
    methods: Methods,
}

impl Server {
    /// Listens on the sockets named `rpc` and `operators`, if they were inherited, or binds the addresses. Nothing is accepted until
    /// [`Server::run`], but callers can connect and wait. The file of a unix socket belongs to `workers`, the user that workers run as, if
    /// that is another and the settings say nothing else; that of operators does not.
    ///
    /// # Errors
    /// When an address cannot be bound; the message names it.
    pub(crate) async fn bind(
        config: &Config,
        limits: LimitSettings,
        workers: Option<&Identity>,
        sockets: &Sockets,
    ) -> io::Result<Self> {
        let mut listeners = config.listeners();
        let of_workers = listeners.next().ok_or(io::ErrorKind::NotFound)?;
        let workers = Bound::bind(of_workers, limits, workers, (sockets, "rpc")).await?;
        let operators = match listeners.next() {
            Some(operators) => Some(Bound::bind(operators, limits, None, (sockets, "operators")).await?),
            None => None,
        };
        Ok(Self { workers, operators })
    }

    /// The address of workers, with the actual port.
    pub fn address(&self) -> &Address {
        self.workers.listener.address()
    }

    /// That of operators, if they have their own.
    pub fn operators(&self) -> Option<&Address> {
        self.operators.as_ref().map(|operators| operators.listener.address())
    }

    /// The certificates of the listeners that have TLS.
    pub fn tls(&self) -> impl Iterator<Item = &Arc<Acceptor>> {
        self.all().filter_map(|bound| bound.tls.as_ref())
    }

    /// The open connections of each listener.
    pub(crate) fn connections(&self) -> Vec<Arc<Connections>> {
        self.all().map(|bound| Arc::clone(bound.listener.connections())).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Bound> {
        std::iter::once(&self.workers).chain(&self.operators)
    }

    /// Answers calls until it is dropped, and all connections with it. Connections are accepted while `accepts` is true: otherwise they wait, or
    /// another process that has the sockets accepts them.
    pub async fn run(self, services: Arc<Services>, accepts: watch::Receiver<bool>) {
        let (router, evicted) = (Router::new(services), Arc::new(Semaphore::new(EVICTED)));
        let serve = |bound: Bound| {
            let router = Arc::new(router.serving(&bound.methods));
            accept(bound.listener, router, Arc::clone(&evicted), accepts.clone())
        };
        match self.operators {
            Some(operators) => {
                tokio::join!(serve(self.workers), serve(operators));
            }
            None => serve(self.workers).await,
        }
    }
}

impl Bound {
    async fn bind(
        config: Listening<'_>,
        limits: LimitSettings,
        workers: Option<&Identity>,
        sockets: (&Sockets, &str),
    ) -> io::Result<Self> {
        let tls = config.tls.map(|files| Acceptor::new(config.tls_key, files, &[])).transpose()?;
        let listener = Listener::bind(Options {
            key: config.key,
            sockets: Some(sockets),
            address: config.listen,
            attributes: config.attributes(workers),
            allow: config.allow,
            limit: CONNECTIONS,
            settings: limits,
            tls: tls.as_ref(),
        })
        .await?;
        Ok(Self { listener, tls, methods: config.methods.clone() })
    }
}

/// Accepts connections, and runs a task for each.
async fn accept(
    mut listener: Listener,
    router: Arc<Router>,
    evicted: Arc<Semaphore>,
    accepts: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut faults = Incident::new(CALM).with_burst(FAULTS);
    loop {
        tokio::select! {
            accepted = listener.accept_while(&accepts) => {
                connections.spawn(serve(accepted, Arc::clone(&router), Arc::clone(&evicted)));
            }
            Some(ended) = connections.join_next() => {
                if let Ok(Err((peer, reason))) = ended
                    && let Some(times) = faults.happened()
                {
                    warn!(target: "rpc", %peer, %reason, closed = times, "connection closed");
                }
            }
        }
    }
}

/// Serves a connection until it is closed, or evicted for another, and finishes its calls.
async fn serve(
    accepted: Accepted,
    router: Arc<Router>,
    evicted: Arc<Semaphore>,
) -> Result<(), (Peer, Fault)> {
    let Ok(Accepted { mut stream, peer, registration, .. }) = accepted.secured().await else { return Ok(()) };
    let (reader, writer) = stream.split();
    let (ended, mut calls) = connection::serve(reader, writer, &registration, &router).await;
    stream.close();
    if ended.is_some() {
        // Until then it counts as a connection.
        let _ = registration.until_evicted(calls.finish()).await;
    }
    drop(registration);
    if let Ok(_permit) = evicted.try_acquire() {
        calls.finish().await;
    }
    ended.unwrap_or(Ok(())).map_err(|fault| (peer, fault))
}
