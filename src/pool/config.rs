//! The `pool` section of `.rr.yaml`.

use std::time::Duration;

use globset::Glob;
use serde::Deserialize;
use serde::de::{self, Deserializer, Unexpected};

use super::core::MAX_WORKERS;
use crate::compat::Compat;
use crate::duration;
use crate::findings::Findings;
use crate::worker::{Codec, Command};

const MINUTE: Duration = Duration::from_mins(1);

/// `centrifuge.pool`. Defaults are RoadRunner's unless a line says otherwise.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Workers to keep; 0 in the file means one per CPU, 500 is the most. Never 0 here.
    #[serde(deserialize_with = "workers")]
    pub num_workers: usize,
    /// Requests after which a worker is replaced; 0: no limit.
    pub max_jobs: u64,
    /// Requests that may wait for a worker; one more fails at once; 0: no limit.
    pub max_queue_size: usize,
    /// How long a worker's start and handshake may take, and how long a request waits for a free worker; 60s.
    #[serde(deserialize_with = "duration::minute_if_zero")]
    pub allocate_timeout: Duration,
    /// How long a worker may take to leave after the stop frame before it is killed; 60s.
    #[serde(deserialize_with = "duration::minute_if_zero")]
    pub destroy_timeout: Duration,
    /// How long a reset may take; 60s.
    #[serde(deserialize_with = "duration::minute_if_zero")]
    pub reset_timeout: Duration,
    /// How long a streamed answer may go on when its worker has to leave; 60s.
    #[serde(deserialize_with = "duration::minute_if_zero")]
    pub stream_timeout: Duration,
    /// Starts a worker for each request.
    pub debug: bool,
    /// Instead of `server.command`.
    pub command: Option<Command>,
    /// Whether each request is followed by a fence (Causeway's own key); true.
    pub fence: bool,
    /// Requests that a worker of protocol 2 may have in flight, at most (Causeway's own key); 0: as many as it offers.
    pub concurrency: usize,
    /// The codec of workers that name none in their handshake (Causeway's own key); protobuf.
    pub codec: Codec,
    /// How long a worker may go on with a request that no caller waits for any more, when `exec_ttl` is not set (Causeway's own key); 60s.
    #[serde(deserialize_with = "duration::minute_if_zero")]
    pub abandon_ttl: Duration,
    /// How long a worker may take for a request before that is logged (Causeway's own key); 0: none is.
    #[serde(deserialize_with = "duration::deserialize")]
    pub slow_after: Duration,
    /// Files whose change resets the pool, as globs (Causeway's own key).
    pub watch: Vec<Glob>,
    /// Limits on one worker's time and memory.
    pub supervisor: Option<Supervisor>,
    /// Scaling beyond `num_workers`.
    pub dynamic_allocator: Option<DynamicAllocator>,
}

/// `pool.supervisor`. A zero duration or size is no limit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct Supervisor {
    /// How often limits are checked; 5s.
    #[serde(deserialize_with = "duration::deserialize")]
    pub watch_tick: Duration,
    /// The longest life of a worker.
    #[serde(deserialize_with = "duration::deserialize")]
    pub ttl: Duration,
    /// The longest idle time of a worker, from its first use on.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_ttl: Duration,
    /// The longest time that one request may take; the worker is killed.
    #[serde(deserialize_with = "duration::deserialize")]
    pub exec_ttl: Duration,
    /// Resident memory in MB (2^20 bytes) past which a worker is replaced after its request; the median of the last checks counts.
    #[serde(deserialize_with = "megabytes")]
    pub max_worker_memory: u64,
    /// The multiple of `max_worker_memory` past which a worker is killed at once (Causeway's own key); 0: none.
    #[serde(deserialize_with = "multiple")]
    pub max_worker_memory_hard: f64,
}

