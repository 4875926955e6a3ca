//! Runs the script where its key is. A command is never repeated that may have been executed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use redis::{ErrorKind, RedisError, ServerErrorKind};
use tokio::time::{Instant, timeout_at};
use tracing::error;

use super::endpoint::{Connection, Endpoint, Target};
use super::error::Error;
use super::nodes::{Cluster, Node};
use super::script::{Call, Reply};
use super::slot;
use crate::net::Incident;
use crate::rpc::locks::config::{Layout, RedisConfig};

/// Times that a command is sent on to another node.
const REDIRECTIONS: usize = 5;

/// Failures in a row that are logged one by one.
const BURST: u64 = 20;

/// Failures are in a row until this time passes without one.
const CALM: Duration = Duration::from_secs(10);

/// Characters of a key or id in a log line.
const SHOWN: usize = 100;

/// Redis, however it is laid out.
#[derive(Debug, Clone)]
pub(super) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    layout: Nodes,
    patience: Duration,
    failures: Mutex<Incident>,
}

#[derive(Debug)]
enum Nodes {
    /// One node; with sentinels, whichever is the master.
    One {
        node: Node,
        target: Target,
    },
    Cluster(Cluster),
}

/// Why a command has no answer from a node.
enum Failure {
    /// Another node has the key. It was not executed.
    Elsewhere {
        address: String,
        is_asking: bool,
    },
    /// This node is no master. It was not executed.
    ReadOnly(Error),
    Final(Error),
}

impl Client {
    pub(super) fn new(config: &RedisConfig) -> Self {
        let first = || config.addrs.first().map_or("", String::as_str);
        let one = |target: Target| Nodes::One { node: Node::new(target.clone()), target };
        let layout = match config.layout() {
            Layout::Standalone => one(Target::Address(first().into())),
            Layout::Sentinel => one(Target::Master {
                name: config.master_name.as_str().into(),
                sentinels: config.addrs.clone().into(),
            }),
            Layout::Cluster => Nodes::Cluster(Cluster::new(&config.addrs)),
        };
        let failures = Mutex::new(Incident::new(CALM).with_burst(BURST));
        Self(Arc::new(Inner {
            endpoint: Endpoint::new(config),
            layout,
            patience: config.patience(),
            failures,
        }))
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    /// Where messages may be received, by preference. In a cluster, any node passes on all of them.
    pub(super) fn listening_targets(&self) -> Vec<Target> {
        match &self.0.layout {
            Nodes::One { target, .. } => vec![target.clone()],
            Nodes::Cluster(cluster) => cluster.addresses().into_iter().map(Target::Address).collect(),
        }
    }

    /// Runs the script, within `patience` or the time that a connection and an answer may take. The task of the caller need not be polled
    /// meanwhile.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) async fn run(&self, call: Call, patience: Option<Duration>) -> Result<Reply, Error> {
        let client = self.clone();
        let running = tokio::spawn(async move { client.run_here(&call).await });
        match patience {
            None => running.await.unwrap_or(Err(Error::Late)),
            Some(patience) => match tokio::time::timeout(patience, running).await {
                Ok(result) => result.unwrap_or(Err(Error::Late)),
                Err(_) => Err(Error::Late),
            },
        }
    }

    /// The same in the caller's task, which must be polled until it is done.
    pub(super) async fn run_here(&self, call: &Call) -> Result<Reply, Error> {
        let result = match &self.0.layout {
            Nodes::One { node, .. } => self.run_on_master(node, call).await,
            Nodes::Cluster(cluster) => self.run_in(cluster, call).await,
        };
        if let Err(reason) = &result {
            self.log_failure(call, reason);
        }
        result
    }

    async fn run_on_master(&self, node: &Node, call: &Call) -> Result<Reply, Error> {
        let mut is_second = false;
        loop {
            let connection = self.connect(node).await?;
            match self.exchange(&connection, call, false).await {
                Ok(reply) => return Ok(reply),
                // The master may be another one by now.
                Err(Failure::ReadOnly(_)) if !is_second => connection.retire(),
                Err(Failure::ReadOnly(error)) => {
                    node.avoid(&error).await;
                    return Err(error);
                }
                Err(Failure::Elsewhere { address, .. }) => {
                    let reason =
                        format!("the key is at {address}: for a cluster, addrs has several addresses");
                    return Err(Error::NotExecuted { address: connection.address.to_string(), reason });
                }
                Err(Failure::Final(error)) => return Err(error),
            }
            is_second = true;
        }
    }

