//! Durations of calls by type and code.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;
use tonic::Code;

use crate::grpc::CODES;
use crate::telemetry::histogram::{BOUNDS, Counts, SecondsHistogram};
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, ready};

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
#[derive(Debug)]
struct Durations {
    /// The type, as workers read it.
    kind: String,
    /// The gRPC code; `CANCELLED` if the caller went away.
    code: &'static str,
    counts: Counts,
}

#[derive(Debug)]
struct OfType {
    kind: String,
    codes: [SecondsHistogram; CODES.len()],
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
    fn durations(&self) -> Vec<Durations> {
        let unknown = self.unknown.read().unwrap_or_else(PoisonError::into_inner).clone();
        let types = self.known.iter().chain(&unknown).chain([&self.other]);
        let all = types.flat_map(|of_type| {
            let codes = CODES.into_iter().zip(&of_type.codes);
            codes.map(|(code, histogram)| Durations {
                kind: of_type.kind.clone(),
                code,
                counts: histogram.read(),
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
            let of_type = OfType::new(kind);
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
                "Duration of calls from Centrifugo in seconds, queueing included, by type and gRPC code.",
            );
            for Durations { kind, code, counts } in &self.durations() {
                let labels = [("code", *code), ("type", &**kind)];
                family.histogram(&labels, &BOUNDS, &counts.counts, counts.sum.as_secs_f64());
            }
            page.add(family);
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
            histogram.observe(self.arrived.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
                let Counts { counts, sum } = found.counts;
                let bucket = counts.iter().position(|count| *count > 0).unwrap();
                (found.kind, found.code, bucket, counts.iter().sum::<u64>(), sum.as_secs_f64())
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
            durations.flat_map(|durations| &durations.counts.counts).sum()
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
