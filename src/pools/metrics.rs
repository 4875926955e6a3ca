//! The figures of all pools for the metrics page: RoadRunner's series about workers, and what RoadRunner does not have under `causeway_`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::directory::UpcomingPools;
use super::snapshot::{Snapshot, WorkerSnapshot};
use crate::telemetry::metrics::{self, Collect, Collected, CollectorKind, FamilyText, Page, approximate};
use crate::worker::State;

/// The figures of all pools; there are no workers until they are started.
#[derive(Debug)]
pub(crate) struct Figures(pub(crate) UpcomingPools);

impl Collect for Figures {
    fn collect(self: Arc<Self>) -> Collected {
        Box::pin(async move {
            let snapshot = match self.0.get() {
                Some(pools) => Some(pools.measured_snapshot().await),
                None => None,
            };
            Box::new(move |page: &mut Page| {
                write_workers(page, snapshot.iter().flat_map(Snapshot::workers));
                if let Some(snapshot) = &snapshot {
                    write_stats(page, snapshot);
                }
            }) as metrics::Figures
        })
    }
}

/// Source of names and texts: RoadRunner 2025.1.15, so that dashboards made for it need no change.
fn write_workers<'a>(page: &mut Page, workers: impl Iterator<Item = &'a WorkerSnapshot>) {
    let mut memory = gauge("rr_centrifugo_worker_memory_bytes", "Worker current memory usage");
    let mut state = gauge("rr_centrifugo_worker_state", "Worker current state");
    let (mut total, mut bytes, mut ready, mut working, mut invalid) = (0, 0, 0, 0, 0);
    for WorkerSnapshot { info, usage, .. } in workers {
        let (pid, current) = (info.pid.to_string(), info.state);
        memory.sample("", [("pid", &*pid)], approximate(usage.resident));
        // The state is in the label; the value says nothing.
        state.sample("", [("pid", &*pid), ("state", current.name())], 0.0);
        total += 1;
        bytes += usage.resident;
        match current {
            State::Ready => ready += 1,
            State::Working => working += 1,
            _ => invalid += 1,
        }
    }
    page.add(memory);
    page.add(state);
    for (name, help, value) in [
        ("total_workers", "Total number of workers used by the Centrifugo plugin", total),
        ("workers_memory_bytes", "Memory usage by Centrifugo workers.", bytes),
        ("workers_ready", "Centrifugo workers currently in ready state", ready),
        ("workers_working", "Centrifugo workers currently in working state", working),
        (
            "workers_invalid",
            "Centrifugo workers currently in invalid,killing,destroyed,errored,inactive states",
            invalid,
        ),
    ] {
        page.single(&format!("rr_centrifugo_{name}"), CollectorKind::Gauge, help, approximate(value));
    }
}

fn write_stats(page: &mut Page, snapshot: &Snapshot) {
    let (mut waiting, mut target, mut restarts) = (0, 0, BTreeMap::new());
    for pool in &snapshot.pools {
        waiting += pool.stats.waiting;
        target += pool.stats.target;
        for (reason, count) in &pool.stats.restarts {
            *restarts.entry(*reason).or_default() += *count;
        }
    }
    for (name, help, value) in [
        ("causeway_requests_waiting", "Number of requests waiting for a worker.", waiting),
        ("causeway_workers_target", "Configured number of workers.", target),
    ] {
        page.single(name, CollectorKind::Gauge, help, approximate(value as u64));
    }
    let mut family = FamilyText::new(
        "causeway_worker_restarts_total",
        CollectorKind::Counter,
        "Number of workers that have exited, by reason.",
    );
    for (reason, count) in restarts {
        family.sample("", [("reason", reason)], approximate(count));
    }
    page.add(family);
}

fn gauge(name: &str, help: &str) -> FamilyText {
    FamilyText::new(name, CollectorKind::Gauge, help)
}
