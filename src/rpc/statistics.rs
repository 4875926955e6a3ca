//! How often methods are called.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use crate::api::METHODS;
use crate::telemetry::metrics::{Collect, Collected, CollectorKind, FamilyText, approximate, ready};

/// The label of all methods that do not exist, or not in this version of Centrifugo.
const OTHER: &str = "other";

/// Counts calls: those that workers make all the time without a lock.
#[derive(Debug)]
pub(super) struct Statistics {
    /// `centrifuge.<Method>`, by the place in [`METHODS`].
    centrifugo: [Count; METHODS.len()],
    publish: Count,
    other: Count,
    /// Methods of the table.
    rare: Mutex<BTreeMap<&'static str, (u64, u64)>>,
}

#[derive(Debug, Default)]
struct Count {
    calls: AtomicU64,
    failures: AtomicU64,
}

/// Which method was called.
#[derive(Debug, Clone, Copy)]
pub(super) enum Called<'a> {
    /// This one of Centrifugo.
    Centrifugo(&'a str),
    /// `stream.Publish`.
    StreamPublish,
    /// This one of the table.
    Table(&'static str),
    /// One that does not exist.
    Unknown,
}

impl Default for Statistics {
    fn default() -> Self {
        let centrifugo = std::array::from_fn(|_| Count::default());
        Self { centrifugo, publish: Count::default(), other: Count::default(), rare: Mutex::default() }
    }
}

impl Statistics {
    /// Counts a call that has ended.
    pub(super) fn count(&self, called: Called<'_>, failed: bool) {
        let count = match called {
            Called::Centrifugo(method) => {
                let known = METHODS.iter().position(|known| *known == method);
                known.map_or(&self.other, |number| &self.centrifugo[number])
            }
            Called::StreamPublish => &self.publish,
            Called::Unknown => &self.other,
            Called::Table(method) => {
                let mut rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
                let (calls, failures) = rare.entry(method).or_default();
                *calls += 1;
                *failures += u64::from(failed);
                return;
            }
        };
        count.calls.fetch_add(1, Relaxed);
        if failed {
            count.failures.fetch_add(1, Relaxed);
        }
    }

    /// All calls and failures.
    pub(super) fn counted(&self) -> (u64, u64) {
        let rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
        let rare = rare.values().copied();
        let read = |count: &Count| (count.calls.load(Relaxed), count.failures.load(Relaxed));
        let often = self.centrifugo.iter().chain([&self.publish, &self.other]).map(read);
        often.chain(rare).fold((0, 0), |(calls, failures), (more, failed)| (calls + more, failures + failed))
    }

    /// Calls and failures of the methods that were called.
    fn counts(&self) -> BTreeMap<String, (u64, u64)> {
        let centrifugo = METHODS.iter().map(|method| format!("centrifuge.{method}")).zip(&self.centrifugo);
        let others = [("stream.Publish".to_owned(), &self.publish), (OTHER.to_owned(), &self.other)];
        let read = centrifugo
            .chain(others)
            .map(|(name, count)| (name, (count.calls.load(Relaxed), count.failures.load(Relaxed))));
        let mut counts: BTreeMap<String, (u64, u64)> = read.filter(|(_, (calls, _))| *calls > 0).collect();
        let rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
        counts.extend(rare.iter().map(|(name, counts)| ((*name).to_owned(), *counts)));
        counts
    }
}

impl Collect for Statistics {
    fn collect(self: Arc<Self>) -> Collected {
        ready(move |page| {
            let counter = |name, help| FamilyText::new(name, CollectorKind::Counter, help);
            let mut calls =
                counter("causeway_rpc_calls_total", "Number of RPC calls that have ended, by method.");
            let mut failures =
                counter("causeway_rpc_failures_total", "Number of RPC calls that have failed, by method.");
            for (method, (called, failed)) in self.counts() {
                let labels = [("method", &*method)];
                calls.sample("", labels, approximate(called));
                failures.sample("", labels, approximate(failed));
            }
            page.add(calls);
            page.add(failures);
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_failures_are_counted_by_method_and_invented_methods_share_a_label() {
        let statistics = Statistics::default();
        for number in 0..100 {
            statistics.count(Called::Centrifugo(&format!("Invented{number}")), true);
        }
        statistics.count(Called::Unknown, true);
        statistics.count(Called::Centrifugo("Publish"), false);
        statistics.count(Called::StreamPublish, false);
        statistics.count(Called::Table("informer.Workers"), false);
        statistics.count(Called::Table("informer.Workers"), true);
        assert_eq!(statistics.counted(), (105, 102));
        let counts = statistics.counts();
        let counts: Vec<_> = counts.iter().map(|(name, counts)| (&**name, *counts)).collect();
        assert_eq!(
            counts,
            [
                ("centrifuge.Publish", (1, 0)),
                ("informer.Workers", (2, 1)),
                ("other", (101, 101)),
                ("stream.Publish", (1, 0)),
            ]
        );
    }
}
