//! Durations of calls by type, pool and code.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use http::HeaderValue;
use tokio::time::Instant;
use tonic::Code;

use crate::grpc::CODES;
use crate::pools::TYPES;
use crate::telemetry::histogram::{BOUNDS, Counts, SecondsHistogram};
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, ready};

/// Other types, say of a later Centrifugo, that get a label of their own, at most. Callers choose the names, so the rest share [`OTHER`].
const MAX_UNKNOWN: usize = 16;

/// Bytes of an unknown type that gets a label of its own, at most.
const MAX_NAME: usize = 64;

/// The label of all other types.
const OTHER: &str = "other";

/// Counts calls. Written by every call, read now and then.
#[derive(Debug)]
pub struct Statistics {
    pools: Box<[String]>,
    /// Centrifugo's own types: each always has a label of its own.
    known: [Arc<OfType>; TYPES.len()],
    /// Bounded by [`MAX_UNKNOWN`].
    unknown: RwLock<Vec<Arc<OfType>>>,
    other: Arc<OfType>,
}

/// The calls of one type that one pool answered with one code.
#[derive(Debug)]
struct Durations {
    /// The pool's name. A call that was refused before it had a pool counts for the default one.
    pool: String,
    /// The type, as workers read it.
    kind: String,
    /// The gRPC code; `CANCELLED` if the caller went away.
    code: &'static str,
    counts: Counts,
}

#[derive(Debug)]
struct OfType {
    kind: String,
    /// By the numbers of the pools, from the first call on that a pool has answered.
    pools: Box<[OnceLock<Box<ByCode>>]>,
}

type ByCode = [SecondsHistogram; CODES.len()];

/// A call in flight. When it is dropped without a code, its caller went away.
#[derive(Debug)]
#[must_use = "a call that is dropped at once counts as cancelled"]
pub(super) struct Timed {
    of_type: Arc<OfType>,
    /// The number of the pool that answers it.
    pub(super) pool: usize,
    arrived: Instant,
    code: Code,
}

impl Statistics {
    /// Counts by these pools, the default one first.
    pub(super) fn new(pools: &[String]) -> Self {
        let of_type = |kind| OfType::new(kind, pools.len());
        Self {
            pools: pools.into(),
            known: TYPES.map(|(kind, _)| of_type(kind)),
            unknown: RwLock::default(),
            other: of_type(OTHER),
        }
    }

    /// A call has arrived.
    pub(super) fn begin(&self, kind: &str, arrived: Instant) -> Timed {
        Timed { of_type: self.of_type(kind), pool: 0, arrived, code: Code::Cancelled }
    }

    /// Whether calls may go to one pool or another.
    #[inline]
    pub(super) fn has_several_pools(&self) -> bool {
        self.pools.len() > 1
    }

    /// The name of a pool in log entries; the default pool has none.
    pub(super) fn label_of(&self, pool: usize) -> Option<&str> {
        self.pools.get(pool).filter(|_| pool > 0).map(String::as_str)
    }

    /// The name of the pool that answers a call.
    pub(super) fn pool_of(&self, call: &Timed) -> Option<HeaderValue> {
        HeaderValue::from_str(self.pools.get(call.pool)?).ok()
    }

    /// The counts so far, without those that never occurred.
    fn durations(&self) -> Vec<Durations> {
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let types = self.known.iter().chain(&unknown).chain([&self.other]);
        let all = types.flat_map(|of_type| {
            let pools = self.pools.iter().zip(&of_type.pools);
            let pools = pools.filter_map(|(pool, codes)| Some((pool, codes.get()?)));
            pools.flat_map(|(pool, codes)| {
                CODES.into_iter().zip(&**codes).map(|(code, histogram)| Durations {
                    pool: pool.clone(),
                    kind: of_type.kind.clone(),
                    code,
                    counts: histogram.read(),
                })
            })
        });
        all.filter(|durations| durations.counts.counts.iter().any(|count| *count > 0)).collect()
    }

