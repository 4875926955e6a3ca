//! When a worker has to be replaced, and which one the pool can do without: pure functions of samples of the workers, and the time.

use std::collections::HashMap;
use std::time::Duration;

use super::core::{Reason, WorkerId};

/// Samples of a worker's memory of which the median counts.
const MEMORY_SAMPLES: usize = 5;

/// What a worker may do before it is replaced; zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Limits {
    /// The longest life.
    pub(super) ttl: Duration,
    /// The longest idle time, from the first use on.
    pub(super) idle_ttl: Duration,
    /// The most resident memory, in bytes; the median of the last samples counts.
    pub(super) memory: u64,
    /// The most resident memory in a single sample, in bytes.
    pub(super) memory_hard: u64,
}

/// What a worker was seen to be at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) id: WorkerId,
    pub(super) age: Duration,
    pub(super) executions: u64,
    /// Whether it is in a request.
    pub(super) working: bool,
    /// Resident memory of its process group, in bytes; 0 where it is not known.
    pub(super) memory: u64,
}

impl Limits {
    /// Whether there is something to check from time to time.
    pub(super) fn exist(&self) -> bool {
        *self != Self::default()
    }

    /// The limit that a worker is past, if any; `median` is that of its memory.
    pub(super) fn breach(&self, seen: &Sample, idle: Duration, median: u64) -> Option<Reason> {
        let past = |limit: Duration, time: Duration| !limit.is_zero() && time >= limit;
        if self.memory_hard > 0 && seen.memory > self.memory_hard {
            Some(Reason::MaxMemoryHard)
        } else if self.memory > 0 && median > self.memory {
            Some(Reason::MaxMemory)
        } else if past(self.ttl, seen.age) {
            Some(Reason::Ttl)
        } else if past(self.idle_ttl, idle) && seen.executions > 0 {
            Some(Reason::IdleTtl)
        } else {
            None
        }
    }
}

/// Knows how long each worker has been idle, without a clock in the path of requests: a worker whose count has not moved since the last
/// sample, and which is in no request, has done nothing meanwhile.
#[derive(Debug, Default)]
pub(super) struct Observer {
    last: HashMap<WorkerId, (u64, Duration)>,
}

impl Observer {
    /// Takes samples of all workers at the time `now`, measured from any one moment; returns for each how long it has been idle.
    pub(super) fn observe(&mut self, workers: &[Sample], now: Duration) -> Vec<(Sample, Duration)> {
        let mut idle = Vec::with_capacity(workers.len());
        let mut next = HashMap::with_capacity(workers.len());
        for seen in workers {
            let since = match self.last.get(&seen.id) {
                Some((executions, since)) if *executions == seen.executions && !seen.working => *since,
                _ => now,
            };
            next.insert(seen.id, (seen.executions, since));
            idle.push((*seen, now.saturating_sub(since)));
        }
        self.last = next;
        idle
    }
}

/// Knows the median of each worker's memory over the last samples, so that one peak does not replace a worker.
#[derive(Debug, Default)]
pub(super) struct MemoryHistory {
    /// The last samples, the newest first; 0 where there were fewer.
    last: HashMap<WorkerId, [u64; MEMORY_SAMPLES]>,
}

impl MemoryHistory {
    /// Takes samples of all workers; returns the median of each. Until a worker has had as many samples, those that are missing count as 0.
    pub(super) fn observe(&mut self, workers: &[Sample]) -> Vec<u64> {
        let mut medians = Vec::with_capacity(workers.len());
        let mut next = HashMap::with_capacity(workers.len());
        for seen in workers {
            let mut samples = self.last.remove(&seen.id).unwrap_or_default();
            samples.rotate_right(1);
            samples[0] = seen.memory;
            next.insert(seen.id, samples);
            samples.sort_unstable();
            medians.push(samples[MEMORY_SAMPLES / 2]);
        }
        self.last = next;
        medians
    }
}

