//! The figures of all pools for the metrics page: RoadRunner's series about workers, of all pools together, and by pool under `causeway_` what
//! RoadRunner does not have.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::directory::UpcomingPools;
use super::snapshot::{Snapshot, WorkerSnapshot};
use crate::pool::{Stats, TypeStats};
use crate::telemetry::histogram::{BOUNDS, STAGE_BOUNDS};
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
    }
    for family in [ready, waiting, in_flight, capacity, target, workers] {
        page.add(family);
    }
    write_stages(page, snapshot);
    write_by_reason(page, snapshot);
    write_totals(page, snapshot);
}

fn write_stages(page: &mut Page, snapshot: &Snapshot) {
    let mut waits = histogram(
        "causeway_request_queue_duration_seconds",
        "Time that requests waited for a worker in seconds, by pool and type.",
    );
    let mut works = histogram(
        "causeway_request_worker_duration_seconds",
        "Time that workers took for requests in seconds, by pool and type.",
    );
    let mut boots = histogram(
        "causeway_worker_boot_duration_seconds",
        "Time that workers took to become ready in seconds.",
    );
    for pool in &snapshot.pools {
        let name = ("pool", &*pool.name);
        for TypeStats { kind, waits: waited, works: worked } in &pool.stats.types {
            let labels = [name, ("type", kind.name())];
            waits.histogram(&labels, &STAGE_BOUNDS, &waited.counts, waited.sum.as_secs_f64());
            works.histogram(&labels, &STAGE_BOUNDS, &worked.counts, worked.sum.as_secs_f64());
        }
        let booted = &pool.stats.boots;
        boots.histogram(&[name], &BOUNDS, &booted.counts, booted.sum.as_secs_f64());
    }
    for family in [waits, works, boots] {
        page.add(family);
    }
}

/// The name of a counter, its help text, and its values by reason.
type ByReason = (&'static str, &'static str, fn(&Stats) -> &BTreeMap<&'static str, u64>);

fn write_by_reason(page: &mut Page, snapshot: &Snapshot) {
    let counters: [ByReason; 3] = [
        ("causeway_worker_restarts_total", "Number of workers that have exited, by reason.", |stats| {
            &stats.restarts
        }),
        ("causeway_requests_rejected_total", "Number of requests that got no worker, by reason.", |stats| {
            &stats.rejections
        }),
        (
            "causeway_worker_frames_dropped_total",
            "Number of frames from workers that were dropped, by reason.",
            |stats| &stats.frames_dropped,
        ),
    ];
    for (name, help, read) in counters {
        let mut family = counter(name, help);
        for pool in &snapshot.pools {
            for (reason, count) in read(&pool.stats) {
                family.sample("", [("pool", &*pool.name), ("reason", *reason)], approximate(*count));
            }
        }
        page.add(family);
    }
}

/// The name of a counter, its help text, and its value.
type Total = (&'static str, &'static str, fn(&Stats) -> f64);

fn write_totals(page: &mut Page, snapshot: &Snapshot) {
    let counters: [Total; 4] = [
        (
            "causeway_busy_seconds_total",
            "Time that requests were in flight in workers, in seconds.",
            |stats| stats.busy.as_secs_f64(),
        ),
        (
            "causeway_capacity_seconds_total",
            "Time that requests could have been in flight in workers, in seconds.",
            |stats| stats.capacity.as_secs_f64(),
        ),
        ("causeway_worker_boot_failures_total", "Number of workers that did not become ready.", |stats| {
            approximate(stats.boot_failures)
        }),
        (
            "causeway_worker_noise_bytes_total",
            "Number of bytes that workers printed between frames.",
            |stats| approximate(stats.noise_bytes),
        ),
    ];
    for (name, help, read) in counters {
        let mut family = counter(name, help);
        for pool in &snapshot.pools {
            family.sample("", [("pool", &*pool.name)], read(&pool.stats));
        }
        page.add(family);
    }
}

fn gauge(name: &str, help: &str) -> FamilyText {
    FamilyText::new(name, CollectorKind::Gauge, help)
}

fn counter(name: &str, help: &str) -> FamilyText {
    FamilyText::new(name, CollectorKind::Counter, help)
}

fn histogram(name: &str, help: &str) -> FamilyText {
    FamilyText::new(name, CollectorKind::Histogram, help)
}
