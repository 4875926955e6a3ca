//! The figures of this process.

use std::env::consts::{ARCH, OS};
use std::sync::Arc;

use crate::os::this_process;
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// What this process uses: the metrics that dashboards expect of any program.
///
/// Source of names and texts: <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>. RoadRunner's
/// `process_network_*` are left out: they count the traffic of the whole machine.
#[derive(Debug)]
pub(crate) struct Process;

impl Collect for Process {
    fn collect(self: Arc<Self>) -> Collected {
        use CollectorKind::{Counter, Gauge};
        ready(|page| {
            let mut build = FamilyText::new(
                "causeway_build_info",
                Gauge,
                "Version and platform of this build; the value is 1.",
            );
            let labels = [("version", env!("CARGO_PKG_VERSION")), ("os", OS), ("arch", ARCH)];
            build.sample("", labels, 1.0);
            page.add(build);
            let Some(process) = this_process::read() else { return };
            for (name, kind, help, value) in [
                (
                    "cpu_seconds_total",
                    Counter,
                    "Total user and system CPU time spent in seconds.",
                    process.cpu.as_secs_f64(),
                ),
                ("open_fds", Gauge, "Number of open file descriptors.", approximate(process.open_files)),
                (
                    "max_fds",
                    Gauge,
                    "Maximum number of open file descriptors.",
                    approximate(process.max_open_files),
                ),
                (
                    "virtual_memory_bytes",
                    Gauge,
                    "Virtual memory size in bytes.",
                    approximate(process.address_space),
                ),
                (
                    "virtual_memory_max_bytes",
                    Gauge,
                    "Maximum amount of virtual memory available in bytes.",
                    approximate(process.max_address_space),
                ),
                (
                    "resident_memory_bytes",
                    Gauge,
                    "Resident memory size in bytes.",
                    approximate(process.resident),
                ),
                (
                    "start_time_seconds",
                    Gauge,
                    "Start time of the process since unix epoch in seconds.",
                    process.started.as_secs_f64(),
                ),
            ] {
                page.single(&format!("process_{name}"), kind, help, value);
            }
        })
    }
}
