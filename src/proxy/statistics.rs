//! Durations of calls by type, pool and code, and what of them the bridge itself took.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::access;
use super::recording::Recording;
use crate::grpc::CODES;
use crate::pool_names::{ByPool, PoolNames};
use crate::pools::{RequestType, Timings};
use crate::telemetry::histogram::{BOUNDS, STAGE_BOUNDS, SecondsHistogram, StageHistogram};
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, ready};

/// Counts calls. Written by every call, read now and then.
#[derive(Debug)]
pub struct Statistics {
    names: PoolNames,
    pools: ByPool<OfPool>,
}

/// The calls of one pool. One that was refused before it had a pool counts for the default one.
#[derive(Debug, Default)]
struct OfPool {
    /// By their numbers, from the first call of a type on.
    types: [OnceLock<Box<OfType>>; RequestType::COUNT],
}

/// The calls of one type.
#[derive(Debug, Default)]
struct OfType {
    /// By the number of the gRPC code; `CANCELLED` if the caller went away.
    codes: [SecondsHistogram; CODES.len()],
    /// What was neither waiting for a worker nor a worker's time.
    own: StageHistogram,
}

/// A call in flight. When it is dropped without a code, its caller went away.
#[derive(Debug)]
#[must_use = "a call that is dropped at once counts as cancelled"]
pub(super) struct Timed {
    statistics: Arc<Statistics>,
    /// Its type.
    pub(super) label: RequestType,
    /// The number of the pool that answers it.
    pub(super) pool: usize,
    /// How far it has come.
    pub(super) timings: Timings,
    pub(super) arrived: Instant,
    /// Its line in the access log, if there is one.
    pub(super) access: Option<Box<access::Entry>>,
    code: Code,
    /// Its spans, if it is recorded.
    pub(super) recording: Option<Box<Recording>>,
}

impl Statistics {
    /// Counts by these pools, the default one first, and those that are added to them.
    pub(super) fn new(names: PoolNames) -> Arc<Self> {
        Arc::new(Self { names, pools: ByPool::default() })
    }

    /// A call has arrived, of the type of this name.
    pub(super) fn begin(self: &Arc<Self>, kind: &str, arrived: Instant) -> Timed {
        Timed {
            statistics: Arc::clone(self),
            label: RequestType::of(kind),
            pool: 0,
            timings: Timings::default(),
            arrived,
            access: access::Entry::of(kind),
            code: Code::Cancelled,
            recording: None,
        }
    }

    /// Whether calls may go to one pool or another.
    #[inline]
    pub(super) fn has_several_pools(&self) -> bool {
        self.names.are_several()
    }

    /// The name of a pool in log entries; the default pool has none.
    pub(super) fn label_of(&self, pool: usize) -> Option<&str> {
        self.names.label(pool)
    }

    /// The name of the pool that answers a call.
    pub(super) fn pool_of(&self, call: &Timed) -> Option<HeaderValue> {
        HeaderValue::from_str(self.names.name(call.pool)?).ok()
    }

    /// The types that have occurred, by pool.
    fn occurred(&self) -> impl Iterator<Item = (&str, RequestType, &OfType)> {
        self.pools.made().flat_map(|(number, pool)| {
            let name = self.names.name(number).unwrap_or_default();
            let types = RequestType::all().zip(&pool.types);
            types.filter_map(move |(kind, counts)| Some((name, kind, &**counts.get()?)))
        })
    }
}

impl Collect for Statistics {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let mut whole = FamilyText::new(
                "causeway_request_duration_seconds",
                CollectorKind::Histogram,
                "Duration of calls from Centrifugo in seconds, queueing included, by type, pool and gRPC code.",
            );
            let mut own = FamilyText::new(
                "causeway_request_bridge_duration_seconds",
                CollectorKind::Histogram,
                "Duration of calls from Centrifugo in seconds, without queueing and the worker's time, by type and pool.",
            );
            for (pool, kind, counts) in self.occurred() {
                for (code, histogram) in CODES.iter().zip(&counts.codes) {
                    let read = histogram.read();
                    if read.total() > 0 {
                        let labels = [("code", *code), ("pool", pool), ("type", kind.name())];
                        whole.histogram(&labels, &BOUNDS, &read.counts, read.sum.as_secs_f64());
                    }
                }
                let read = counts.own.read();
                let labels = [("pool", pool), ("type", kind.name())];
                own.histogram(&labels, &STAGE_BOUNDS, &read.counts, read.sum.as_secs_f64());
            }
            page.add(whole);
            page.add(own);
        })
    }
}

