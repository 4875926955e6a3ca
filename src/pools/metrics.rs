//! The figures of all pools for the metrics page: RoadRunner's series about workers, of all pools together, and by pool under `causeway_` what
//! RoadRunner does not have.

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
    let mut ready = gauge("causeway_pool_ready", "Whether the pool serves requests: 1 or 0.");
    let mut waiting = gauge("causeway_requests_waiting", "Number of requests waiting for a worker.");
    let mut in_flight = gauge("causeway_requests_in_flight", "Number of requests in flight in workers.");
    let mut capacity = gauge("causeway_capacity", "Number of requests that workers may have in flight.");
    let mut target = gauge("causeway_workers_target", "Configured number of workers.");
    let mut workers = gauge("causeway_workers", "Number of workers, by state.");
    let mut restarts = FamilyText::new(
        "causeway_worker_restarts_total",
        CollectorKind::Counter,
        "Number of workers that have exited, by reason.",
    );
    for pool in &snapshot.pools {
        let (name, stats) = (("pool", &*pool.name), &pool.stats);
        ready.sample("", [name], if pool.is_ready { 1.0 } else { 0.0 });
        waiting.sample("", [name], approximate(stats.waiting as u64));
        in_flight.sample("", [name], approximate(pool.in_hand() as u64));
        capacity.sample("", [name], approximate(pool.capacity() as u64));
        target.sample("", [name], approximate(stats.target as u64));
        let mut by_state = BTreeMap::from([(State::Ready.name(), 0), (State::Working.name(), 0)]);
        for worker in &pool.workers {
            *by_state.entry(worker.info.state.name()).or_default() += 1;
        }
        for (state, count) in by_state {
            workers.sample("", [name, ("state", state)], approximate(count));
        }
        for (reason, count) in &stats.restarts {
            restarts.sample("", [name, ("reason", *reason)], approximate(*count));
        }
    }
    for family in [ready, waiting, in_flight, capacity, target, workers, restarts] {
        page.add(family);
    }
}

fn gauge(name: &str, help: &str) -> FamilyText {
    FamilyText::new(name, CollectorKind::Gauge, help)
}
