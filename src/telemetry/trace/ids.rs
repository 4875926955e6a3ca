//! Random ids for traces and spans. Each call that may be traced has some, so they cost a few instructions; they are no secrets.

use super::context::{SpanId, TraceId};

pub(super) fn trace_id() -> TraceId {
    TraceId(fastrand::u128(1..).to_be_bytes())
}

pub(super) fn span_id() -> SpanId {
    SpanId(fastrand::u64(1..).to_be_bytes())
}

/// A random UUID, of version 4.
pub(super) fn uuid() -> String {
    let bits = u128::from_be_bytes(trace_id().0);
    let bits = bits & !(0xf << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let text = format!("{bits:032x}");
    [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        for _ in 0..100 {
            let uuid = uuid();
            let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{uuid}");
            assert!(uuid[14..].starts_with('4') && uuid[19..].starts_with(['8', '9', 'a', 'b']), "{uuid}");
        }
    }

    #[test]
    fn ids_differ_on_all_threads() {
        let threads: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| (0..1000).map(|_| (trace_id(), span_id())).collect::<Vec<_>>()))
            .collect();
        let ids: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        let traces: HashSet<_> = ids.iter().map(|(trace, _)| *trace).collect();
        let spans: HashSet<_> = ids.iter().map(|(_, span)| *span).collect();
        assert_eq!((traces.len(), spans.len()), (4000, 4000));
    }
}
