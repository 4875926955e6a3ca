//! The pool's decisions, without time, tasks or processes: events in, effects out.
//!
//! Every decision about births and deaths is here, so that each can be tested as a sequence of lines.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A worker's number in its pool; never used twice.
pub(super) type WorkerId = u64;

/// The first pause after a worker that could not be started; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between attempts to start a worker.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Why a worker leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// It asked to be replaced.
    OwnWish,
    /// It broke the protocol or closed its relay: it cannot be talked to any more.
    Faulty,
    /// It went on for too long with a request that nobody waits for.
    Abandoned,
    /// The pool ends.
    Shutdown,
}

impl Reason {
    /// Whether there is nobody left to say stop to.
    fn is_hard(self) -> bool {
        matches!(self, Self::Faulty | Self::Abandoned)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OwnWish => "it asked to be replaced",
            Self::Faulty => "it cannot be talked to",
            Self::Abandoned => "it went on for too long with a request that nobody waits for",
            Self::Shutdown => "the pool ends",
        })
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The pool begins.
    Start,
    /// A worker is ready.
    Booted(WorkerId),
    /// A worker did not become ready; its process is gone.
    BootFailed(WorkerId, String),
    /// A worker has to leave.
    Retire(WorkerId, Reason),
    /// A worker's process is gone; `useful` tells whether it ever finished a request, or lived for long.
    Exited { id: WorkerId, useful: bool, how: String },
    /// The pause is over.
    PauseOver,
    /// The pool ends.
    Shutdown,
}

/// What is to be done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// Start a worker.
    Spawn(WorkerId),
    /// Let a worker leave after the request in hand, if any.
    Retire(WorkerId, Reason),
    /// Kill a worker.
    Kill(WorkerId, Reason),
    /// Wake the core with [`Event::PauseOver`] after this time.
    Pause(Duration),
    /// Requests can, could soon, or cannot be served.
    Announce(Availability),
    /// The first boot is over, or failed with a reason.
    FirstBoot(Result<(), String>),
    /// No worker is left, and none will be started.
    Ended,
}

/// Whether a request finds a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Availability {
    /// There are workers, or some are about to be ready: a request may wait.
    Serving,
    /// There is no worker, and none is about to be ready.
    Down(String),
    /// The pool ends.
    Closed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    Retiring,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    FirstBoot,
    Running,
    Ending,
    Ended,
}

/// Between a failure and the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pause {
    None,
    Owed,
    Running,
}

/// The pool's mind.
#[derive(Debug)]
pub(super) struct Core {
    target: usize,
    workers: BTreeMap<WorkerId, State>,
    next: WorkerId,
    phase: Phase,
    /// Starts that failed, in a row.
    failures: u32,
    /// Workers that died at once and unused, in a row.
    crashes: u32,
    pause: Pause,
    last_failure: String,
    announced: Availability,
}

impl Core {
    /// A pool that keeps `target` workers.
    pub(super) fn new(target: usize) -> Self {
        Self {
            target,
            workers: BTreeMap::new(),
            next: 1,
            phase: Phase::FirstBoot,
            failures: 0,
            crashes: 0,
            pause: Pause::None,
            last_failure: String::new(),
            announced: Availability::Serving,
        }
    }

    /// How many attempts have failed in a row.
    pub(super) fn streak(&self) -> u32 {
        self.failures.max(self.crashes)
    }

    /// Takes an event; what is to be done is appended to `effects`.
    pub(super) fn handle(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Start => {}
            Event::Booted(id) => self.booted(id, effects),
            Event::BootFailed(id, reason) => self.boot_failed(id, reason, effects),
            Event::Retire(id, reason) => self.retire(id, reason, effects),
            Event::Exited { id, useful, how } => self.exited(id, useful, how),
            Event::PauseOver => self.pause = Pause::None,
            Event::Shutdown => self.shutdown(effects),
        }
        self.fill(effects);
        self.announce(effects);
        if self.phase == Phase::Ending && self.workers.is_empty() {
            self.phase = Phase::Ended;
            effects.push(Effect::Ended);
        }
    }

    fn booted(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        match self.workers.get_mut(&id) {
            Some(state @ State::Starting) => *state = State::Ready,
            _ => return,
        }
        self.failures = 0;
        if self.phase == Phase::FirstBoot && self.count(State::Ready) == self.target {
            self.phase = Phase::Running;
            effects.push(Effect::FirstBoot(Ok(())));
        }
    }

    fn boot_failed(&mut self, id: WorkerId, reason: String, effects: &mut Vec<Effect>) {
        if self.workers.remove(&id).is_none() {
            return;
        }
        if self.phase == Phase::FirstBoot {
            effects.push(Effect::FirstBoot(Err(reason)));
            self.shutdown(effects);
        } else if self.owe_pause(reason) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn retire(&mut self, id: WorkerId, reason: Reason, effects: &mut Vec<Effect>) {
        let Some(state @ (State::Ready | State::Starting)) = self.workers.get_mut(&id) else { return };
        *state = State::Retiring;
        effects.push(if reason.is_hard() { Effect::Kill(id, reason) } else { Effect::Retire(id, reason) });
    }

    fn exited(&mut self, id: WorkerId, useful: bool, how: String) {
        if self.workers.remove(&id).is_none() {
            return;
        }
        if useful {
            self.crashes = 0;
        } else if self.owe_pause(how) {
            self.crashes = self.crashes.saturating_add(1);
        }
    }

    /// A failure delays the next attempt. Those that come together, or during a pause, count as one.
    fn owe_pause(&mut self, reason: String) -> bool {
        self.last_failure = reason;
        let first = self.pause == Pause::None;
        if first {
            self.pause = Pause::Owed;
        }
        first
    }

    fn shutdown(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ending | Phase::Ended) {
            return;
        }
        self.phase = Phase::Ending;
        let leaving: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in leaving {
            self.retire(id, Reason::Shutdown, effects);
        }
    }

    /// Starts as many workers as are missing: after a pause where starting them failed, and one by one until that works again.
    fn fill(&mut self, effects: &mut Vec<Effect>) {
        let (ready, starting) = (self.count(State::Ready), self.count(State::Starting));
        if !matches!(self.phase, Phase::FirstBoot | Phase::Running) || ready + starting >= self.target {
            return;
        }
        match self.pause {
            Pause::Owed => {
                self.pause = Pause::Running;
                effects.push(Effect::Pause(pause(self.streak())));
            }
            Pause::Running => {}
            Pause::None => {
                let missing = self.target - ready - starting;
                let attempts = if self.failures > 0 { usize::from(starting == 0) } else { missing };
                for _ in 0..attempts {
                    self.workers.insert(self.next, State::Starting);
                    effects.push(Effect::Spawn(self.next));
                    self.next += 1;
                }
            }
        }
    }

    fn announce(&mut self, effects: &mut Vec<Effect>) {
        let now = match self.phase {
            Phase::Ending | Phase::Ended => Availability::Closed,
            _ if self.count(State::Ready) + self.count(State::Starting) == 0 => {
                Availability::Down(self.last_failure.clone())
            }
            _ => Availability::Serving,
        };
        if now != self.announced {
            self.announced = now.clone();
            effects.push(Effect::Announce(now));
        }
    }

    fn count(&self, state: State) -> usize {
        self.workers.values().filter(|other| **other == state).count()
    }
}

/// 100 ms, doubling up to 10 s.
fn pause(streak: u32) -> Duration {
    let doublings = streak.saturating_sub(1);
    FIRST_PAUSE.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}

#[cfg(test)]
#[path = "core_tests.rs"]
mod tests;
