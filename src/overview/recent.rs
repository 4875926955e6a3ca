//! The last deaths and slow requests of all pools, the latest first.

use std::sync::Arc;

use serde::Serialize;

use super::clock::seconds;
use crate::pools::{Death, PoolSnapshot, Slow};

/// The number of each in a snapshot.
const MAX: usize = 16;

/// The death of a worker.
#[derive(Debug, Serialize)]
pub(super) struct ShownDeath {
    at: f64,
    pool: String,
    pid: u32,
    reason: &'static str,
    exit: String,
    last_words: String,
    requests: u64,
    age: f64,
}

/// A request that took long.
#[derive(Debug, Serialize)]
pub(super) struct ShownSlow {
    at: f64,
    pool: String,
    pid: u32,
    #[serde(rename = "type")]
    kind: String,
    method: Option<String>,
    channel: Option<String>,
    user: Option<String>,
    trace_id: Option<String>,
    took: f64,
    doing: String,
}

/// The last deaths.
pub(super) fn deaths(pools: &[PoolSnapshot]) -> Vec<ShownDeath> {
    let show = |(pool, death): (&PoolSnapshot, &Death)| ShownDeath {
        at: seconds(death.at),
        pool: pool.name.clone(),
        pid: death.pid,
        reason: death.reason,
        exit: death.exit.clone(),
        last_words: death.last_words.clone(),
        requests: death.requests,
        age: death.age.as_secs_f64(),
    };
    latest(pools, |pool| &pool.recent.deaths, |death| death.at).map(show).collect()
}

/// The last slow requests.
pub(super) fn slow(pools: &[PoolSnapshot]) -> Vec<ShownSlow> {
    let show = |(pool, slow): (&PoolSnapshot, &Slow)| ShownSlow {
        at: seconds(slow.at),
        pool: pool.name.clone(),
        pid: slow.pid,
        kind: slow.kind.clone(),
        method: slow.method.clone(),
        channel: slow.channel.clone(),
        user: slow.user.clone(),
        trace_id: slow.trace_id.clone(),
        took: slow.took.as_secs_f64(),
        doing: slow.doing.clone(),
    };
    latest(pools, |pool| &pool.recent.slow, |slow| slow.at).map(show).collect()
}

fn latest<'a, T: 'a, K: Ord>(
    pools: &'a [PoolSnapshot],
    of: impl Fn(&'a PoolSnapshot) -> &'a Vec<Arc<T>>,
    at: impl Fn(&T) -> K,
) -> impl Iterator<Item = (&'a PoolSnapshot, &'a T)> {
    let of = |pool| of(pool).iter().map(move |item| (pool, &**item));
    let mut all: Vec<_> = pools.iter().flat_map(of).collect();
    all.sort_by_key(|(_, item)| std::cmp::Reverse(at(item)));
    all.into_iter().take(MAX)
}
