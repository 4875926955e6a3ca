//! `causeway`: what RoadRunner's services do not tell or do; the command line uses it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::compat::PLUGIN;
use crate::pools::PoolSnapshot;
use crate::rpc::codec::Shape;
use crate::rpc::method::{Method, Reply};
use crate::rpc::services::{Services, Stop};

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let stop = Shape::structure("Stop", [("force", "Force", Shape::Bool)]);
    vec![
        ("causeway.Stats", Method::new(Shape::Text, stats_shape(), stats)),
        ("causeway.Stop", Method::new(stop, Shape::Bool, self::stop)),
    ]
}

fn stats_shape() -> Shape {
    let latency = Shape::structure(
        "Latency",
        [
            ("p50", "P50", Shape::Float),
            ("p90", "P90", Shape::Float),
            ("p99", "P99", Shape::Float),
            ("max", "Max", Shape::Float),
        ],
    );
    Shape::structure(
        "Stats",
        [
            ("requests", "Requests", Shape::Uint),
            ("failures", "Failures", Shape::Uint),
            ("waiting", "Waiting", Shape::Uint),
            ("target", "Target", Shape::Uint),
            ("tasks", "Tasks", Shape::Uint),
            ("latency", "Latency", latency),
            ("restarts", "Restarts", Shape::Map(Box::new(Shape::Uint))),
        ],
    )
}

/// What the pool has done since the start.
#[derive(Debug, Serialize)]
struct Stats {
    requests: u64,
    failures: u64,
    /// Requests that wait for a worker now.
    waiting: usize,
    /// Configured number of workers.
    target: usize,
    /// The server's own tasks, for those who look for leaks.
    tasks: usize,
    latency: Latency,
    /// Workers that were replaced, by the reason.
    restarts: BTreeMap<&'static str, u64>,
}

/// Of the last ten to twenty seconds, in seconds.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

async fn stats(services: Arc<Services>, _: String) -> Reply<Stats> {
    let snapshot = services.pools.wait().await.snapshot();
    let Some(PoolSnapshot { stats, .. }) = snapshot.pool(PLUGIN) else {
        return Err(format!("there is no pool {PLUGIN}"));
    };
    let latency = [stats.latency.p50, stats.latency.p90, stats.latency.p99, stats.latency.max];
    let [p50, p90, p99, max] = latency.map(|time: Duration| time.as_secs_f64());
    Ok(Stats {
        requests: stats.requests,
        failures: stats.failures,
        waiting: stats.waiting,
        target: stats.target,
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        latency: Latency { p50, p90, p99, max },
        restarts: stats.restarts,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StopRequest {
    /// Now, whatever is in flight.
    force: bool,
}

/// Begins the end; it is answered before that.
async fn stop(services: Arc<Services>, request: StopRequest) -> Reply<bool> {
    let how = if request.force { Stop::AtOnce } else { Stop::Gracefully };
    // In a task of its own, so that a caller who does not read his replies is in nobody's way.
    let sent = tokio::spawn(async move { services.stop.send(how).await.is_ok() });
    if sent.await.unwrap_or(false) { Ok(true) } else { Err("the server ends already".into()) }
}