    async fn run_in(&self, cluster: &Cluster, call: &Call) -> Result<Reply, Error> {
        let slot = slot::of(call.key.as_bytes());
        let mut last = Error::connect("cluster", "there is no node");
        for address in cluster.candidates(slot) {
            let (mut address, mut is_asking) = (address, false);
            for _ in 0..=REDIRECTIONS {
                let connection = match self.connect(&cluster.node(&address)).await {
                    Ok(connection) => connection,
                    Err(error) => {
                        cluster.forget(&address);
                        last = error;
                        break;
                    }
                };
                match self.exchange(&connection, call, is_asking).await {
                    Ok(reply) => return Ok(reply),
                    Err(Failure::Elsewhere { address: next, is_asking: asks }) => {
                        let reason = format!("sent on to {next} too often");
                        last = Error::NotExecuted { address: address.to_string(), reason };
                        address = absolute(&next, &address);
                        is_asking = asks;
                        if !asks {
                            cluster.learn(slot, &address);
                        }
                    }
                    Err(Failure::ReadOnly(error)) => {
                        cluster.forget(&address);
                        last = error;
                        break;
                    }
                    Err(Failure::Final(error)) => {
                        if error.is_uncertain() {
                            cluster.forget(&address);
                        }
                        return Err(error);
                    }
                }
            }
        }
        Err(last)
    }

    async fn connect(&self, node: &Node) -> Result<Connection, Error> {
        let deadline = Instant::now() + self.0.patience;
        node.connection(&self.0.endpoint, deadline).await
    }

    /// Sends the script's hash, and its text to a server that does not know it.
    async fn exchange(
        &self,
        connection: &Connection,
        call: &Call,
        is_asking: bool,
    ) -> Result<Reply, Failure> {
        let address = &*connection.address;
        let in_cluster = matches!(self.0.layout, Nodes::Cluster(_));
        let deadline = Instant::now() + self.0.patience;
        for with_text in [false, true] {
            let command = call.command(with_text, in_cluster);
            let answer = async {
                if is_asking {
                    connection.send_asking(&command).await
                } else {
                    connection.send(&command).await
                }
            };
            match timeout_at(deadline, answer).await {
                Ok(Ok(value)) => {
                    let unreadable = || Failure::Final(Error::no_answer(address, "unexpected answer"));
                    return Reply::parse(value).ok_or_else(unreadable);
                }
                Ok(Err(error))
                    if !with_text && error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {}
                Ok(Err(error)) => return Err(Self::failure(connection, &error)),
                Err(_) => {
                    // What comes behind it would wait as well.
                    connection.retire();
                    let reason = format!("no answer within {:?}", self.0.patience);
                    return Err(Failure::Final(Error::no_answer(address, &reason)));
                }
            }
        }
        Err(Failure::Final(Error::no_answer(address, "the script is not kept")))
    }

    fn failure(connection: &Connection, error: &RedisError) -> Failure {
        let elsewhere = |is_asking| {
            let (address, _) = error.redirect_node().unwrap_or_default();
            Failure::Elsewhere { address: address.to_owned(), is_asking }
        };
        let found = Error::of_command(&connection.address, error);
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::Moved) => elsewhere(false),
            ErrorKind::Server(ServerErrorKind::Ask) => elsewhere(true),
            ErrorKind::Server(ServerErrorKind::ReadOnly) => Failure::ReadOnly(found),
            ErrorKind::Server(_) | ErrorKind::Extension => Failure::Final(found),
            _ => {
                connection.retire();
                Failure::Final(found)
            }
        }
    }

    fn log_failure(&self, call: &Call, reason: &Error) {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(times) = failures.happened() else { return };
        drop(failures);
        let shown = |text: &str| text.chars().take(SHOWN).collect::<String>();
        let (key, id) = (shown(&call.key), shown(&call.id));
        error!(target: "lock", op = call.operation, key, id, error = %reason, times, "redis lock script failed");
    }
}

/// The address that a node names, which may leave out its own host.
fn absolute(named: &str, node: &str) -> Arc<str> {
    match (named.rsplit_once(':'), node.rsplit_once(':')) {
        (Some(("" | "?", port)), Some((host, _))) => format!("{host}:{port}").into(),
        _ => named.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_leave_out_its_own_host() {
        assert_eq!(&*absolute("10.0.0.1:7000", "10.0.0.2:7001"), "10.0.0.1:7000");
        assert_eq!(&*absolute(":7000", "10.0.0.2:7001"), "10.0.0.2:7000");
        assert_eq!(&*absolute("?:7000", "[::1]:7001"), "[::1]:7000");
    }
}
