//! The parts of the running server that methods work on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::locks::Locks;
use crate::api;
use crate::compat::Compat;
use crate::overview::Overview;
use crate::pools::UpcomingPools;
use crate::streams::Streams;
use crate::telemetry::metrics::Registry;

/// The parts of the running server that methods reach.
#[derive(Debug)]
pub struct Services {
    /// Centrifugo's API.
    pub api: api::Client,
    /// The pools. Calls about their workers wait until they are ready, as in RoadRunner.
    pub pools: UpcomingPools,
    /// What operators see.
    pub(crate) overview: Overview,
    /// Subscription streams.
    pub streams: Streams,
    /// The configuration in force as JSON, without secrets.
    pub config: ArcSwap<Bytes>,
    /// Whether the server is serving: false during the shutdown.
    pub serving: watch::Receiver<bool>,
    /// The application's metrics.
    pub metrics: Arc<Registry>,
    /// The locks that workers share.
    pub locks: Locks,
    /// Requests a shutdown.
    pub stop: mpsc::Sender<Stop>,
    /// Requests a reload of the configuration, and gets a report on it as JSON.
    pub reload: mpsc::Sender<oneshot::Sender<String>>,
    /// Requests that a new server takes over.
    pub upgrade: mpsc::Sender<UpgradeReply>,
    /// Which RoadRunner answers.
    pub compat: Compat,
}

/// A channel for shutdown requests of callers.
pub fn stop_requests() -> (mpsc::Sender<Stop>, StopRequests) {
    let (sender, requests) = mpsc::channel(1);
    (sender, StopRequests(requests))
}

/// Receives shutdown requests of callers.
#[derive(Debug)]
pub struct StopRequests(mpsc::Receiver<Stop>);

impl StopRequests {
    /// Resolves when a caller requests a shutdown; never, if there is no RPC.
    pub async fn next(&mut self) -> Stop {
        match self.0.recv().await {
            Some(how) => how,
            None => std::future::pending().await,
        }
    }

    /// Resolves when a caller requests an immediate shutdown.
    pub async fn at_once(&mut self) {
        while self.next().await != Stop::AtOnce {}
    }
}

/// Where the outcome of an upgrade goes: the pid of the new server, and the number of locks that it does not know; or why there is none.
pub type UpgradeReply = oneshot::Sender<Result<(u32, usize), String>>;

/// A channel for callers' requests that a new server takes over.
pub fn upgrade_requests() -> (mpsc::Sender<UpgradeReply>, UpgradeRequests) {
    let (sender, requests) = mpsc::channel(1);
    (sender, UpgradeRequests(requests))
}

/// Receives callers' requests that a new server takes over.
#[derive(Debug)]
pub struct UpgradeRequests(mpsc::Receiver<UpgradeReply>);

impl UpgradeRequests {
    /// Resolves when there is one; never, if there is no RPC.
    pub async fn next(&mut self) -> UpgradeReply {
        match self.0.recv().await {
            Some(reply) => reply,
            None => std::future::pending().await,
        }
    }
}

/// How the server is to shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// After the calls in flight and in the queue, within the grace period.
    Gracefully,
    /// Immediately.
    AtOnce,
}
