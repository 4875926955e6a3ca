//! The state of a server's workers at one moment.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::reach::Server;
use crate::rpc::ClientError;

/// A plugin with its workers.
#[derive(Debug, Clone)]
pub(super) struct Plugin {
    pub(super) name: String,
    pub(super) workers: Vec<Worker>,
    /// As the server returned them; RoadRunner has none.
    pub(super) stats: Option<Value>,
}

/// A worker as `informer.Workers` reports it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Worker {
    pub(super) pid: i64,
    #[serde(rename = "statusStr")]
    pub(super) status: String,
    #[serde(rename = "numExecs")]
    pub(super) executions: u64,
    /// Nanoseconds since the Unix epoch.
    pub(super) created: i64,
    /// Bytes.
    #[serde(rename = "memoryUsage")]
    pub(super) memory: u64,
    /// Percent of one core, over its life.
    #[serde(rename = "CPUPercent")]
    pub(super) cpu: f64,
    pub(super) command: String,
    /// Requests in hand, if the server says so.
    #[serde(skip)]
    pub(super) in_hand: Option<u64>,
}

/// The parts of `causeway.Stats` that are shown; the rest is for [`Snapshot::json`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Stats {
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) waiting: u64,
    /// Requests that workers may have in hand.
    pub(super) capacity: u64,
    /// Requests in hand, by pid.
    pub(super) workers: std::collections::BTreeMap<String, u64>,
    pub(super) target: u64,
    pub(super) latency: Latency,
    pub(super) restarts: std::collections::BTreeMap<String, u64>,
}

/// How long recent requests took, in seconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
}

#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    pub(super) taken: SystemTime,
    pub(super) plugins: Vec<Plugin>,
}

impl Plugin {
    pub(super) fn stats(&self) -> Option<Stats> {
        Stats::deserialize(self.stats.as_ref()?).ok()
    }

    /// Whether a worker may have several requests in hand.
    pub(super) fn is_concurrent(&self) -> bool {
        self.stats().is_some_and(|stats| stats.capacity > self.workers.len() as u64)
    }
}

impl Worker {
    pub(super) fn age(&self, now: SystemTime) -> Duration {
        let created = UNIX_EPOCH + Duration::from_nanos(u64::try_from(self.created).unwrap_or_default());
        // The clocks of two machines may differ.
        now.duration_since(created).unwrap_or_default()
    }
}

impl Snapshot {
    /// Asks for the workers and the statistics of these plugins.
    ///
    /// # Errors
    /// When a call fails.
    pub(super) async fn take(server: &mut Server, plugins: &[String]) -> anyhow::Result<Self> {
        let mut found = Vec::new();
        for name in plugins {
            let mut workers = workers(server, name).await?;
            let stats = match server.call("causeway.Stats", &json!(name)).await {
                Ok(stats) => Some(stats),
                Err(ClientError::Server(_)) => None,
                Err(error) => return Err(error.into()),
            };
            if let Some(stats) = stats.as_ref().and_then(|stats| Stats::deserialize(stats).ok()) {
                for worker in &mut workers {
                    worker.in_hand = stats.workers.get(&worker.pid.to_string()).copied();
                }
            }
            found.push(Plugin { name: name.clone(), workers, stats });
        }
        Ok(Self { taken: SystemTime::now(), plugins: found })
    }

    /// Formats it for programs: `{"workers": [...], "stats": {...}, "pools": {...}}`, in bytes, seconds, and percent of one core. `stats` is
    /// that of the first pool, `pools` has it for each.
    pub(super) fn json(&self) -> Value {
        let describe = |plugin: &Plugin, worker: &Worker| {
            json!({
                "plugin": plugin.name,
                "pid": worker.pid,
                "status": worker.status,
                "executions": worker.executions,
                "in_hand": worker.in_hand,
                "memory": worker.memory,
                "cpu": worker.cpu,
                "age": worker.age(self.taken).as_secs_f64(),
                "command": worker.command,
            })
        };
        let of = |plugin| move |worker| describe(plugin, worker);
        let workers: Vec<Value> =
            self.plugins.iter().flat_map(|plugin| plugin.workers.iter().map(of(plugin))).collect();
        let mut all = json!({"workers": workers});
        let stats =
            self.plugins.iter().filter_map(|plugin| Some((plugin.name.clone(), plugin.stats.clone()?)));
        let pools: serde_json::Map<_, _> = stats.collect();
        if let Some(first) = pools.values().next().cloned() {
            all["stats"] = first;
            all["pools"] = pools.into();
        }
        all
    }
}

/// Returns the workers of one plugin, oldest first. RoadRunner returns `null` for none.
///
/// # Errors
/// When the call fails or returns something else.
pub(super) async fn workers(server: &mut Server, plugin: &str) -> anyhow::Result<Vec<Worker>> {
    #[derive(Deserialize)]
    struct WorkerList {
        workers: Option<Vec<Worker>>,
    }
    let reply = server.call("informer.Workers", &json!(plugin)).await?;
    let list = WorkerList::deserialize(reply).context("informer.Workers did not return a list of workers")?;
    let mut workers = list.workers.unwrap_or_default();
    // RoadRunner returns them in any order.
    workers.sort_by_key(|worker| (worker.created, worker.pid));
    Ok(workers)
}
