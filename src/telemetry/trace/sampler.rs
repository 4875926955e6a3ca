//! Which traces are recorded.

use super::context::TraceId;

/// The samplers of OpenTelemetry, by the names of `OTEL_TRACES_SAMPLER`.
pub(super) const NAMES: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];

/// Every trace.
const ALL: u64 = 1 << 63;

/// Decides which traces are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sampler {
    /// Whether the caller's decision applies, if there is one.
    follows_parent: bool,
    /// The traces of ids below this one, of 2^63.
    below: u64,
}

impl Sampler {
    /// The sampler of this name, with the share of traces that those named after a ratio record. `None` if there is none of this name.
    pub(super) fn named(name: &str, ratio: f64) -> Option<Self> {
        let (follows_parent, rest) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        let below = match rest {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => share(ratio),
            _ => return None,
        };
        Some(Self { follows_parent, below })
    }

    /// Whether a trace is recorded. `parent` is the decision of the caller, if it is known.
    pub(super) fn samples(self, trace_id: TraceId, parent: Option<bool>) -> bool {
        match parent {
            Some(parent) if self.follows_parent => parent,
            // As in other SDKs, so that all programs of a trace decide alike: by the last 63 bits.
            _ => low(trace_id) < self.below,
        }
    }

    /// Whether the caller's decision applies.
    pub(super) fn follows_parent(self) -> bool {
        self.follows_parent
    }
}

impl Default for Sampler {
    /// OpenTelemetry's default: all traces that no caller has decided about.
    fn default() -> Self {
        Self { follows_parent: true, below: ALL }
    }
}

fn low(TraceId(id): TraceId) -> u64 {
    let [_, _, _, _, _, _, _, _, last @ ..] = id;
    u64::from_be_bytes(last) >> 1
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn share(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * ALL as f64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::ids;
    use super::*;

    fn named(name: &str) -> Sampler {
        Sampler::named(name, 0.01).unwrap()
    }

    #[test]
    fn every_name_is_known() {
        assert!(NAMES.iter().all(|name| Sampler::named(name, 1.0).is_some()));
        assert_eq!(Sampler::named("jaeger_remote", 1.0), None);
        assert_eq!(Sampler::default(), named("parentbased_always_on"));
    }

    #[test]
    fn the_caller_decides_if_its_decision_is_followed() {
        let id = ids::trace_id();
        for parent in [true, false] {
            for name in ["parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"] {
                assert_eq!(named(name).samples(id, Some(parent)), parent, "{name}");
            }
            assert!(named("always_on").samples(id, Some(parent)));
            assert!(!named("always_off").samples(id, Some(parent)));
        }
        assert!(named("parentbased_always_on").samples(id, None));
        assert!(!named("parentbased_always_off").samples(id, None));
    }

    #[test]
    fn a_ratio_is_the_share_of_all_traces() {
        let sampled = (0..100_000).filter(|_| named("traceidratio").samples(ids::trace_id(), None)).count();
        // 1000 are expected; this is more than eleven standard deviations away.
        assert!((640..1360).contains(&sampled), "{sampled}");
        let all = Sampler::named("traceidratio", 1.0).unwrap();
        assert!(all.samples(TraceId([0xff; 16]), None));
        assert!(!Sampler::named("traceidratio", 0.0).unwrap().samples(TraceId([0; 16]), None));
    }
}
