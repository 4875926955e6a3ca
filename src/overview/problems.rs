//! What is wrong, in words, and since when.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tokio::time::Instant;

use super::clock::seconds;
use super::sampler::Totals;
use crate::pools::{PoolSnapshot, State};

/// How long requests wait, or workers are missing, before that is a problem: a burst or a restart is none.
const WAITING: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_secs(10);

/// How serious it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    /// Requests are not served.
    Critical,
    /// Requests are served, but something is wrong.
    Warning,
}

/// A problem that exists now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Problem {
    pub(super) severity: Severity,
    /// What kind of problem it is, for programs.
    kind: Kind,
    /// The pool that has it.
    pool: Option<String>,
    /// What is wrong, for people: a sentence without its full stop.
    text: String,
    /// Since when it exists, in seconds since 1970.
    since: f64,
}

/// The kinds of problems, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Stopping,
    NotReady,
    Starting,
    WorkersMissing,
    Waiting,
    Boots,
    Deaths,
    Rejections,
    Failures,
    Reload,
}

/// A problem that was found in a reading.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    severity: Severity,
    kind: Kind,
    pool: Option<String>,
    text: String,
}

/// Remembers since when problems exist.
#[derive(Debug, Default)]
pub(super) struct Problems {
    since: BTreeMap<(Kind, Option<String>), Instant>,
    current: Vec<Problem>,
}

impl Problems {
    /// Replaces the problems by those that were found now, at `time` of a clock that may be set.
    pub(super) fn update(&mut self, now: Instant, time: SystemTime, found: Vec<Found>) {
        let key = |found: &Found| (found.kind, found.pool.clone());
        self.since.retain(|known, _| found.iter().any(|found| key(found) == *known));
        let mut current = Vec::new();
        for found in found {
            let lasted = now - *self.since.entry(key(&found)).or_insert(now);
            if lasted >= found.kind.grace() {
                let Found { severity, kind, pool, text } = found;
                current.push(Problem {
                    severity,
                    kind,
                    pool,
                    text,
                    since: seconds(time) - lasted.as_secs_f64(),
                });
            }
        }
        current.sort_by_key(|problem| (problem.severity, problem.kind));
        self.current = current;
    }

    /// The worst first.
    pub(super) fn current(&self) -> &[Problem] {
        &self.current
    }
}

impl Kind {
    /// How long it exists before it is shown.
    fn grace(self) -> Duration {
        match self {
            Self::Waiting => WAITING,
            Self::WorkersMissing => SHORT,
            _ => Duration::ZERO,
        }
    }
}

impl Found {
    fn new(severity: Severity, kind: Kind, text: impl Into<String>) -> Self {
        Self { severity, kind, pool: None, text: text.into() }
    }

    /// The workers of required pools are not ready for the first time.
    pub(super) fn starting() -> Self {
        Self::new(Severity::Critical, Kind::Starting, "starting: no worker is ready yet")
    }

    /// The server shuts down.
    pub(super) fn stopping() -> Self {
        Self::new(Severity::Critical, Kind::Stopping, "shutting down: callers move to another server")
    }

    /// The last reload of the configuration has failed.
    pub(super) fn reload(reason: &str) -> Self {
        let reason = reason.lines().next().unwrap_or_default();
        let text = format!("the last reload of the configuration failed: {reason}");
        Self::new(Severity::Warning, Kind::Reload, text)
    }

