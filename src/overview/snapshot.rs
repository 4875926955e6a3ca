//! The state of the bridge at one moment, as a document. docs/reference/page.md describes its fields.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::clock::seconds;
use super::history::BridgeValues;
use super::operations::Operation;
use super::problems::{Problem, serving};
use super::recent::{ShownDeath, ShownSlow};
use super::reloads::Configuration;
use super::sampler::Percentiles;
use super::usage::{Consumption, Usages};
use crate::os::this_process::ThisProcess;
use crate::pools::{PoolSnapshot, Stats, WorkerSnapshot};

/// The number of workers of one pool that are listed; more are only counted.
const MAX_WORKERS: usize = 256;

/// All of it. Times are seconds since 1970, durations are seconds, sizes are bytes.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    pub(super) at: f64,
    /// Another one after each start of the server.
    pub(super) instance: String,
    /// By a clock that is not set.
    pub(super) uptime: f64,
    pub(super) state: Phase,
    pub(super) problems: Vec<Problem>,
    pub(super) bridge: Option<Bridge>,
    pub(super) pools: Vec<Pool>,
    /// The latest first.
    pub(super) deaths: Vec<ShownDeath>,
    pub(super) slow: Vec<ShownSlow>,
    /// Calls to Centrifugo's API, and of RPC.
    pub(super) calls: Option<Calls>,
    pub(super) configuration: Configuration,
    pub(super) operations: Vec<Operation>,
    /// The last point of the history.
    pub(super) history: Value,
}

/// What the server is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Phase {
    Starting,
    Serving,
    Stopping,
}

/// The server's own process.
#[derive(Debug, Serialize)]
pub(super) struct Bridge {
    memory: u64,
    /// Percent of one core, lately.
    cpu: f64,
    open_files: u64,
    max_open_files: u64,
    tasks: usize,
}

/// Calls per second.
#[derive(Debug, Serialize)]
pub(super) struct Calls {
    api: f64,
    api_failures: f64,
    rpc: f64,
    rpc_failures: f64,
}

#[derive(Debug, Serialize)]
pub(super) struct Pool {
    name: String,
    ready: bool,
    required: bool,
    command: String,
    /// The configured number of workers.
    target: usize,
    /// Workers that take requests.
    serving: usize,
    requests: u64,
    failures: u64,
    requests_per_second: Option<f64>,
    failures_per_second: Option<f64>,
    waiting: usize,
    in_hand: usize,
    capacity: usize,
    latency: Latency,
    /// How long requests waited for a worker lately, and how long workers took; null if there were none.
    wait: Option<Times>,
    worker: Option<Times>,
    /// Requests that got no worker, by reason.
    rejections: BTreeMap<&'static str, u64>,
    boot_failures: u64,
    /// The last start of a worker that failed.
    failed_boot: Option<FailedBoot>,
    /// Workers that have exited, by reason.
    restarts: BTreeMap<&'static str, u64>,
    workers: Vec<Worker>,
    /// Workers that are not listed.
    more_workers: usize,
}

/// How long requests took lately.
#[derive(Debug, Serialize)]
struct Latency {
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

#[derive(Debug, Serialize)]
struct FailedBoot {
    at: f64,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Times {
    p50: f64,
    p99: f64,
}

#[derive(Debug, Serialize)]
struct Worker {
    pid: u32,
    state: &'static str,
    /// Whether it leaves after the requests in hand.
    leaving: bool,
    age: f64,
    requests: u64,
    in_hand: usize,
    concurrency: usize,
    memory: Option<u64>,
    /// Percent of one core, lately.
    cpu: Option<f64>,
    /// The oldest request in hand.
    current: Option<Current>,
}

#[derive(Debug, Serialize)]
struct Current {
    #[serde(rename = "type")]
    kind: &'static str,
    /// For how long the worker has had it.
    elapsed: f64,
}

/// What is known of a pool besides its snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context {
    /// Requests and failures per second.
    pub(super) rates: Option<(f64, f64)>,
    pub(super) percentiles: Percentiles,
}

impl Calls {
    pub(super) fn new([api, api_failures, rpc, rpc_failures]: BridgeValues) -> Self {
        Self { api, api_failures, rpc, rpc_failures }
    }
}

impl Bridge {
    pub(super) fn new(process: &ThisProcess, cpu: f64) -> Self {
        let ThisProcess { resident, open_files, max_open_files, .. } = *process;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        Self { memory: resident, cpu, open_files, max_open_files, tasks }
    }
}

impl Pool {
    pub(super) fn new(pool: PoolSnapshot, usages: &Usages, context: Context) -> Self {
        let Context { rates, percentiles: Percentiles { wait, worker } } = context;
        let (in_hand, capacity, serving) = (pool.in_hand(), pool.capacity(), serving(&pool));
        let more_workers = pool.workers.len().saturating_sub(MAX_WORKERS);
        let workers = pool.workers.iter().take(MAX_WORKERS);
        let workers = workers.map(|worker| Worker::new(worker, usages.of(worker.info.group))).collect();
        let PoolSnapshot { name, is_required, is_ready, command, stats, recent, .. } = pool;
        let failed_boot = recent
            .failed_boot
            .map(|failed| FailedBoot { at: seconds(failed.at), reason: failed.reason.clone() });
        let Stats {
            waiting, target, requests, failures, latency, restarts, rejections, boot_failures, ..
        } = stats;
        let [p50, p90, p99, max] =
            [latency.p50, latency.p90, latency.p99, latency.max].map(|time: Duration| time.as_secs_f64());
        Self {
            name,
            ready: is_ready,
            required: is_required,
            command,
            target,
            serving,
            requests,
            failures,
            requests_per_second: rates.map(|(requests, _)| requests),
            failures_per_second: rates.map(|(_, failures)| failures),
            waiting,
            in_hand,
            capacity,
            latency: Latency { p50, p90, p99, max },
            wait: wait.map(|[p50, p99]| Times { p50, p99 }),
            worker: worker.map(|[p50, p99]| Times { p50, p99 }),
            rejections,
            boot_failures,
            failed_boot,
            restarts,
            workers,
            more_workers,
        }
    }
}

impl Worker {
    fn new(WorkerSnapshot { info, .. }: &WorkerSnapshot, usage: Option<Consumption>) -> Self {
        Self {
            pid: info.pid,
            state: info.state.name(),
            leaving: info.is_retiring,
            age: info.age.as_secs_f64(),
            requests: info.executions,
            in_hand: info.in_hand,
            concurrency: info.concurrency,
            memory: usage.map(|usage| usage.resident),
            cpu: usage.map(|usage| usage.cpu),
            current: info
                .current
                .map(|current| Current { kind: current.kind.name(), elapsed: current.elapsed.as_secs_f64() }),
        }
    }
}
