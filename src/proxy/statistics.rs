//! Durations of calls by type and code.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;
use tonic::Code;

use crate::grpc::CODES;

/// The upper bounds of the buckets, in seconds; one more bucket holds what is longer.
pub const BOUNDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The buckets of a histogram.
const BUCKETS: usize = BOUNDS.len() + 1;

/// The types of Centrifugo's own methods. Each always has a label of its own.
const KNOWN: [&str; 13] = [
    "connect",
    "refresh",
    "subscribe",
    "publish",
    "rpc",
    "subrefresh",
    "notifycacheempty",
    "notifychannelstate",
    "mappublish",
    "mapremove",
    "sharedpollrefresh",
    "subscribeunidirectional",
    "subscribebidirectional",
];

/// Other types, say of a later Centrifugo, that get a label of their own, at most. Callers choose the names, so the rest share [`OTHER`].
const MAX_UNKNOWN: usize = 16;

/// Bytes of an unknown type that gets a label of its own, at most.
const MAX_NAME: usize = 64;

/// The label of all other types.
const OTHER: &str = "other";

/// Counts calls. Written by every call, read now and then.
#[derive(Debug)]
pub struct Statistics {
    known: [Arc<OfType>; KNOWN.len()],
    /// Bounded by [`MAX_UNKNOWN`].
    unknown: RwLock<Vec<Arc<OfType>>>,
    other: Arc<OfType>,
}

/// The calls of one type that ended with one code.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Durations {
    /// The type, as workers read it.
    pub kind: String,
    /// The gRPC code; `CANCELLED` when the caller went away.
    pub code: &'static str,
    /// Calls in each bucket of [`BOUNDS`] and in the one above; not cumulative.
    pub counts: Vec<u64>,
    /// The sum of their durations, in seconds.
    pub sum: f64,
}

#[derive(Debug)]
struct OfType {
    kind: String,
    codes: [Histogram; CODES.len()],
}

#[derive(Debug, Default)]
struct Histogram {
    counts: [AtomicU64; BUCKETS],
    micros: AtomicU64,
}

/// A call in flight. When it is dropped without a code, its caller went away.
#[derive(Debug)]
#[must_use = "a call that is dropped at once counts as cancelled"]
pub(super) struct Timed {
    of_type: Arc<OfType>,
    arrived: Instant,
    code: Code,
}

impl Statistics {
    /// A call has arrived.
    pub(super) fn begin(&self, kind: &str, arrived: Instant) -> Timed {
        Timed { of_type: self.of_type(kind), arrived, code: Code::Cancelled }
    }

    /// The counts so far, without types and codes that never occurred.
    pub fn durations(&self) -> Vec<Durations> {
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let types = self.known.iter().chain(&unknown).chain([&self.other]);
        let all = types.flat_map(|of_type| {
            CODES.into_iter().zip(&of_type.codes).map(|(code, histogram)| histogram.read(&of_type.kind, code))
        });
        all.filter(|durations| durations.counts.iter().any(|count| *count > 0)).collect()
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
            let of_type = OfType::new(kind);
            types.push(Arc::clone(&of_type));
            of_type
        })
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self { known: KNOWN.map(OfType::new), unknown: RwLock::default(), other: OfType::new(OTHER) }
    }
}

impl OfType {
    fn new(kind: &str) -> Arc<Self> {
        Arc::new(Self { kind: kind.to_owned(), codes: Default::default() })
    }
}

impl Histogram {
    fn count(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.counts[BOUNDS.partition_point(|bound| *bound < seconds)].fetch_add(1, Relaxed);
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    fn read(&self, kind: &str, code: &'static str) -> Durations {
        let sum = Duration::from_micros(self.micros.load(Relaxed)).as_secs_f64();
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        Durations { kind: kind.to_owned(), code, counts, sum }
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
        if let Some(histogram) =
            usize::try_from(self.code as i32).ok().and_then(|n| self.of_type.codes.get(n))
        {
            histogram.count(self.arrived.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_by_type_and_code() {
        let statistics = Statistics::default();
        let begin = Instant::now();
        tokio::time::advance(Duration::from_millis(30)).await;
        statistics.begin("connect", begin).end(Code::Ok);
        statistics.begin("connect", begin).end(Code::Ok);
        drop(statistics.begin("rpc", begin));
        tokio::time::advance(Duration::from_mins(1)).await;
        statistics.begin("connect", begin).end(Code::Unavailable);
        let found: Vec<_> = statistics
            .durations()
            .into_iter()
            .map(|found| {
                let bucket = found.counts.iter().position(|count| *count > 0).unwrap();
                (found.kind, found.code, bucket, found.counts.iter().sum::<u64>(), found.sum)
            })
            .collect();
        let expected = [
            ("connect".to_owned(), "OK", 6, 2, 0.06),
            ("connect".to_owned(), "UNAVAILABLE", 14, 1, 60.03),
            ("rpc".to_owned(), "CANCELLED", 6, 1, 0.03),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn invented_types_get_a_bounded_number_of_labels_and_take_none_from_centrifugo() {
        let statistics = Statistics::default();
        let call = |kind: &str| statistics.begin(kind, Instant::now()).end(Code::Ok);
        call(&"x".repeat(MAX_NAME + 1));
        call("line\nbreak");
        for number in 0..1000 {
            call(&format!("type{number}"));
        }
        for kind in KNOWN {
            call(kind);
        }
        let found = statistics.durations();
        let count = |kind: &str| -> u64 {
            let durations = found.iter().filter(|durations| durations.kind == kind);
            durations.flat_map(|durations| &durations.counts).sum()
        };
        assert_eq!(found.len(), KNOWN.len() + MAX_UNKNOWN + 1);
        for kind in KNOWN {
            assert_eq!(count(kind), 1, "{kind}");
        }
        assert_eq!((count("type0"), count("type15"), count(OTHER)), (1, 1, 1000 - 16 + 2));
    }

    #[test]
    fn every_method_of_centrifugo_s_service_is_known() {
        let proto = include_str!("../../proto/centrifugal/centrifugo/proxy.proto");
        let methods: Vec<_> = proto.lines().filter_map(|line| line.trim().strip_prefix("rpc ")).collect();
        assert!(methods.len() >= KNOWN.len(), "{methods:?}");
        for method in methods {
            let kind = method.split('(').next().unwrap().trim().to_ascii_lowercase();
            assert!(KNOWN.contains(&kind.as_str()), "{kind}");
        }
    }
}
