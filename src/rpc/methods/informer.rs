//! `informer`: lists workers, and adds or removes one. What RoadRunner calls a plugin is a pool here.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use crate::compat::Compat;
use crate::pools::{self, WorkerSnapshot};
use crate::rpc::codec::Shape;
use crate::rpc::method::Method;
use crate::rpc::services::Services;

pub(super) fn methods() -> Vec<(&'static str, Method)> {
    vec![
        (
            "informer.List",
            Method::new(Shape::Bool, Shape::list(Shape::Text), |services, _: bool| async move {
                Ok::<_, Infallible>(services.pools.names())
            }),
        ),
        ("informer.Workers", Method::new(Shape::Text, workers_shape(), workers)),
        (
            "informer.Jobs",
            Method::new(Shape::Text, Shape::list(job_shape()), |_, _: String| async {
                Ok::<_, Infallible>([(); 0])
            }),
        ),
        (
            "informer.AddWorker",
            Method::new(Shape::Text, Shape::Bool, |services, plugin| resize(services, plugin, true)),
        ),
        (
            "informer.RemoveWorker",
            Method::new(Shape::Text, Shape::Bool, |services, plugin| resize(services, plugin, false)),
        ),
    ]
}

/// `{"workers": [...]}`, as RoadRunner's `process.State` is declared.
fn workers_shape() -> Shape {
    let state = Shape::structure(
        "State",
        [
            ("pid", "Pid", Shape::Int),
            ("status", "Status", Shape::Int),
            ("numExecs", "NumExecs", Shape::Uint),
            ("created", "Created", Shape::Int),
            ("memoryUsage", "MemoryUsage", Shape::Uint),
            ("CPUPercent", "CPUPercent", Shape::Float),
            ("command", "Command", Shape::Text),
            ("statusStr", "StatusStr", Shape::Text),
        ],
    );
    Shape::structure("WorkerList", [("workers", "Workers", Shape::list(state))])
}

/// A queue of RoadRunner's `jobs`. There are none here, but clients expect a list.
fn job_shape() -> Shape {
    Shape::structure(
        "State",
        [
            ("pipeline", "Pipeline", Shape::Text),
            ("driver", "Driver", Shape::Text),
            ("queue", "Queue", Shape::Text),
            ("active", "Active", Shape::Int),
            ("delayed", "Delayed", Shape::Int),
            ("reserved", "Reserved", Shape::Int),
            ("ready", "Ready", Shape::Bool),
            ("priority", "Priority", Shape::Uint),
            ("error_message", "ErrorMessage", Shape::Text),
        ],
    )
}

#[derive(Debug, Serialize)]
struct WorkerList {
    workers: Vec<Worker>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Worker {
    pid: u32,
    status: u8,
    num_execs: u64,
    /// Nanoseconds since the Unix epoch.
    created: u64,
    /// Resident memory in bytes, of the worker's whole process group.
    memory_usage: u64,
    /// CPU usage of one core, averaged over the worker's life.
    #[serde(rename = "CPUPercent")]
    cpu_percent: f64,
    command: String,
    status_str: &'static str,
}

/// The workers of a pool; an empty list for an unknown one.
async fn workers(services: Arc<Services>, plugin: String) -> Result<WorkerList, Infallible> {
    let pools = services.pools.wait().await;
    if pools.get(&plugin).is_none() {
        return Ok(WorkerList { workers: Vec::new() });
    }
    let snapshot = pools.measured_snapshot().await;
    let workers = snapshot.pool(&plugin).map_or_else(Vec::new, |pool| {
        pool.workers.iter().map(|worker| describe(worker, &pool.command)).collect()
    });
    Ok(WorkerList { workers })
}

fn describe(WorkerSnapshot { info, usage, .. }: &WorkerSnapshot, command: &str) -> Worker {
    let created = info.created.duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = info.age.max(Duration::from_millis(1));
    Worker {
        pid: info.pid,
        status: info.state as u8,
        num_execs: info.executions,
        created: u64::try_from(created.as_nanos()).unwrap_or(u64::MAX),
        memory_usage: usage.resident,
        cpu_percent: usage.cpu.as_secs_f64() / age.as_secs_f64() * 100.0,
        command: command.to_owned(),
        status_str: info.state.name(),
    }
}

/// Why no worker was added or removed.
#[derive(Debug, thiserror::Error)]
enum ResizeError {
    /// The text is RoadRunner's.
    #[error("{}", unmanaged(plugin, *compat))]
    NoSuchPlugin { plugin: String, compat: Compat },
    #[error(transparent)]
    Pool(#[from] pools::ResizeError),
}

fn unmanaged(plugin: &str, compat: Compat) -> String {
    match compat {
        Compat::V2025 => format!("plugin {plugin} does not support workers management"),
        Compat::V3 => format!("plugin does not support workers management: {plugin}"),
    }
}

/// Adds a worker or removes one; false when it was the last one, which stays.
async fn resize(services: Arc<Services>, plugin: String, more: bool) -> Result<bool, ResizeError> {
    let Some(pool) = services.pools.wait().await.get(&plugin) else {
        return Err(ResizeError::NoSuchPlugin { plugin, compat: services.compat });
    };
    Ok(pool.resize(more).await?)
}
