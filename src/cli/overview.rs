//! What is wrong, and the last fifteen minutes: what `causeway.Snapshot` and `causeway.History` return.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::reach::Server;
use crate::rpc::ClientError;

/// The parts of a snapshot that are shown besides workers and statistics.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Snapshot {
    at: f64,
    instance: String,
    problems: Vec<Problem>,
    pools: Vec<Pool>,
    history: History,
}

/// What a pool's statistics lack.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Pool {
    name: String,
    target: u64,
    serving: u64,
    /// How long requests waited and were worked on lately, if there were any.
    pub(super) wait: Option<Times>,
    pub(super) worker: Option<Times>,
    failed_boot: Option<FailedBoot>,
}

/// In seconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub(super) struct Times {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct FailedBoot {
    reason: String,
}

/// Something that is wrong.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Problem {
    /// `critical` or `warning`.
    pub(super) severity: String,
    pub(super) text: String,
    /// Seconds since 1970.
    pub(super) since: f64,
}

/// Series of values, oldest first, by pool and name.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct History {
    count: u64,
    points: usize,
    pools: BTreeMap<String, BTreeMap<String, Vec<Option<f64>>>>,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Overview {
    at: f64,
    instance: String,
    problems: Vec<Problem>,
    pools: Vec<Pool>,
    history: History,
}

impl Overview {
    /// Asks for what is new. A server that does not have it leaves this empty.
    ///
    /// # Errors
    /// When the server does not answer.
    pub(super) async fn refresh(&mut self, server: &mut Server) -> Result<(), ClientError> {
        let Some(Snapshot { at, instance, problems, pools, history }) =
            ask(server, "causeway.Snapshot").await?
        else {
            return Ok(());
        };
        if self.instance != instance || !self.history.append(history) {
            self.history = ask(server, "causeway.History").await?.unwrap_or_default();
        }
        (self.at, self.instance, self.problems, self.pools) = (at, instance, problems, pools);
        Ok(())
    }

    /// What is wrong, the worst first, each with how many seconds it has lasted.
    pub(super) fn problems(&self) -> impl Iterator<Item = (&Problem, f64)> {
        self.problems.iter().map(|problem| (problem, (self.at - problem.since).max(0.0)))
    }

    /// The pool of this name.
    pub(super) fn pool(&self, name: &str) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.name == name)
    }

    /// A pool's values of this name; none, if the server keeps none.
    pub(super) fn series(&self, pool: &str, name: &str) -> Option<&[Option<f64>]> {
        self.history.pools.get(pool)?.get(name).map(Vec::as_slice)
    }

    /// How many values a series has at most.
    pub(super) fn points(&self) -> usize {
        self.history.points
    }
}

impl Pool {
    /// Why workers are missing, if some are.
    pub(super) fn failed_start(&self) -> Option<&str> {
        let failed = self.failed_boot.as_ref().filter(|_| self.serving < self.target)?;
        Some(&failed.reason)
    }
}

impl History {
    /// Adds the last point, unless it is known. False if others are missing before it.
    fn append(&mut self, last: Self) -> bool {
        if last.count == self.count {
            return true;
        }
        if last.count != self.count + 1 || self.count == 0 {
            return false;
        }
        self.count = last.count;
        for (pool, series) in last.pools {
            for (name, mut values) in series {
                let all = self.pools.entry(pool.clone()).or_default().entry(name).or_default();
                all.append(&mut values);
                let surplus = all.len().saturating_sub(last.points);
                all.drain(..surplus);
            }
        }
        true
    }
}

/// Calls a method whose result is a JSON document. `None` if the server refuses.
async fn ask<T: DeserializeOwned>(server: &mut Server, method: &str) -> Result<Option<T>, ClientError> {
    match server.call(method, &json!(true)).await {
        Ok(document) => Ok(document.as_str().and_then(|document| serde_json::from_str(document).ok())),
        Err(ClientError::Server(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(count: u64, values: &[f64]) -> History {
        let values = values.iter().copied().map(Some).collect();
        let series = BTreeMap::from([("requests".to_owned(), values)]);
        History { count, points: 3, pools: BTreeMap::from([("centrifuge".to_owned(), series)]) }
    }

    #[test]
    fn the_next_point_is_added_and_others_have_to_be_asked_for() {
        let mut all = history(3, &[1.0, 2.0, 3.0]);
        assert!(all.append(history(3, &[3.0])) && all.append(history(4, &[4.0])));
        assert_eq!(all, history(4, &[2.0, 3.0, 4.0]));
        assert!(!all.append(history(6, &[6.0])) && !all.append(history(1, &[1.0])));
        assert!(!History::default().append(history(1, &[1.0])));
        assert!(History::default().append(history(0, &[])));
    }
}