impl Timed {
    /// The call has ended with this code.
    pub(super) fn end(mut self, code: Code) {
        self.code = code;
    }

    /// The call has ended with this status.
    pub(super) fn end_with(mut self, status: &Status) {
        if let Some(recording) = &mut self.recording {
            recording.fail(status);
        }
        self.end(status.code());
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let Some(pool) = self.statistics.pools.get_or_make(self.pool, OfPool::default) else { return };
        let counts = pool.types[self.label.number()].get_or_init(Box::default);
        let now = Instant::now();
        let whole = now.saturating_duration_since(self.arrived);
        if let Some(recording) = self.recording.take() {
            let name = self.statistics.names.name(self.pool).unwrap_or_default();
            recording.end(name, self.code, &self.timings, [self.arrived, now]);
        }
        if let Some(histogram) = usize::try_from(self.code as i32).ok().and_then(|n| counts.codes.get(n)) {
            histogram.observe(whole);
        }
        counts.own.observe(whole.saturating_sub(self.timings.waited(now) + self.timings.worked(now)));
        if let Some(entry) = self.access.take() {
            entry.log(&self.timings, [self.arrived, now], self.statistics.label_of(self.pool), self.code);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_by_type_pool_and_code() {
        let statistics = Statistics::new(["centrifuge", "centrifuge.x"].into_iter().collect());
        let begin = Instant::now();
        tokio::time::advance(Duration::from_millis(30)).await;
        statistics.begin("connect", begin).end(Code::Ok);
        statistics.begin("connect", begin).end(Code::Ok);
        let mut elsewhere = statistics.begin("rpc", begin);
        elsewhere.pool = 1;
        drop(elsewhere);
        tokio::time::advance(Duration::from_mins(1)).await;
        statistics.begin("connect", begin).end(Code::Unavailable);
        let mut found = Vec::new();
        for (pool, kind, counts) in statistics.occurred() {
            for (code, histogram) in CODES.iter().zip(&counts.codes) {
                let read = histogram.read();
                if let Some(bucket) = read.counts.iter().position(|count| *count > 0) {
                    found.push((pool, kind.name(), *code, bucket, read.total(), read.sum.as_secs_f64()));
                }
            }
        }
        let expected = [
            ("centrifuge", "connect", "OK", 6, 2, 0.06),
            ("centrifuge", "connect", "UNAVAILABLE", 14, 1, 60.03),
            ("centrifuge.x", "rpc", "CANCELLED", 6, 1, 0.03),
        ];
        assert_eq!(found, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_neither_the_queue_nor_the_worker_took_is_the_bridge_s_own() {
        let statistics = Statistics::new(["centrifuge"].into_iter().collect());
        let start = Instant::now();
        let at = |millis| Some(start + Duration::from_millis(millis));
        tokio::time::advance(Duration::from_millis(100)).await;
        let mut answered = statistics.begin("rpc", start);
        (answered.timings.asked, answered.timings.leased) = (at(1), at(41));
        // It had to be converted for its worker.
        (answered.timings.begun, answered.timings.done) = (at(45), at(97));
        answered.end(Code::Ok);
        // Its caller went away while it waited.
        let mut waiting = statistics.begin("rpc", start);
        waiting.timings.asked = at(2);
        drop(waiting);
        let read = statistics.occurred().next().unwrap().2.own.read();
        assert_eq!((read.total(), read.sum), (2, Duration::from_millis(8 + 2)));
    }

    #[test]
    fn invented_types_share_one_label() {
        let statistics = Statistics::new(["centrifuge"].into_iter().collect());
        for number in 0..1000 {
            statistics.begin(&format!("type{number}"), Instant::now()).end(Code::Ok);
        }
        statistics.begin("connect", Instant::now()).end(Code::Ok);
        let found: Vec<_> =
            statistics.occurred().map(|(_, kind, counts)| (kind.name(), counts.own.read().total())).collect();
        assert_eq!(found, [("connect", 1), ("other", 1000)]);
    }
}
