//! The nodes of Redis, with one connection to each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::endpoint::{Connection, Endpoint, Target};
use super::error::Error;

/// How long a failed attempt stands for others: so many calls at once cost one attempt.
const BACK_OFF: Duration = Duration::from_millis(250);

/// Nodes that are remembered, at most: their addresses come from Redis.
const MAX_NODES: usize = 1024;

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    target: Target,
    /// Locked while it is connected to.
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    failed: Option<(Instant, Error)>,
}

impl Node {
    pub(super) fn new(target: Target) -> Self {
        Self { target, state: Mutex::default() }
    }

    /// The connection, made anew if there is none.
    ///
    /// # Errors
    /// If it cannot be connected to by `deadline`, or could not just now.
    pub(super) async fn connection(
        &self,
        endpoint: &Endpoint,
        deadline: Instant,
    ) -> Result<Connection, Error> {
        let late = |_| Error::connect(&self.target.name(), "no connection in time");
        let mut state = timeout_at(deadline, self.state.lock()).await.map_err(late)?;
        if let Some(connection) = state.connection.as_ref().filter(|connection| connection.is_open()) {
            return Ok(connection.clone());
        }
        state.connection = None;
        if let Some((at, error)) = &state.failed
            && at.elapsed() < BACK_OFF
        {
            return Err(error.clone());
        }
        let connected = timeout_at(deadline, endpoint.connect(&self.target)).await.map_err(late)?;
        match connected {
            Ok(connection) => {
                state.failed = None;
                state.connection = Some(connection.clone());
                Ok(connection)
            }
            Err(error) => {
                state.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

impl Node {
    /// Lets calls fail for a moment: this node answers, but cannot be used.
    pub(super) async fn avoid(&self, error: &Error) {
        let mut state = self.state.lock().await;
        state.connection = None;
        state.failed = Some((Instant::now(), error.clone()));
    }
}

/// The nodes of a cluster. Which one has a slot is learnt from its answers.
#[derive(Debug)]
pub(super) struct Cluster {
    seeds: Vec<Arc<str>>,
    known: StdMutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    nodes: HashMap<Arc<str>, Arc<Node>>,
    slots: HashMap<u16, Arc<str>>,
}

impl Cluster {
    pub(super) fn new(seeds: &[String]) -> Self {
        let seeds = seeds.iter().map(|seed| seed.as_str().into()).collect();
        Self { seeds, known: StdMutex::default() }
    }

    /// Where to send a command for this slot, by preference.
    pub(super) fn candidates(&self, slot: u16) -> Vec<Arc<str>> {
        let owner = self.known().slots.get(&slot).cloned();
        owner.into_iter().chain(self.addresses()).collect()
    }

    /// All addresses, those of the configuration first.
    pub(super) fn addresses(&self) -> Vec<Arc<str>> {
        let known = self.known();
        let learnt = known.nodes.keys().filter(|address| !self.seeds.contains(address)).cloned();
        self.seeds.iter().cloned().chain(learnt).collect()
    }

    pub(super) fn node(&self, address: &Arc<str>) -> Arc<Node> {
        let mut known = self.known();
        if !known.nodes.contains_key(address) && known.nodes.len() >= MAX_NODES {
            known.nodes.clear();
            known.slots.clear();
        }
        let node = || Arc::new(Node::new(Target::Address(Arc::clone(address))));
        Arc::clone(known.nodes.entry(Arc::clone(address)).or_insert_with(node))
    }

    /// A slot has moved to this node.
    pub(super) fn learn(&self, slot: u16, address: &Arc<str>) {
        self.known().slots.insert(slot, Arc::clone(address));
    }

    /// A node cannot be reached, and may have been replaced.
    pub(super) fn forget(&self, address: &Arc<str>) {
        self.known().slots.retain(|_, owner| owner != address);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
