//! The last fifteen minutes: one point for every five seconds.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

/// The time that a point covers.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);

/// The number of points: fifteen minutes.
const POINTS: usize = 180;

/// The number of pools that have graphs, the first ones. With all of them, the history takes 400 KB.
pub(super) const MAX_POOLS: usize = 32;

/// What a point says about a pool, by name: requests, failures and rejections per second; the most requests that waited, and that workers
/// had in hand, at one time; how long requests waited and were worked on, in seconds (there are none, if there were no requests); and the
/// share of the workers' time in which they had requests.
const POOL_SERIES: [&str; 9] = [
    "requests",
    "failures",
    "rejections",
    "waiting",
    "in_hand",
    "wait_p99",
    "worker_p50",
    "worker_p99",
    "busy",
];

/// What a point says about the bridge: calls to Centrifugo's API and of RPC per second, and those that failed.
const BRIDGE_SERIES: [&str; 4] = ["api", "api_failures", "rpc", "rpc_failures"];

/// The values of [`BRIDGE_SERIES`].
pub(super) type BridgeValues = [f64; BRIDGE_SERIES.len()];

/// The values of [`POOL_SERIES`].
pub(super) type PoolValues = [f64; POOL_SERIES.len()];

/// The points, oldest first. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    points: VecDeque<Arc<Point>>,
    /// The number of points so far, older ones included: a reader whose own number is one less needs only the last point.
    count: u64,
}

/// One interval.
#[derive(Debug, Clone)]
pub(super) struct Point {
    pub(super) bridge: BridgeValues,
    /// One for each pool that has graphs, by its number.
    pub(super) pools: Box<[PoolValues]>,
}

impl History {
    pub(super) fn add(&mut self, point: Point) {
        if self.points.len() == POINTS {
            self.points.pop_front();
        }
        self.points.push_back(Arc::new(point));
        self.count += 1;
    }

    /// The number of points so far, older ones included.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The bytes of all values, about.
    pub(super) fn size(&self) -> usize {
        self.points.iter().map(|point| size_of_val(&*point.pools)).sum()
    }

    /// All points as JSON: arrays, oldest first. `pools` are the numbers and names of the pools.
    pub(super) fn json(&self, pools: &[(usize, String)]) -> Value {
        self.from(0, pools)
    }

    /// The last point in the same form.
    pub(super) fn last_json(&self, pools: &[(usize, String)]) -> Value {
        self.from(self.points.len().saturating_sub(1), pools)
    }

    /// Without the first ones.
    fn from(&self, first: usize, pools: &[(usize, String)]) -> Value {
        let points = self.points.iter().skip(first);
        let pools = pools.iter().filter(|(number, _)| *number < MAX_POOLS).map(|(number, name)| {
            let series = POOL_SERIES.iter().enumerate().map(|(column, series)| {
                let values =
                    points.clone().map(|point| point.pools.get(*number).map(|values| values[column]));
                ((*series).to_owned(), values.map(rounded).collect())
            });
            (name.clone(), Value::Object(series.collect()))
        });
        let bridge = BRIDGE_SERIES.iter().enumerate().map(|(column, series)| {
            let values = points.clone().map(|point| rounded(Some(point.bridge[column])));
            ((*series).to_owned(), values.collect())
        });
        json!({
            "interval": INTERVAL.as_secs(),
            "points": POINTS,
            "count": self.count,
            "bridge": bridge.collect::<Map<_, _>>(),
            "pools": pools.collect::<Map<_, _>>(),
        })
    }
}

/// With microseconds as the last digit.
fn rounded(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |value| ((value * 1e6).round() / 1e6).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(value: f64) -> Point {
        Point { bridge: [value; BRIDGE_SERIES.len()], pools: Box::new([[value; POOL_SERIES.len()]]) }
    }

    #[test]
    fn the_oldest_points_are_forgotten() {
        let mut history = History::default();
        let names = [(0, "centrifuge".to_owned())];
        assert_eq!(history.json(&names)["pools"]["centrifuge"]["requests"], json!([]));
        for value in 0..=POINTS {
            history.add(point(f64::from(u32::try_from(value).unwrap())));
        }
        let shown = history.json(&names);
        let requests = shown["pools"]["centrifuge"]["requests"].as_array().unwrap();
        assert_eq!((requests.len(), &requests[0]), (POINTS, &json!(1.0)));
        assert_eq!(shown["count"], POINTS + 1);
        assert_eq!(history.last_json(&names)["pools"]["centrifuge"]["busy"], json!([180.0]));
        assert_eq!(history.last_json(&names)["bridge"]["api"], json!([180.0]));
    }

    #[test]
    fn the_memory_of_all_points_is_bounded() {
        let bytes = POINTS * MAX_POOLS * size_of::<PoolValues>();
        assert!(bytes <= 410 << 10, "{bytes}");
        let names: Vec<_> = (0..100).map(|number| (number, format!("centrifuge.{number}"))).collect();
        assert_eq!(History::default().json(&names)["pools"].as_object().unwrap().len(), MAX_POOLS);
    }
}
