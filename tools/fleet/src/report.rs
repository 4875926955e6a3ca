//! What a simulation has seen.

use std::fmt;

use crate::fleet::End;
use crate::plan::Plan;

/// The ends of all calls, and their times in seconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub(crate) offered: usize,
    pub(crate) answered: usize,
    pub(crate) late: usize,
    pub(crate) full: usize,
    pub(crate) unavailable: usize,
    /// Attempts beyond the first ones.
    pub(crate) repeated: usize,
    /// Calls that workers began more than once.
    pub(crate) twice: usize,
    /// Calls that users repeated.
    pub(crate) again: usize,
    /// Work that was begun, as a part of what the workers could do.
    pub(crate) utilization: f64,
    /// When the last call failed.
    pub(crate) last_failure: Option<f64>,
    waits: Vec<f64>,
    capacity: f64,
}

impl Report {
    pub(crate) fn new(plan: &Plan) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "numbers of workers are small")]
        let capacity = (plan.bridges * plan.workers) as f64 * plan.seconds;
        Self {
            offered: 0,
            answered: 0,
            late: 0,
            full: 0,
            unavailable: 0,
            repeated: 0,
            twice: 0,
            again: 0,
            utilization: 0.0,
            last_failure: None,
            waits: Vec::new(),
            capacity,
        }
    }

    /// A worker began a call that waited for so long, and takes so long.
    pub(crate) fn started(&mut self, waited: f64, work: f64) {
        self.waits.push(waited);
        self.utilization += work / self.capacity;
    }

    pub(crate) fn ended(&mut self, end: End, at: f64, runs: u32) {
        self.twice += usize::from(runs > 1);
        let count = match end {
            End::Answered => &mut self.answered,
            End::Deadline => &mut self.late,
            End::Full => &mut self.full,
            End::Unavailable => &mut self.unavailable,
        };
        *count += 1;
        if end != End::Answered {
            self.last_failure = Some(at);
        }
    }

    /// Calls without an answer.
    pub(crate) fn failed(&self) -> usize {
        self.late + self.full + self.unavailable
    }

    /// The wait for a worker, in seconds, that this part of the calls does not exceed.
    pub(crate) fn wait(&self, part: f64) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "it is an index"
        )]
        let at = (waits.len() as f64 * part) as usize;
        waits.get(at.min(waits.len().saturating_sub(1))).copied().unwrap_or_default()
    }

    /// The mean wait for a worker, in seconds.
    pub(crate) fn mean_wait(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a number of calls")]
        let count = self.waits.len().max(1) as f64;
        self.waits.iter().sum::<f64>() / count
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |seconds: f64| format!("{:.1} ms", seconds * 1e3);
        writeln!(
            f,
            "calls        {} offered, {} answered, {} failed",
            self.offered,
            self.answered,
            self.failed()
        )?;
        writeln!(
            f,
            "failed       {} deadline, {} queue full, {} unavailable",
            self.late, self.full, self.unavailable
        )?;
        writeln!(
            f,
            "repeated     {} by nodes, {} by users; {} calls ran twice",
            self.repeated, self.again, self.twice
        )?;
        writeln!(f, "utilization  {:.0} %", self.utilization * 100.0)?;
        let [half, most, all] = [0.5, 0.95, 0.99].map(|part| millis(self.wait(part)));
        writeln!(f, "wait         mean {}, p50 {half}, p95 {most}, p99 {all}", millis(self.mean_wait()))?;
        match self.last_failure {
            Some(time) => writeln!(f, "last failure at {time:.1} s"),
            None => Ok(()),
        }
    }
}
