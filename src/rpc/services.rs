//! What methods work on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::locks::Locks;
use crate::api;
use crate::pools::UpcomingPools;
use crate::telemetry::metrics::Registry;

/// The parts of the running bridge that methods reach.
#[derive(Debug)]
pub struct Services {
    /// Centrifugo's API.
    pub api: api::Client,
    /// Set when the workers are up; calls about them wait for that, as in RoadRunner.
    pub pools: UpcomingPools,
    /// The configuration as JSON, without secrets.
    pub config: Bytes,
    /// The application's metrics.
    pub metrics: Arc<Registry>,
    /// The locks that workers share.
    pub locks: Locks,
    /// Ends the server.
    pub stop: mpsc::Sender<Stop>,
}

/// Where callers say that the server shall end, and where that is heard.
pub fn stops() -> (mpsc::Sender<Stop>, Stops) {
    let (sender, wishes) = mpsc::channel(1);
    (sender, Stops(wishes))
}

/// Hears of callers who want the server to end.
#[derive(Debug)]
pub struct Stops(mpsc::Receiver<Stop>);

impl Stops {
    /// Resolves when a caller wants the server to end; never, if there is no RPC.
    pub async fn next(&mut self) -> Stop {
        match self.0.recv().await {
            Some(how) => how,
            None => std::future::pending().await,
        }
    }

    /// Resolves when a caller wants the server to end at once.
    pub async fn at_once(&mut self) {
        while self.next().await != Stop::AtOnce {}
    }
}

/// How a server is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// After the calls in flight and in line, within the grace period.
    Gracefully,
    /// Now.
    AtOnce,
}
