//! The pools by their names.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::SetOnce;
use tokio::time::Instant;

use super::route::{Call, name_for};
use super::snapshot::Snapshot;
use crate::compat;
use crate::offload;
use crate::pool::{Error, Pool, Start, StartError};
use crate::single_flight::SingleFlight;
use crate::worker::{self, Usage};

/// All running pools. Clones are the same pools.
#[derive(Debug, Clone)]
pub struct Pools {
    shared: Arc<Shared>,
}

/// The pools, for parts that are started before them. Clones are the same pools.
#[derive(Debug, Clone)]
pub struct UpcomingPools(Arc<Upcoming>);

#[derive(Debug)]
struct Upcoming {
    names: Vec<&'static str>,
    started: SetOnce<Pools>,
}

impl UpcomingPools {
    /// Takes the names of the pools that will be started, in the order of the configuration.
    pub fn new(names: Vec<&'static str>) -> Self {
        Self(Arc::new(Upcoming { names, started: SetOnce::new() }))
    }

    /// The names of the pools, whether they have started or not.
    pub fn names(&self) -> &[&'static str] {
        &self.0.names
    }

    /// Hands over the pools, once all their workers are ready.
    pub fn set(&self, pools: Pools) {
        // Only the first time counts.
        let _ = self.0.started.set(pools);
    }

    /// Returns the pools if their workers are ready.
    pub fn get(&self) -> Option<&Pools> {
        self.0.started.get()
    }

    /// Waits until the workers are ready.
    pub async fn wait(&self) -> &Pools {
        self.0.started.wait().await
    }
}

#[derive(Debug)]
struct Shared {
    /// In the order of the configuration; the first one is the default.
    pools: Vec<(&'static str, Pool)>,
    /// What process groups use, by their numbers.
    usage: SingleFlight<HashMap<u32, Usage>>,
}

impl Pools {
    /// Starts all pools, and waits until their workers are ready.
    ///
    /// # Errors
    /// When a worker does not become ready; then none is left.
    pub async fn start(default: Start) -> Result<Self, StartError> {
        let pools = vec![(compat::PLUGIN, Pool::start(default).await?)];
        Ok(Self { shared: Arc::new(Shared { pools, usage: SingleFlight::default() }) })
    }

    /// Returns the pool that answers `call`.
    ///
    /// # Errors
    /// When there is no pool of the name that the call is routed to.
    pub fn answering(&self, call: &Call<'_>) -> Result<&Pool, Error> {
        let name = name_for(call);
        self.get(name).ok_or_else(|| Error::NoWorkers { reason: format!("there is no pool {name}") })
    }

    /// Returns the pool of this name.
    pub fn get(&self, name: &str) -> Option<&Pool> {
        self.shared.pools.iter().find(|(other, _)| *other == name).map(|(_, pool)| pool)
    }

    /// Whether every pool serves requests.
    pub fn are_ready(&self) -> bool {
        self.shared.pools.iter().all(|(_, pool)| pool.is_ready())
    }

    /// Returns the pools as they are now; what workers use is not measured, and shown as zero.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of(self.shared.pools.iter().map(|(name, pool)| (*name, pool)), &HashMap::new())
    }

    /// Returns the pools as they are now, with what each worker uses, its descendants included. Callers that ask at the same time share one
    /// pass over `/proc`.
    pub async fn measured_snapshot(&self) -> Snapshot {
        let measure = async { offload::background(worker::usage_by_group).await.unwrap_or_default() };
        let usage = self.shared.usage.get(measure).await.unwrap_or_default();
        Snapshot::of(self.shared.pools.iter().map(|(name, pool)| (*name, pool)), &usage)
    }

    /// Replaces the workers of every pool. How that went is logged.
    pub async fn reset_all(&self) {
        let resets = self.shared.pools.iter().map(|(_, pool)| pool.reset());
        futures_util::future::join_all(resets).await;
    }

    /// Shuts all pools down at the same time; see [`Pool::stop`]. Resolves to whether all workers left by themselves.
    pub async fn stop(&self, deadline: Instant) -> bool {
        let stops = self.shared.pools.iter().map(|(_, pool)| pool.stop(deadline));
        futures_util::future::join_all(stops).await.into_iter().all(|by_themselves| by_themselves)
    }
}
