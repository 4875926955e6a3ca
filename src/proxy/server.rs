//! The listener: connections in, and their orderly end.

use std::io;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::gzip::Gzip;
use super::health::Health;
use super::service::Service;
use super::statistics::Statistics;
use super::{Backend, Config, connection};
use crate::net::{Attributes, Limit, Listener, Options};

/// Connections of callers. Centrifugo has one for all its calls.
const CONNECTIONS: Limit = Limit { at_most: 4096, one_of: 8 };

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    max_message_size: usize,
    statistics: Arc<Statistics>,
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Every call was answered.
    Clean,
    /// Some connections stayed open though no call was left, and were cut.
    Cut,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        let listener = Listener::bind(Options {
            key: "centrifuge.proxy_address",
            address: &config.address,
            attributes: Attributes::mode(config.socket_mode),
            allow: &[],
            limit: CONNECTIONS,
        })
        .await?;
        Ok(Self { listener, max_message_size: config.max_message_size, statistics: Arc::default() })
    }

    /// Where it listens: `host:port`, or the path of the socket.
    pub fn local_address(&self) -> String {
        self.listener.local_address()
    }

    /// How long its calls take.
    pub fn statistics(&self) -> Arc<Statistics> {
        Arc::clone(&self.statistics)
    }

    /// Serves until `shutdown` resolves: then no new connection is taken, a new call on an old one is UNAVAILABLE, and the calls in
    /// flight, those that wait for a worker included, are finished. `serving` is what the health service says.
    pub async fn run<B: Backend>(
        mut self,
        backend: B,
        serving: watch::Receiver<bool>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Stopped {
        let calls = Arc::new(Calls::new(self.max_message_size));
        let service = Arc::new(Service {
            backend,
            health: Health { serving },
            calls: Arc::clone(&calls),
            statistics: self.statistics,
            gzip: Gzip::new(),
            max_message_size: self.max_message_size,
        });
        let goodbye = CancellationToken::new();
        let mut connections = JoinSet::new();
        let mut shutdown = pin!(shutdown);
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                accepted = self.listener.accept() => {
                    connections.spawn(connection::serve(accepted, Arc::clone(&service), goodbye.clone()));
                }
                Some(_) = connections.join_next() => {}
            }
        }
        // Here, and not at the end: a successor may listen as soon as this one does not.
        drop(self.listener);
        calls.close();
        goodbye.cancel();
        tokio::select! {
            () = async { while connections.join_next().await.is_some() {} } => Stopped::Clean,
            () = calls.finished() => Stopped::Cut,
        }
    }
}