    fn of_type(&self, kind: &str) -> Arc<OfType> {
        if let Some(known) = self.known.iter().find(|known| known.kind == kind) {
            return Arc::clone(known);
        }
        if kind.len() > MAX_NAME || !kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Arc::clone(&self.other);
        }
        let find = |types: &[Arc<OfType>]| types.iter().find(|seen| seen.kind == kind).cloned();
        let (seen, is_full) = {
            let types = self.unknown.read().unwrap_or_else(PoisonError::into_inner);
            (find(&types), types.len() >= MAX_UNKNOWN)
        };
        seen.or_else(|| is_full.then(|| Arc::clone(&self.other))).unwrap_or_else(|| {
            let mut types = self.unknown.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(seen) = find(&types) {
                return seen;
            }
            if types.len() >= MAX_UNKNOWN {
                return Arc::clone(&self.other);
            }
            let of_type = OfType::new(kind, self.pools.len());
            types.push(Arc::clone(&of_type));
            of_type
        })
    }
}

impl Collect for Statistics {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let mut family = FamilyText::new(
                "causeway_request_duration_seconds",
                CollectorKind::Histogram,
                "Duration of calls from Centrifugo in seconds, queueing included, by type, pool and gRPC code.",
            );
            for Durations { pool, kind, code, counts } in &self.durations() {
                let labels = [("code", *code), ("pool", &**pool), ("type", &**kind)];
                family.histogram(&labels, &BOUNDS, &counts.counts, counts.sum.as_secs_f64());
            }
            page.add(family);
        })
    }
}

impl OfType {
    fn new(kind: &str, pools: usize) -> Arc<Self> {
        Arc::new(Self { kind: kind.to_owned(), pools: (0..pools).map(|_| OnceLock::new()).collect() })
    }
}

impl Timed {
    /// The call has ended with this code.
    pub(super) fn end(mut self, code: Code) {
        self.code = code;
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        let Some(codes) = self.of_type.pools.get(self.pool) else { return };
        let codes = codes.get_or_init(Box::default);
        if let Some(histogram) = usize::try_from(self.code as i32).ok().and_then(|n| codes.get(n)) {
            histogram.observe(self.arrived.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_by_type_pool_and_code() {
        let statistics = Statistics::new(&["centrifuge".into(), "centrifuge.x".into()]);
        let begin = Instant::now();
        tokio::time::advance(Duration::from_millis(30)).await;
        statistics.begin("connect", begin).end(Code::Ok);
        statistics.begin("connect", begin).end(Code::Ok);
        let mut elsewhere = statistics.begin("rpc", begin);
        elsewhere.pool = 1;
        drop(elsewhere);
        tokio::time::advance(Duration::from_mins(1)).await;
        statistics.begin("connect", begin).end(Code::Unavailable);
        let found: Vec<_> = statistics
            .durations()
            .into_iter()
            .map(|found| {
                let Counts { counts, sum } = found.counts;
                let bucket = counts.iter().position(|count| *count > 0).unwrap();
                (found.pool, found.kind, found.code, bucket, counts.iter().sum::<u64>(), sum.as_secs_f64())
            })
            .collect();
        let expected = [
            ("centrifuge".to_owned(), "connect".to_owned(), "OK", 6, 2, 0.06),
            ("centrifuge".to_owned(), "connect".to_owned(), "UNAVAILABLE", 14, 1, 60.03),
            ("centrifuge.x".to_owned(), "rpc".to_owned(), "CANCELLED", 6, 1, 0.03),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn invented_types_get_a_bounded_number_of_labels_and_take_none_from_centrifugo() {
        let statistics = Statistics::new(&["centrifuge".into()]);
        let call = |kind: &str| statistics.begin(kind, Instant::now()).end(Code::Ok);
        call(&"x".repeat(MAX_NAME + 1));
        call("line\nbreak");
        for number in 0..1000 {
            call(&format!("type{number}"));
        }
        for (kind, _) in TYPES {
            call(kind);
        }
        let found = statistics.durations();
        let count = |kind: &str| -> u64 {
            let durations = found.iter().filter(|durations| durations.kind == kind);
            durations.flat_map(|durations| &durations.counts.counts).sum()
        };
        assert_eq!(found.len(), TYPES.len() + MAX_UNKNOWN + 1);
        for (kind, _) in TYPES {
            assert_eq!(count(kind), 1, "{kind}");
        }
        assert_eq!((count("type0"), count("type15"), count(OTHER)), (1, 1, 1000 - 16 + 2));
    }
}
