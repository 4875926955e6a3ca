//! What methods work on.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{SetOnce, mpsc};

use super::locks::Locks;
use crate::api;
use crate::pool::Pool;
use crate::telemetry::metrics::Registry;

/// The parts of the running bridge that methods reach.
#[derive(Debug)]
pub struct Services {
    /// Centrifugo's API.
    pub api: api::Client,
    /// Set when the workers are up; calls about them wait for that, as in RoadRunner.
    pub pool: SetOnce<Pool>,
    /// What runs as a worker, for people to read.
    pub command: String,
    /// The configuration as JSON, without secrets.
    pub config: Bytes,
    /// The application's metrics.
    pub metrics: Arc<Registry>,
    /// The locks that workers share.
    pub locks: Locks,
    /// Ends the server.
    pub stop: mpsc::Sender<Stop>,
}

/// How a server is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// After the calls in flight and in line, within the grace period.
    Gracefully,
    /// Now.
    AtOnce,
}
