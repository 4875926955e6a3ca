//! How the streams of a server that shuts down end: one after the other, so that their clients do not all come back at the same moment.

use std::time::Duration;

/// Streams that end per second, at least.
const RATE: u32 = 5000;

/// How long it takes to end this many streams within the grace period: at most half of it.
pub(super) fn duration(streams: usize, grace: Duration) -> Duration {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    (Duration::from_secs(1) / RATE * streams).min(grace / 2)
}

/// How many of so many streams are to have ended by now.
pub(super) fn due(streams: usize, elapsed: Duration, duration: Duration) -> usize {
    if elapsed >= duration {
        return streams;
    }
    let part = elapsed.as_nanos() * streams as u128 / duration.as_nanos().max(1);
    usize::try_from(part).unwrap_or(streams).saturating_add(1).min(streams)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_streams_end_within_two_seconds_and_more_within_half_of_the_grace_period() {
        let grace = Duration::from_secs(30);
        assert_eq!(duration(10_000, grace), Duration::from_secs(2));
        assert_eq!(duration(10_000_000, grace), grace / 2);
        assert_eq!(duration(10_000, Duration::ZERO), Duration::ZERO);
        assert_eq!(duration(0, grace), Duration::ZERO);
    }

    #[test]
    fn streams_end_evenly_and_all_of_them() {
        let second = Duration::from_secs(1);
        assert_eq!(due(100, Duration::ZERO, second), 1);
        assert_eq!(due(100, second / 2, second), 51);
        assert_eq!(due(100, second, second), 100);
        assert_eq!(due(100, Duration::ZERO, Duration::ZERO), 100);
        assert_eq!(due(0, Duration::ZERO, second), 0);
        assert_eq!(due(usize::MAX, second / 2, second), usize::MAX / 2 + 1);
    }
}
