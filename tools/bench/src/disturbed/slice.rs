//! What is seen in a second.

use std::time::Duration;

use serde::Serialize;

use crate::callers::Tally;
use crate::figures::quantile;
use crate::process::Process;
use crate::report::number;

/// What was done to the workers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Disturbance {
    /// Workers killed from outside.
    pub(crate) killed: usize,
    /// Workers that died in a request that asked for it.
    pub(crate) asked: usize,
    /// How long a reset took, if there was one.
    pub(crate) reset: Option<Duration>,
}

/// A second.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Slice {
    /// Seconds since the begin of the soak.
    pub(crate) begin: f64,
    pub(crate) seconds: f64,
    /// Calls that were answered.
    pub(crate) calls: usize,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) slowest_us: f64,
    /// Of the bridge's own process, at its end.
    pub(crate) resident_mb: f64,
    pub(crate) descriptors: usize,
    pub(crate) threads: f64,
    pub(crate) killed: usize,
    pub(crate) asked: usize,
    /// Calls that failed since their worker was killed.
    pub(crate) died: usize,
    /// Calls that failed otherwise.
    pub(crate) failed: usize,
    pub(crate) reset_ms: Option<f64>,
}

impl Slice {
    /// The times are when it began, since the begin of the soak, and how long it took.
    ///
    /// # Errors
    /// If the process has exited.
    pub(crate) fn new(
        process: &Process,
        (begin, time): (Duration, Duration),
        mut tally: Tally,
        disturbance: Disturbance,
    ) -> anyhow::Result<Self> {
        tally.latencies.sort_unstable();
        let latency = |part| quantile(&tally.latencies, part);
        Ok(Self {
            begin: begin.as_secs_f64(),
            seconds: time.as_secs_f64(),
            calls: tally.latencies.len(),
            p50_us: latency(0.5),
            p99_us: latency(0.99),
            slowest_us: latency(1.0),
            resident_mb: process.memory("VmRSS")?,
            descriptors: process.descriptors()?,
            threads: process.threads()?,
            killed: disturbance.killed,
            asked: disturbance.asked,
            died: tally.died,
            failed: tally.failed,
            reset_ms: disturbance.reset.map(|time| time.as_secs_f64() * 1e3),
        })
    }

    /// Seconds from the begin of the soak to its end.
    pub(crate) fn end(&self) -> f64 {
        self.begin + self.seconds
    }

    /// What was seen, in one line.
    pub(crate) fn line(&self) -> String {
        format!(
            "{:.0} s: {} calls/s, p50 {} µs, p99 {} µs, slowest {} µs, {} MB, {} descriptors, {} threads, {} failed",
            self.end(),
            number(self.calls as f64 / self.seconds),
            number(self.p50_us),
            number(self.p99_us),
            number(self.slowest_us),
            number(self.resident_mb),
            self.descriptors,
            self.threads,
            self.died + self.failed
        )
    }
}
