//! Checking the workers from time to time: which is past a limit, and which is not needed any more.

use std::time::Duration;

use tokio::time::Instant;

use super::core::{Reason, WorkerId};
use super::policy::{Limits, MemoryHistory, Observer, Sample, unneeded};

/// Checks within one `idle_timeout`.
const CHECKS: u32 = 4;

/// The shortest and the longest time between two checks for workers that are not needed.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// What is remembered from one check to the next.
#[derive(Debug)]
pub(super) struct Supervision {
    began: Instant,
    for_limits: Observer,
    memory: MemoryHistory,
    for_load: Observer,
}

impl Supervision {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            for_limits: Observer::default(),
            memory: MemoryHistory::default(),
            for_load: Observer::default(),
        }
    }

    /// The time since the pool began.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The workers that are past one of their limits.
    pub(super) fn breaches(&mut self, workers: &[(Sample, Limits)]) -> Vec<(WorkerId, Reason)> {
        let samples: Vec<Sample> = workers.iter().map(|(sample, _)| *sample).collect();
        let idle = self.for_limits.observe(&samples, self.began.elapsed());
        let medians = self.memory.observe(&samples);
        let seen = idle.iter().zip(medians).zip(workers);
        let breaches = seen.map(|(((seen, idle), median), (_, limits))| {
            let breach = limits.breach(seen, *idle, median);
            (seen.id, breach)
        });
        breaches.filter_map(|(id, reason)| Some((id, reason?))).collect()
    }

    /// A worker that has been idle for `timeout`, if there is one.
    pub(super) fn unneeded(&mut self, workers: &[Sample], timeout: Duration) -> Option<WorkerId> {
        unneeded(&self.for_load.observe(workers, self.began.elapsed()), timeout)
    }
}

/// How often it is checked whether added workers are still needed, where one may be unused for `timeout`.
pub(super) fn shrink_interval(timeout: Duration) -> Duration {
    (timeout / CHECKS).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_is_held_to_the_limits_that_it_was_started_with() {
        let old = Duration::from_secs(10);
        let sample = |id| Sample { id, age: old, executions: 1, working: false, memory: 0 };
        let strict = Limits { ttl: old, ..Limits::default() };
        let workers = [(sample(1), Limits::default()), (sample(2), strict)];
        assert_eq!(Supervision::new().breaches(&workers), [(2, Reason::Ttl)]);
    }
}
