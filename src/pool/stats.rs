//! What the pool has done so far, in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::request_type::RequestType;
use crate::telemetry::histogram::Counts;

/// The pool's numbers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that wait for a worker.
    pub waiting: usize,
    /// Configured number of workers.
    pub target: usize,
    /// Requests that were answered or failed so far; those whose callers went away before are not among them.
    pub requests: u64,
    /// Requests that failed so far.
    pub failures: u64,
    /// How long requests took lately, waiting included.
    pub latency: Latency,
    /// How many workers have left so far, by the reason's name.
    pub restarts: BTreeMap<&'static str, u64>,
    /// How long requests waited and were worked on, by type; those of types that have not occurred are left out.
    pub(crate) types: Vec<TypeStats>,
    /// Requests that got no worker so far, by reason.
    pub rejections: BTreeMap<&'static str, u64>,
    /// For how long workers had requests in hand so far; each request counts by itself.
    pub busy: Duration,
    /// For how long they could have had so far; each request that a worker may have in hand counts by itself.
    pub capacity: Duration,
    /// How long the workers that have become ready took for that.
    pub(crate) boots: Counts,
    /// Workers that did not become ready so far.
    pub boot_failures: u64,
    /// Frames of workers that were dropped so far, by reason.
    pub frames_dropped: BTreeMap<&'static str, u64>,
    /// Bytes of text that workers have sent between frames so far.
    pub noise_bytes: u64,
}

/// The requests of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TypeStats {
    /// The type.
    pub(crate) kind: RequestType,
    /// How long they waited for a worker, by `histogram::STAGE_BOUNDS`.
    pub(crate) waits: Counts,
    /// How long workers worked on them; those whose callers have gone are among them.
    pub(crate) works: Counts,
}

/// How long requests took in the last ten seconds, or since the reading before; zero when there were none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Latency {
    /// The median.
    pub p50: Duration,
    /// The 90th percentile.
    pub p90: Duration,
    /// The 99th percentile.
    pub p99: Duration,
    /// The slowest.
    pub max: Duration,
}

impl Stats {
    /// How long requests of all types waited for a worker, by `histogram::STAGE_BOUNDS`.
    pub(crate) fn waits(&self) -> Counts {
        self.sum(|counts| &counts.waits)
    }

    /// How long workers worked on requests of all types.
    pub(crate) fn works(&self) -> Counts {
        self.sum(|counts| &counts.works)
    }

    fn sum(&self, of: impl Fn(&TypeStats) -> &Counts) -> Counts {
        let mut sum = Counts::default();
        self.types.iter().for_each(|counts| sum.add(of(counts)));
        sum
    }
}
