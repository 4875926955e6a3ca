//! `causeway`: what RoadRunner's services lack; used by the command line.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::compat::PLUGIN;
use crate::pools::PoolSnapshot;
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;
use crate::rpc::services::{Services, Stop};

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    let stop = Shape::structure("Stop", [("force", "Force", Shape::Bool)]);
    vec![
        ("causeway.Stats", Method::new(Shape::Text, stats_shape(), stats)),
        (
            "causeway.Snapshot",
            Method::new(Shape::Bool, Shape::Text, |services, _: bool| async move {
                Ok::<_, Infallible>(text(&services.overview.snapshot().await))
            }),
        ),
        (
            "causeway.History",
            Method::new(Shape::Bool, Shape::Text, |services, _: bool| async move {
                Ok::<_, Infallible>(text(&services.overview.history().await))
            }),
        ),
        ("causeway.Stop", Method::new(stop, Shape::Bool, self::stop)),
        ("causeway.Reload", Method::new(Shape::Bool, Shape::Text, reload)),
        ("causeway.Upgrade", Method::new(Shape::Bool, upgrade_shape(), upgrade)),
    ]
}

fn upgrade_shape() -> Shape {
    Shape::structure("Upgrade", [("pid", "Pid", Shape::Uint), ("locks", "Locks", Shape::Uint)])
}

/// A document as one text: its fields are those of the page's data, and clients decode it as JSON, whatever the codec of the call.
fn text(json: &[u8]) -> String {
    String::from_utf8_lossy(json).into_owned()
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
            ("inHand", "InHand", Shape::Uint),
            ("capacity", "Capacity", Shape::Uint),
            ("workers", "Workers", Shape::Map(Box::new(Shape::Uint))),
            ("target", "Target", Shape::Uint),
            ("streams", "Streams", Shape::Uint),
            ("tasks", "Tasks", Shape::Uint),
            ("latency", "Latency", latency),
            ("restarts", "Restarts", Shape::Map(Box::new(Shape::Uint))),
        ],
    )
}

/// Counts since the start, and the state of the pool.
#[derive(Debug, Serialize)]
struct Stats {
    requests: u64,
    failures: u64,
    /// Requests that wait for a worker.
    waiting: usize,
    /// Requests that workers have in hand.
    #[serde(rename = "inHand")]
    in_hand: usize,
    /// Requests that workers may have in hand.
    capacity: usize,
    /// Requests in hand by worker, named by its pid.
    workers: BTreeMap<String, usize>,
    /// Configured number of workers.
    target: usize,
    /// Open subscription streams.
    streams: usize,
    /// The server's own tasks, to find leaks.
    tasks: usize,
    latency: Latency,
    /// Replaced workers by reason.
    restarts: BTreeMap<&'static str, u64>,
}

/// In seconds, over the last ten to twenty seconds.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

/// There is no pool of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no pool {0}")]
struct NoPool(String);

/// The counts of a pool, the default one unless it is named.
async fn stats(services: Arc<Services>, mut name: String) -> Result<Stats, NoPool> {
    if name.is_empty() {
        PLUGIN.clone_into(&mut name);
    }
    let open = services.streams.open(&name);
    let snapshot = services.pools.wait().await.snapshot();
    let pool = snapshot.pool(&name).ok_or(NoPool(name))?;
    let (in_hand, capacity) = (pool.in_hand(), pool.capacity());
    let PoolSnapshot { stats, workers, .. } = pool;
    let latency = [stats.latency.p50, stats.latency.p90, stats.latency.p99, stats.latency.max];
    let [p50, p90, p99, max] = latency.map(|time: Duration| time.as_secs_f64());
    Ok(Stats {
        requests: stats.requests,
        failures: stats.failures,
        waiting: stats.waiting,
        in_hand,
        capacity,
        workers: workers.iter().map(|worker| (worker.info.pid.to_string(), worker.info.in_hand)).collect(),
        target: stats.target,
        streams: open.owned + open.held,
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        latency: Latency { p50, p90, p99, max },
        restarts: stats.restarts,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct StopRequest {
    /// At once, whatever is in flight.
    force: bool,
}

/// The server shuts down already.
#[derive(Debug, thiserror::Error)]
#[error("the server is already shutting down")]
struct AlreadyStopping;

/// Reloads the configuration. Returns a report as JSON, also when there are mistakes in it.
async fn reload(services: Arc<Services>, _: bool) -> Result<String, AlreadyStopping> {
    let (reply, report) = oneshot::channel();
    // In a task of its own, like a stop.
    tokio::spawn(async move { services.reload.send(reply).await });
    report.await.map_err(|_| AlreadyStopping)
}

/// Starts the shutdown, and answers before it.
async fn stop(services: Arc<Services>, request: StopRequest) -> Result<bool, AlreadyStopping> {
    let how = if request.force { Stop::AtOnce } else { Stop::Gracefully };
    // In a task of its own, since this future is not polled while its caller does not read replies.
    let sent = tokio::spawn(async move { services.stop.send(how).await.is_ok() });
    if sent.await.unwrap_or(false) { Ok(true) } else { Err(AlreadyStopping) }
}

/// The server that has taken over.
#[derive(Debug, Serialize)]
struct Upgrade {
    pid: u32,
    /// Locks in the memory of the old server, which the new one does not know.
    locks: usize,
}

/// No other server has taken over.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotUpgraded(String);

/// Has a new server take over, and answers when it has.
async fn upgrade(services: Arc<Services>, _: bool) -> Result<Upgrade, NotUpgraded> {
    let (reply, outcome) = oneshot::channel();
    // In a task of its own, since this future is not polled while its caller does not read replies.
    let sent = tokio::spawn(async move { services.upgrade.send(reply).await });
    let stopping = || NotUpgraded("the server is shutting down".into());
    sent.await.map_err(|_| stopping())?.map_err(|_| stopping())?;
    let (pid, locks) = outcome.await.map_err(|_| stopping())?.map_err(NotUpgraded)?;
    Ok(Upgrade { pid, locks })
}
