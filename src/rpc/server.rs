//! The listener: who may connect, and a task for each connection.

use std::io;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::warn;

use super::router::Router;
use super::services::Services;
use super::{Config, connection};
use crate::net::{Accepted, Address, Attributes, Limit, Listener, Options, Stream};
use crate::os::process::Identity;

/// Connections at one time. Each costs a descriptor and a small task.
const CONNECTIONS: Limit = Limit { at_most: 4096, one_of: 8 };

/// A bound listener.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
}

impl Server {
    /// Binds the address. Nothing is accepted until [`Server::run`], but callers can connect from now on and wait. The file of a unix
    /// socket belongs to `workers`, the user that workers run as, if that is another.
    ///
    /// # Errors
    /// When the address cannot be bound; the message names it.
    pub(crate) async fn bind(config: &Config, workers: Option<&Identity>) -> io::Result<Self> {
        let (uid, gid) = workers.map(Identity::owner).unwrap_or_default();
        let listener = Listener::bind(Options {
            key: "rpc.listen",
            address: &config.listen,
            attributes: Attributes { mode: config.socket_mode, uid, gid },
            allow: &config.allow,
            limit: CONNECTIONS,
        })
        .await?;
        if !listener.is_local() && config.allow.is_empty() {
            warn!(
                target: "rpc",
                address = %listener.address(),
                "rpc.listen is reachable from other machines: whoever can connect may publish to any channel, disconnect users, read \
                 the configuration, replace the workers and stop the server; rpc.allow: [10.0.0.0/8] would name who may"
            );
        }
        Ok(Self { listener })
    }

    /// Where it listens, the real port included.
    pub fn address(&self) -> &Address {
        self.listener.address()
    }

    /// Answers calls until it is dropped, and with it every connection.
    pub async fn run(mut self, services: Arc<Services>) {
        let router = Arc::new(Router::new(services));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => {
                    connections.spawn(serve(accepted, Arc::clone(&router)));
                }
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

async fn serve(accepted: Accepted, router: Arc<Router>) {
    let Accepted { stream, peer, registration } = accepted;
    let peer = peer.to_string();
    let connection = async {
        match stream {
            Stream::Tcp(mut stream) => {
                let (reader, writer) = stream.split();
                connection::serve(reader, writer, &peer, &registration, &router).await;
            }
            Stream::Unix(mut stream) => {
                let (reader, writer) = stream.split();
                connection::serve(reader, writer, &peer, &registration, &router).await;
            }
        }
    };
    // The listener tells of those that had to go.
    let _ = registration.until_evicted(connection).await;
}
