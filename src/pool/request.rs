//! A request for a worker, and what its caller learns of its way.

use std::time::Duration;

use tokio::time::Instant;

use super::caller::Caller;
use crate::request_type::RequestType;
use crate::telemetry::trace::TraceId;

/// A request for a worker.
#[derive(Debug)]
pub struct Request<'a, B> {
    /// Who makes it: those of one caller are served in their order, and callers in turns.
    pub caller: Caller,
    /// Its type, by which it is counted.
    pub kind: RequestType,
    /// The id of its trace, if that is recorded.
    pub trace: Option<TraceId>,
    /// Its context.
    pub context: &'a [u8],
    /// Its body.
    pub body: &'a B,
    /// When its caller stops waiting.
    pub deadline: Option<Instant>,
}

/// When a request was made, got its worker and was answered. It is filled in on the way, so that it says how far a request was that was
/// dropped. A request that several workers got has the times of the last one, and has waited until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Timings {
    /// When it was made.
    pub asked: Option<Instant>,
    /// When it got its worker.
    pub leased: Option<Instant>,
    /// When it was handed to the worker, in the worker's codec.
    pub begun: Option<Instant>,
    /// When the worker had answered, or had failed. The first message of a streamed answer counts.
    pub done: Option<Instant>,
    /// The worker's pid.
    pub pid: Option<u32>,
}

impl Timings {
    /// How long it has waited for a worker until `now`.
    pub fn waited(&self, now: Instant) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| self.leased.unwrap_or(now).saturating_duration_since(asked))
    }

    /// How long its worker has worked on it until `now`.
    pub fn worked(&self, now: Instant) -> Duration {
        self.begun.map_or(Duration::ZERO, |begun| self.done.unwrap_or(now).saturating_duration_since(begun))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_dropped_has_the_times_until_then() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let times = |timings: &Timings| (timings.waited(at(10)).as_secs(), timings.worked(at(10)).as_secs());
        let mut timings = Timings::default();
        assert_eq!(times(&timings), (0, 0));
        timings.asked = Some(at(1));
        assert_eq!(times(&timings), (9, 0));
        timings.leased = Some(at(3));
        assert_eq!(times(&timings), (2, 0));
        timings.begun = Some(at(4));
        assert_eq!(times(&timings), (2, 6));
        timings.done = Some(at(8));
        assert_eq!(times(&timings), (2, 4));
    }
}