    /// What is wrong with a pool, which has counted `minute` within the last minute.
    pub(super) fn in_pool(pool: &PoolSnapshot, minute: Totals) -> Vec<Self> {
        let (name, stats) = (&pool.name, &pool.stats);
        let serving = serving(pool);
        let mut found = Vec::new();
        let mut add = |severity, kind, text| found.push(Self::new(severity, kind, text));
        // A pool counts as ready while another attempt to start a worker is under way. In debug mode it keeps none.
        let is_down = if stats.target > 0 { serving == 0 } else { !pool.is_ready };
        if is_down {
            add(Severity::Critical, Kind::NotReady, format!("no ready worker in {name}"));
        } else if serving < stats.target {
            let text = format!("{serving} of {} workers in {name} are ready", stats.target);
            add(Severity::Warning, Kind::WorkersMissing, text);
        }
        if stats.waiting > 0 {
            let text = counted(stats.waiting as u64, "request is", "requests are");
            add(Severity::Warning, Kind::Waiting, format!("{text} waiting for a worker in {name}"));
        }
        if minute.deaths > 0 {
            let text = counted(minute.deaths, "worker", "workers");
            add(Severity::Warning, Kind::Deaths, format!("{text} died in {name} in the last minute"));
        }
        if minute.boot_failures > 0 {
            let text = counted(minute.boot_failures, "worker start", "worker starts");
            add(Severity::Warning, Kind::Boots, format!("{text} failed in {name} in the last minute"));
        }
        if minute.rejections > 0 {
            let text = counted(minute.rejections, "request", "requests");
            let text = format!("{text} got no worker in {name} in the last minute");
            add(Severity::Warning, Kind::Rejections, text);
        }
        if minute.failures > 0 {
            let text = counted(minute.requests, "request", "requests");
            let text = format!("{} of {text} failed in {name} in the last minute", minute.failures);
            add(Severity::Warning, Kind::Failures, text);
        }
        for found in &mut found {
            found.pool = Some(name.clone());
        }
        found
    }
}

/// How many workers take requests.
pub(super) fn serving(pool: &PoolSnapshot) -> usize {
    let serves = |state| matches!(state, State::Ready | State::Working);
    pool.workers.iter().filter(|worker| serves(worker.info.state) && !worker.info.is_retiring).count()
}

fn counted(number: u64, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    /// Updates at a number of seconds, which the clock that may be set shows as well, if it is not `set` by some.
    fn update(problems: &mut Problems, begin: Instant, at: u64, set: i64, found: Vec<Found>) {
        let s = Duration::from_secs;
        problems.update(begin + s(at), UNIX_EPOCH + s(at.strict_add_signed(set)), found);
    }

    fn shown(problems: &Problems) -> Vec<(Kind, f64)> {
        problems.current().iter().map(|problem| (problem.kind, problem.since)).collect()
    }

    #[test]
    fn problems_are_shown_with_their_beginning_the_worst_first() {
        let waiting = Found::new(Severity::Warning, Kind::Waiting, "3 requests wait");
        let failures = Found::new(Severity::Warning, Kind::Failures, "one failed");
        let not_ready = Found::new(Severity::Critical, Kind::NotReady, "no ready worker");
        let (mut problems, begin) = (Problems::default(), Instant::now());
        let update = |problems: &mut _, at, found| update(problems, begin, at, 0, found);
        update(&mut problems, 100, vec![waiting.clone()]);
        assert_eq!(shown(&problems), [], "a burst is no problem");
        update(&mut problems, 105, vec![failures.clone(), waiting.clone(), not_ready.clone()]);
        let expected = [(Kind::NotReady, 105.0), (Kind::Waiting, 100.0), (Kind::Failures, 105.0)];
        assert_eq!(shown(&problems), expected);
        update(&mut problems, 106, vec![failures.clone()]);
        assert_eq!(shown(&problems), [(Kind::Failures, 105.0)]);
        update(&mut problems, 107, vec![waiting, failures]);
        assert_eq!(shown(&problems), [(Kind::Failures, 105.0)], "it begins anew");
    }

    #[test]
    fn a_clock_that_is_set_back_hides_no_problem() {
        let waiting = Found::new(Severity::Warning, Kind::Waiting, "3 requests wait");
        let (mut problems, begin) = (Problems::default(), Instant::now());
        update(&mut problems, begin, 5000, 0, vec![waiting.clone()]);
        update(&mut problems, begin, 5010, -3600, vec![waiting]);
        assert_eq!(shown(&problems), [(Kind::Waiting, 1400.0)]);
    }

    #[test]
    fn one_and_many_are_told_apart() {
        assert_eq!(counted(1, "worker", "workers"), "1 worker");
        assert_eq!(counted(0, "worker", "workers"), "0 workers");
    }
}
