//! The bridge's own metrics: workers under the names of RoadRunner, and what RoadRunner does not tell under `causeway_`.

use super::family::approximate;
use super::text::{FamilyText, Page, number};
use crate::os::this_process;
use crate::pools::{State, Stats, WorkerSnapshot};
use crate::proxy::{BOUNDS, Statistics};
use crate::telemetry::logs::Lost;
use crate::worker::dropped_lines;

/// Writes what workers do and use. Names and texts are those of dashboards made for RoadRunner 2025.1.15.
pub(super) fn workers<'a>(page: &mut Page, workers: impl Iterator<Item = &'a WorkerSnapshot>) {
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
        let mut family = gauge(&format!("rr_centrifugo_{name}"), help);
        family.sample("", [], approximate(value));
        page.add(family);
    }
}

/// Writes what the pool has done.
pub(super) fn pool(page: &mut Page, stats: &Stats) {
    let mut waiting = gauge("causeway_requests_waiting", "Requests that wait for a worker.");
    waiting.sample("", [], approximate(stats.waiting as u64));
    page.add(waiting);
    let mut target = gauge("causeway_workers_target", "Workers that are kept, whatever the load.");
    target.sample("", [], approximate(stats.target as u64));
    page.add(target);
    let mut restarts =
        FamilyText::new("causeway_worker_restarts_total", "counter", "Workers that have left, by reason.");
    for (reason, count) in &stats.restarts {
        restarts.sample("", [("reason", *reason)], approximate(*count));
    }
    page.add(restarts);
}

/// Writes what is missing in the log.
pub(super) fn logs(page: &mut Page) {
    let help = "Lines that are missing in the log, by reason.";
    let mut family = FamilyText::new("causeway_log_lines_dropped_total", "counter", help);
    for (reason, lines) in [
        ("write_failed", Lost::to_failures()),
        ("slow_reader", Lost::to_slow_readers()),
        ("worker_limit", dropped_lines()),
    ] {
        family.sample("", [("reason", reason)], approximate(lines));
    }
    page.add(family);
}

/// Writes how long calls took.
pub(super) fn proxy(page: &mut Page, statistics: &Statistics) {
    let help = "Calls of Centrifugo by type and gRPC code, waiting included.";
    let mut family = FamilyText::new("causeway_request_duration_seconds", "histogram", help);
    for durations in statistics.durations() {
        let labels = [("code", durations.code), ("type", &*durations.kind)];
        let mut total = 0;
        for (bound, count) in BOUNDS.iter().chain([&f64::INFINITY]).zip(&durations.counts) {
            total += count;
            let bound = number(*bound);
            family.sample("_bucket", labels.into_iter().chain([("le", &*bound)]), approximate(total));
        }
        family.sample("_sum", labels, durations.sum);
        family.sample("_count", labels, approximate(total));
    }
    page.add(family);
}

/// Writes what this process uses: what dashboards expect of any program.
///
/// Source of names and texts: <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>. RoadRunner's
/// `process_network_*` are left out: they count what the whole machine sends and receives.
pub(super) fn process(page: &mut Page) {
    let Some(process) = this_process::read() else { return };
    for (name, kind, help, value) in [
        (
            "cpu_seconds_total",
            "counter",
            "Total user and system CPU time spent in seconds.",
            process.cpu.as_secs_f64(),
        ),
        ("open_fds", "gauge", "Number of open file descriptors.", approximate(process.open_files)),
        ("max_fds", "gauge", "Maximum number of open file descriptors.", approximate(process.max_open_files)),
        (
            "virtual_memory_bytes",
            "gauge",
            "Virtual memory size in bytes.",
            approximate(process.address_space),
        ),
        (
            "virtual_memory_max_bytes",
            "gauge",
            "Maximum amount of virtual memory available in bytes.",
            approximate(process.max_address_space),
        ),
        ("resident_memory_bytes", "gauge", "Resident memory size in bytes.", approximate(process.resident)),
        (
            "start_time_seconds",
            "gauge",
            "Start time of the process since unix epoch in seconds.",
            process.started.as_secs_f64(),
        ),
    ] {
        let mut family = FamilyText::new(&format!("process_{name}"), kind, help);
        family.sample("", [], value);
        page.add(family);
    }
}

fn gauge(name: &str, help: &str) -> FamilyText {
    FamilyText::new(name, "gauge", help)
}
