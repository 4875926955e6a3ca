//! The listener: accepts connections, and runs a task for each.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tracing::warn;

use super::Config;
use super::connection::{self, Fault};
use super::router::Router;
use super::services::Services;
use crate::net::{Accepted, Address, Connections, Incident, Limit, Listener, Options, Peer, Sockets};
use crate::os::process::Identity;

/// Concurrent connections. Each costs a descriptor and a small task.
const CONNECTIONS: Limit = Limit { at_most: 4096, one_of: 8 };

/// Evicted connections whose calls are finished at the same time; those of others are cancelled.
const EVICTED: usize = 256;

/// Connections closed for a fault that are logged one by one; of more in a row there is a line now and then.
const FAULTS: u64 = 20;

/// Faults are in a row until this time passes without one.
const CALM: Duration = Duration::from_secs(10);

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Listens on the socket named `rpc`, if one was inherited, or binds the address. Nothing is accepted until [`Server::run`], but callers can connect and wait. The file of a unix socket belongs to
    /// `workers`, the user that workers run as, if that is another and `rpc.unix_socket` says nothing else.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub(crate) async fn bind(
        config: &Config,
        workers: Option<&Identity>,
        sockets: &Sockets,
    ) -> io::Result<Self> {
        let listener = Listener::bind(Options {
            key: "rpc.listen",
            inherited: Some((sockets, "rpc")),
            address: &config.listen,
            attributes: config.attributes(workers),
            allow: &config.allow,
            limit: CONNECTIONS,
            tls: None,
        })
        .await?;
        Ok(Self { listener })
    }

    /// The address it listens on, with the actual port.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Its open connections.
    pub(crate) fn connections(&self) -> Arc<Connections> {
        Arc::clone(self.listener.connections())
    }

    /// Answers calls until it is dropped, and all connections with it.
    pub async fn run(mut self, services: Arc<Services>) {
        let router = Arc::new(Router::new(services));
        let evicted = Arc::new(Semaphore::new(EVICTED));
        let mut connections = JoinSet::new();
        let mut faults = Incident::new(CALM).with_burst(FAULTS);
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
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
