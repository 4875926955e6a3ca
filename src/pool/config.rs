//! The `pool` section of `.rr.yaml`.

use std::time::Duration;

use crate::worker::Command;

/// `centrifuge.pool`. Defaults are RoadRunner's unless a line says otherwise.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Workers to keep; 0 in the file means one per CPU, 500 is the most. Never 0 here.
    pub num_workers: usize,
    /// Requests after which a worker is replaced; 0: no limit.
    pub max_jobs: u64,
    /// Requests that may wait for a worker; one more fails at once; 0: no limit.
    pub max_queue_size: usize,
    /// How long a worker's start and handshake may take, and how long a request waits for a free worker; 60s.
    pub allocate_timeout: Duration,
    /// How long a worker may take to leave after the stop frame before it is killed; 60s.
    pub destroy_timeout: Duration,
    /// How long a reset may take; 60s.
    pub reset_timeout: Duration,
    /// How long a streamed answer may pause; 60s.
    pub stream_timeout: Duration,
    /// A fresh worker for each request.
    pub debug: bool,
    /// Instead of `server.command`.
    pub command: Option<Command>,
    /// Whether each request is followed by a fence (Causeway's own key); true.
    pub fence: bool,
    /// How long a worker may go on with a request that nobody waits for any more, when `exec_ttl` is not set (Causeway's own key); 60s.
    pub abandon_ttl: Duration,
    /// Files whose change resets the pool, as globs (Causeway's own key).
    pub watch: Vec<String>,
    /// Limits on one worker's time and memory.
    pub supervisor: Option<Supervisor>,
    /// Scaling beyond `num_workers`.
    pub dynamic_allocator: Option<DynamicAllocator>,
}

/// `pool.supervisor`. A zero duration or size is no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct Supervisor {
    /// How often limits are looked at; 5s.
    pub watch_tick: Duration,
    /// The longest life of a worker.
    pub ttl: Duration,
    /// The longest idle time of a worker, from its first use on.
    pub idle_ttl: Duration,
    /// The longest time that one request may take; the worker is killed.
    pub exec_ttl: Duration,
    /// Resident memory in MB (2^20 bytes) past which a worker is replaced after its request.
    pub max_worker_memory: u64,
}

/// `pool.dynamic_allocator`.
#[derive(Debug, Clone, PartialEq)]
pub struct DynamicAllocator {
    /// How many workers may be added to `num_workers`; 10.
    pub max_workers: usize,
    /// How many are started per second at the most; 5.
    pub spawn_rate: usize,
    /// How long an added worker may be unused before it is stopped; 1m.
    pub idle_timeout: Duration,
}
