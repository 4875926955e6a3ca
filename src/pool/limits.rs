//! Looking after the workers from time to time: which is past a limit, and which is not needed any more.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::Config;
use super::actor::Actor;
use super::alarms::Alarm;
use super::core::{Event, WorkerId};
use super::policy::{Limits, Observer, Sight, unneeded};
use super::shared::Message;
use crate::offload;
use crate::worker::{self, State};

/// Looks within one `idle_timeout`.
const LOOKS: u32 = 4;

/// The shortest and the longest time between two looks for workers that are not needed.
const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// What the actor needs to look after its workers.
#[derive(Debug)]
pub(super) struct Supervision {
    began: Instant,
    limits: Limits,
    tick: Duration,
    idle_timeout: Duration,
    limit_observer: Observer,
    idle_observer: Observer,
}

impl Supervision {
    pub(super) fn new(config: &Config) -> Self {
        let limits = config.supervisor.as_ref().map_or_else(Limits::default, |supervisor| Limits {
            ttl: supervisor.ttl,
            idle_ttl: supervisor.idle_ttl,
            memory: supervisor.max_worker_memory.saturating_mul(1 << 20),
        });
        Self {
            began: Instant::now(),
            limits,
            tick: config
                .supervisor
                .as_ref()
                .map_or(LONGEST, |supervisor| supervisor.watch_tick)
                .max(SHORTEST),
            idle_timeout: config
                .dynamic_allocator
                .as_ref()
                .map_or(Duration::MAX, |scaling| scaling.idle_timeout),
            limit_observer: Observer::default(),
            idle_observer: Observer::default(),
        }
    }

    /// The time, measured from the pool's begin.
    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Actor {
    /// Sets the first alarm, if there is a limit.
    pub(super) fn start_supervision(&mut self) {
        if self.supervision.limits.exist() {
            self.alarms.set(Alarm::Limits, self.supervision.tick);
        }
    }

    /// Begins a look at the limits; memory is read off `/proc` on a thread that may block.
    pub(super) fn measure(&mut self) {
        if self.supervision.limits.memory == 0 {
            return self.look_at_limits(&HashMap::new());
        }
        let shared = std::sync::Arc::clone(&self.shared);
        offload::background(move || {
            let usage = worker::usage_by_group();
            let memory = usage.into_iter().map(|(group, usage)| (group, usage.resident)).collect();
            shared.tell(Message::Measured(memory));
        });
    }

    /// Ends a look at the limits.
    pub(super) fn look_at_limits(&mut self, memory: &HashMap<u32, u64>) {
        let now = self.supervision.now();
        let sights = self.sights(memory);
        for (seen, idle) in self.supervision.limit_observer.look(&sights, now) {
            if let Some(reason) = self.supervision.limits.breach(&seen, idle) {
                self.tell_core(Event::Due(seen.id, reason));
            }
        }
        self.alarms.set(Alarm::Limits, self.supervision.tick);
    }

    /// While workers are there that were added for a load, it is looked from time to time whether the load is over.
    pub(super) fn expect_shrinking(&mut self) {
        if self.core.extra() > 0 && !self.alarms.is_set(Alarm::Shrink) {
            let every = (self.supervision.idle_timeout / LOOKS).clamp(SHORTEST, LONGEST);
            self.alarms.set(Alarm::Shrink, every);
        }
    }

    /// Lets one worker go, if the pool can do without.
    pub(super) fn shrink(&mut self) {
        let sights = self.sights(&HashMap::new());
        let idle = self.supervision.idle_observer.look(&sights, self.supervision.now());
        if let Some(id) = unneeded(&idle, self.supervision.idle_timeout) {
            self.tell_core(Event::Unneeded(id));
        }
        self.expect_shrinking();
    }

    fn sights(&self, memory: &HashMap<u32, u64>) -> Vec<Sight> {
        let workers = self.processes.values().map(worker::Process::status);
        let serving = workers.filter(|status| !status.is_retiring());
        serving
            .map(|status| Sight {
                id: WorkerId::from(status.id()),
                age: status.age(),
                executions: status.executions(),
                working: status.state() == State::Working,
                memory: memory.get(&status.group()).copied().unwrap_or(0),
            })
            .collect()
    }
}