/// The worker that has been idle for the longest, if that is at least `timeout`: the pool can do without it.
pub(super) fn unneeded(idle: &[(Sample, Duration)], timeout: Duration) -> Option<WorkerId> {
    let longest = idle.iter().max_by_key(|(seen, idle)| (*idle, seen.id))?;
    (longest.1 >= timeout && !longest.0.working).then_some(longest.0.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sample(id: WorkerId) -> Sample {
        Sample { id, age: SECOND, executions: 1, working: false, memory: 0 }
    }

    #[test]
    fn without_limits_nothing_is_a_breach() {
        let limits = Limits::default();
        assert!(!limits.exist());
        let seen = Sample { age: Duration::MAX, memory: u64::MAX, ..sample(1) };
        assert_eq!(limits.breach(&seen, Duration::MAX, u64::MAX), None);
    }

    #[test]
    fn each_limit_has_its_reason() {
        let limits = Limits { ttl: 10 * SECOND, idle_ttl: 5 * SECOND, memory: 100, memory_hard: 200 };
        let with = |memory| Sample { memory, ..sample(1) };
        assert_eq!(limits.breach(&sample(1), SECOND, 0), None);
        assert_eq!(limits.breach(&Sample { age: 10 * SECOND, ..sample(1) }, SECOND, 0), Some(Reason::Ttl));
        assert_eq!(limits.breach(&with(200), SECOND, 101), Some(Reason::MaxMemory));
        assert_eq!(limits.breach(&with(200), SECOND, 100), None);
        assert_eq!(limits.breach(&with(201), SECOND, 0), Some(Reason::MaxMemoryHard));
        assert_eq!(limits.breach(&sample(1), 5 * SECOND, 0), Some(Reason::IdleTtl));
    }

    #[test]
    fn a_worker_that_was_never_used_has_no_idle_limit() {
        let limits = Limits { idle_ttl: SECOND, ..Limits::default() };
        assert_eq!(limits.breach(&Sample { executions: 0, ..sample(1) }, 100 * SECOND, 0), None);
    }

    #[test]
    fn idle_time_counts_from_the_last_sample_that_saw_work() {
        let mut observer = Observer::default();
        let idle =
            |observer: &mut Observer, seen: Sample, now: u32| observer.observe(&[seen], now * SECOND)[0].1;
        assert_eq!(idle(&mut observer, sample(1), 10), Duration::ZERO);
        assert_eq!(idle(&mut observer, sample(1), 13), 3 * SECOND);
        assert_eq!(idle(&mut observer, Sample { executions: 2, ..sample(1) }, 14), Duration::ZERO);
        assert_eq!(
            idle(&mut observer, Sample { executions: 2, working: true, ..sample(1) }, 16),
            Duration::ZERO
        );
        assert_eq!(idle(&mut observer, Sample { executions: 2, ..sample(1) }, 18), 2 * SECOND);
    }

    #[test]
    fn the_median_of_the_last_samples_ignores_single_peaks() {
        let mut history = MemoryHistory::default();
        let mut median = |memory| history.observe(&[Sample { memory, ..sample(1) }])[0];
        let medians: Vec<u64> = [900, 1, 900, 1, 2, 3, 900, 900, 900].into_iter().map(&mut median).collect();
        assert_eq!(medians, [0, 0, 1, 1, 2, 2, 3, 3, 900]);
        history.observe(&[]);
        assert!(history.last.is_empty());
    }

    #[test]
    fn the_pool_can_do_without_the_one_that_was_idle_for_longest() {
        let idle = [(sample(1), 3 * SECOND), (sample(2), 5 * SECOND), (sample(3), 5 * SECOND)];
        assert_eq!(unneeded(&idle, 5 * SECOND), Some(3));
        assert_eq!(unneeded(&idle, 6 * SECOND), None);
        assert_eq!(unneeded(&[], SECOND), None);
    }
}