/// `pool.dynamic_allocator`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default)]
pub struct DynamicAllocator {
    /// How many workers may be added to `num_workers`; 10.
    pub max_workers: usize,
    /// How many are started per second, at most; 5.
    pub spawn_rate: usize,
    /// How long an added worker may be unused before it is stopped; 1m.
    #[serde(deserialize_with = "duration::deserialize")]
    pub idle_timeout: Duration,
}

/// Most workers that RoadRunner starts per second.
const MAX_SPAWN_RATE: usize = 100;

impl DynamicAllocator {
    /// How many workers this RoadRunner adds to `num_workers`, at most.
    pub(crate) fn most_workers(num_workers: usize, compat: Compat) -> usize {
        match compat {
            Compat::V2025 => 100,
            Compat::V3 => 2048_usize.saturating_sub(num_workers),
        }
    }

    /// Applies the limits of this RoadRunner. Returns the keys whose values were beyond them, with a message.
    pub(crate) fn clip(&mut self, num_workers: usize, compat: Compat) -> Vec<(&'static str, String)> {
        let mut clipped = Vec::new();
        let mut at_most = |key, value: &mut usize, most| {
            if *value > most {
                *value = most;
                clipped.push((key, format!("is read as {most}, which is RoadRunner's limit")));
            }
        };
        at_most("max_workers", &mut self.max_workers, Self::most_workers(num_workers, compat));
        at_most("spawn_rate", &mut self.spawn_rate, MAX_SPAWN_RATE);
        if compat.is_v3() && self.idle_timeout < Duration::from_secs(1) {
            self.idle_timeout = MINUTE;
            clipped.push(("idle_timeout", "is read as 1m, as in RoadRunner 3: it is less than 1s".into()));
        }
        clipped
    }
}

impl Config {
    /// Reports settings that make no sense together; `section` is the key of these.
    pub(crate) fn validate(&self, section: &str, findings: &mut Findings) {
        if let Some(supervisor) = &self.supervisor
            && supervisor.max_worker_memory_hard > 0.0
            && supervisor.max_worker_memory == 0
        {
            findings.mistake(
                format!("{section}.supervisor.max_worker_memory_hard"),
                "is a multiple of max_worker_memory, which is not set",
            );
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            num_workers: cpus(),
            max_jobs: 0,
            max_queue_size: 0,
            allocate_timeout: MINUTE,
            destroy_timeout: MINUTE,
            reset_timeout: MINUTE,
            stream_timeout: MINUTE,
            debug: false,
            command: None,
            fence: true,
            concurrency: 0,
            codec: Codec::Proto,
            abandon_ttl: MINUTE,
            slow_after: Duration::ZERO,
            watch: Vec::new(),
            supervisor: None,
            dynamic_allocator: None,
        }
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self {
            watch_tick: Duration::from_secs(5),
            ttl: Duration::ZERO,
            idle_ttl: Duration::ZERO,
            exec_ttl: Duration::ZERO,
            max_worker_memory: 0,
            max_worker_memory_hard: 0.0,
        }
    }
}

impl Default for DynamicAllocator {
    fn default() -> Self {
        Self { max_workers: 10, spawn_rate: 5, idle_timeout: MINUTE }
    }
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match u64::deserialize(deserializer).map(usize::try_from)? {
        Ok(0) => Ok(cpus()),
        Ok(number) if number <= MAX_WORKERS => Ok(number),
        _ => Err(de::Error::custom(format!("expected at most {MAX_WORKERS} workers"))),
    }
}

fn megabytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let expected = "a whole number of megabytes such as 128";
    u64::deserialize(deserializer)
        .map_err(|_| de::Error::invalid_value(Unexpected::Other("a text"), &expected))
}

fn multiple<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let expected = "a number greater than 1, such as 2";
    match f64::deserialize(deserializer) {
        Ok(multiple) if multiple == 0.0 || (multiple > 1.0 && multiple.is_finite()) => Ok(multiple),
        Ok(multiple) => Err(de::Error::invalid_value(Unexpected::Float(multiple), &expected)),
        Err(_) => Err(de::Error::invalid_value(Unexpected::Other("a text"), &expected)),
    }
}
