//! What workers use, measured now and then: a pass over `/proc` costs more than all the rest of a snapshot.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::os::this_process::ThisProcess;
use crate::pools::{Usage, WorkerSnapshot};

/// How long a measurement is good enough.
pub(super) const GOOD_FOR: Duration = Duration::from_secs(2);

/// What a worker used, its descendants included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Consumption {
    /// Resident memory in bytes.
    pub(super) resident: u64,
    /// Percent of one core since the measurement before; since the start, if there was none.
    pub(super) cpu: f64,
    total: Duration,
}

/// The last measurement.
#[derive(Debug, Default)]
pub(super) struct Usages {
    measured: Option<Instant>,
    /// By process group.
    workers: HashMap<u32, Consumption>,
    bridge: Option<(ThisProcess, f64)>,
}

impl Usages {
    /// Whether it is time to measure again.
    pub(super) fn are_stale(&self, now: Instant) -> bool {
        self.measured.is_none_or(|measured| now - measured >= GOOD_FOR)
    }

    /// What a process group used; `None` if it was not measured.
    pub(super) fn of(&self, group: u32) -> Option<Consumption> {
        self.workers.get(&group).copied()
    }

    /// This process, and the percentage of one core that it used.
    pub(super) fn bridge(&self) -> Option<&(ThisProcess, f64)> {
        self.bridge.as_ref()
    }

    /// Takes a measurement that was made now.
    pub(super) fn update<'a>(
        &mut self,
        now: Instant,
        workers: impl Iterator<Item = &'a WorkerSnapshot>,
        bridge: Option<ThisProcess>,
        bridge_age: Duration,
    ) {
        let since = self.measured.map(|measured| now - measured);
        let workers = workers.filter(|worker| worker.usage != Usage::default());
        let measured = workers.map(|WorkerSnapshot { info, usage, .. }| {
            let before = self.workers.get(&info.group).map(|before| before.total);
            let cpu = percent(usage.cpu, before.zip(since), info.age);
            (info.group, Consumption { resident: usage.resident, cpu, total: usage.cpu })
        });
        let measured = measured.collect();
        self.bridge = bridge.map(|bridge| {
            let before = self.bridge.as_ref().map(|(before, _)| before.cpu);
            (bridge, percent(bridge.cpu, before.zip(since), bridge_age))
        });
        self.workers = measured;
        self.measured = Some(now);
    }
}

/// The percentage of one core that was used since the measurement `before`, or else within the whole `age`.
fn percent(total: Duration, before: Option<(Duration, Duration)>, age: Duration) -> f64 {
    let (used, time) = match before {
        Some((before, since)) => (total.saturating_sub(before), since),
        None => (total, age),
    };
    // The kernel counts in hundredths of a second.
    used.as_secs_f64() / time.max(Duration::from_millis(10)).as_secs_f64() * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_is_what_was_used_since_the_measurement_before() {
        let s = Duration::from_secs;
        assert!((percent(s(30), None, s(60)) - 50.0).abs() < 1e-9);
        assert!((percent(s(30), Some((s(29), s(2))), s(60)) - 50.0).abs() < 1e-9);
        assert!(percent(s(1), Some((s(29), s(2))), s(60)).abs() < 1e-9, "a child has ended");
        assert!(percent(s(0), None, s(0)).abs() < 1e-9);
    }
}
