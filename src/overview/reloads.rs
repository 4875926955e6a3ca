//! When the configuration in force was loaded, and how reloads have gone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use super::clock::seconds;
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// How reloads have gone. The start counts as one that succeeded.
#[derive(Debug)]
pub(super) struct Reloads(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When the configuration in force was loaded.
    loaded: SystemTime,
    /// Whether the last one succeeded.
    is_good: bool,
    failed: Option<(SystemTime, String)>,
    successes: u64,
    failures: u64,
}

/// What is shown of them.
#[derive(Debug, Serialize)]
pub(super) struct Configuration {
    loaded: f64,
    /// The last reload that failed, even if a later one did not.
    failed_reload: Option<Failed>,
}

#[derive(Debug, Serialize)]
struct Failed {
    at: f64,
    reason: String,
}

impl Reloads {
    pub(super) fn new(now: SystemTime) -> Self {
        let state = State { loaded: now, is_good: true, failed: None, successes: 0, failures: 0 };
        Self(Mutex::new(state))
    }

    /// Another configuration is in force.
    pub(super) fn loaded(&self, now: SystemTime) {
        let mut state = self.state();
        state.loaded = now;
        state.is_good = true;
        state.successes += 1;
    }

    /// A reload has failed: nothing has changed.
    pub(super) fn failed(&self, now: SystemTime, reason: String) {
        let mut state = self.state();
        state.is_good = false;
        state.failed = Some((now, reason));
        state.failures += 1;
    }

    /// Why the last reload failed, unless it succeeded.
    pub(super) fn problem(&self) -> Option<String> {
        let state = self.state();
        state.failed.as_ref().filter(|_| !state.is_good).map(|(_, reason)| reason.clone())
    }

    pub(super) fn shown(&self) -> Configuration {
        let state = self.state();
        let failed = state.failed.as_ref();
        Configuration {
            loaded: seconds(state.loaded),
            failed_reload: failed.map(|(at, reason)| Failed { at: seconds(*at), reason: reason.clone() }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collect for Reloads {
    /// The first two are named like Prometheus' own.
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let state = self.state();
            page.single(
                "causeway_config_last_reload_successful",
                CollectorKind::Gauge,
                "Whether the last reload of the configuration succeeded: 1 or 0.",
                if state.is_good { 1.0 } else { 0.0 },
            );
            page.single(
                "causeway_config_last_reload_success_timestamp_seconds",
                CollectorKind::Gauge,
                "Time at which the configuration in force was loaded, in seconds since 1970.",
                seconds(state.loaded),
            );
            let mut reloads = FamilyText::new(
                "causeway_config_reloads_total",
                CollectorKind::Counter,
                "Number of reloads of the configuration, by result.",
            );
            for (result, count) in [("success", state.successes), ("failure", state.failures)] {
                reloads.sample("", [("result", result)], approximate(count));
            }
            page.add(reloads);
        })
    }
}
