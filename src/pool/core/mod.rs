//! The pool's decisions, without tasks or processes: events in, effects out.
//!
//! Every decision about births and deaths is made here, so that each can be tested as a sequence of lines. After each event, whatever it
//! was, the same few rules are applied:
//!
//! ```text
//!   base       = target + extra (for load) + substitutes (for abandoned workers)
//!   successors = one for each due worker, but no more than a quarter of the target, and at least one
//!              + one for each worker that is nearly exhausted; together no more than the target
//!   present    = ready + standby + starting
//!   wanted     = base + successors
//!
//!   ready < base, a standby   ─▶ it is lent to requests
//!   a due one, a standby      ─▶ the standby is lent to requests, and the due one leaves
//!   ready > base              ─▶ one leaves: a due one, else the newest
//!   present > wanted          ─▶ a start is called off
//!   present < wanted          ─▶ one is started, unless starts fail: then after a pause, and one by one
//! ```
//!
//! So a successor is always ready before the one it replaces is asked to leave, a death counts like any other lack, and a worker which
//! comes back from an abandoned request makes another one surplus, in the middle of a reset too. No more than `base` workers serve.
//!
//! A worker that is *exhausted* has had as many requests as it may, and leaves at once: this limit is strict. So that no request waits for
//! a boot, a worker that is *nearly exhausted* has its successor started before, which is the pool's standby until then (`standby`).

mod availability;
mod counts;
mod growth;
mod messages;
mod reset;
mod standby;

use std::collections::BTreeMap;
use std::time::Duration;

use growth::Growth;
pub(super) use growth::Scaling;
pub(super) use messages::{Availability, Effect, Event, Generation, Reason, ResetEnd, WorkerId};

/// The first pause after a worker that could not be started; each further one doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest pause between attempts to start a worker.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// The most workers that a pool may be asked to keep; RoadRunner's own limit.
pub(super) const MAX_WORKERS: usize = 500;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Starting,
    /// Starting, for one request that waits for it.
    OneShot,
    /// It has booted, and waits until it is needed.
    Standby,
    /// Lent to requests.
    Ready,
    /// Asked to leave.
    Retiring,
    /// Being killed.
    Dying,
}

/// How many of the requests that a worker may have are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    Enough,
    /// Its successor has to be ready soon.
    Few,
    /// It is exhausted.
    None,
}

#[derive(Debug, Clone, Copy)]
struct Worker {
    state: State,
    /// Why it is to be replaced, apart from its generation.
    due: Option<Reason>,
    left: Left,
    /// It has been a standby for a while.
    waited: bool,
    /// The generation of the recipe that it was started from.
    generation: Generation,
    /// It has become ready.
    booted: bool,
    /// It goes on with a request that no caller waits for.
    abandoned: bool,
    /// How many failures had been counted when it was started.
    round: u64,
}

impl Worker {
    fn new(state: State, generation: Generation, round: u64) -> Self {
        Self {
            state,
            due: None,
            left: Left::Enough,
            waited: false,
            generation,
            booted: false,
            abandoned: false,
            round,
        }
    }

    /// Whether it has booted, and does not leave.
    fn is_up(&self) -> bool {
        matches!(self.state, State::Standby | State::Ready)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    FirstBoot,
    Running,
    /// No worker is started any more; those that are left finish their requests.
    Draining,
    /// The same, and there is only so much time.
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

/// The pool's state machine.
#[derive(Debug)]
pub(super) struct Core {
    target: usize,
    growth: Growth,
    workers: BTreeMap<WorkerId, Worker>,
    next: WorkerId,
    phase: Phase,
    /// Of workers that are started now.
    generation: Generation,
    /// Workers of older generations are being replaced.
    resetting: bool,
    /// Workers of this generation that were of use and have exited.
    spent: usize,
    /// Starts that failed, in a row.
    failures: u32,
    /// Workers that died at once and unused, in a row.
    crashes: u32,
    pause: Pause,
    /// Failures that were counted, ever.
    round: u64,
    last_failure: String,
    /// The last worker that was ready was exhausted, and did not die.
    exhausted: bool,
    /// Standbys are being watched.
    watches_standbys: bool,
    announced: Availability,
}

impl Core {
    /// A pool that keeps `target` workers, and more as `scaling` allows. With a target of 0 workers are started for single requests only.
    pub(super) fn new(target: usize, scaling: Option<Scaling>) -> Self {
        Self {
            target,
            growth: Growth::new(scaling),
            workers: BTreeMap::new(),
            next: 1,
            phase: Phase::FirstBoot,
            generation: 0,
            resetting: false,
            spent: 0,
            failures: 0,
            crashes: 0,
            pause: Pause::None,
            round: 0,
            last_failure: String::new(),
            exhausted: false,
            watches_standbys: false,
            announced: Availability::Serving,
        }
    }

    /// How many attempts have failed in a row.
    pub(super) fn streak(&self) -> u32 {
        self.failures.max(self.crashes)
    }

    /// The configured number of workers.
    pub(super) fn target(&self) -> usize {
        self.target
    }

    /// The generation from which workers are started now.
    pub(super) fn generation(&self) -> Generation {
        self.generation
    }

    /// How many workers have been added for the load.
    pub(super) fn extra(&self) -> usize {
        self.growth.extra
    }

    /// Whether requests that wait can make the pool grow.
    pub(super) fn can_grow(&self) -> bool {
        self.phase == Phase::Running && self.target > 0 && self.growth.has_room(self.abandoned(), self.target)
    }

    /// Handles an event; what is to be done is appended to `effects`.
    pub(super) fn handle(&mut self, event: Event, effects: &mut Vec<Effect>) {
        match event {
            Event::Start => self.start(true, effects),
            Event::StartOptional => self.start(false, effects),
            Event::Booted(id) => self.booted(id, effects),
            Event::BootFailed(id, reason) => self.boot_failed(id, reason, effects),
            Event::Retire(id, reason) => self.retire(id, reason, effects),
            Event::Due(id, reason) => self.due(id, reason),
            Event::NearlyExhausted(id) => self.nearly_exhausted(id),
            Event::FarFromExhausted(id) => self.far_from_exhausted(id),
            Event::Exited { id, useful, how } => self.exited(id, useful, how),
            Event::Abandoned(id) => self.set_abandoned(id, true),
            Event::CameBack(id) => self.set_abandoned(id, false),
            Event::Waiting { requests, now } => self.waiting(requests, now, effects),
            Event::Unneeded(id) => self.unneeded(id, effects),
            Event::OneShot => self.one_shot(effects),
            Event::Add => self.resize(self.target.saturating_add(1)),
            Event::Remove => self.resize(self.target.saturating_sub(1)),
            Event::Configured { target, scaling } => self.configured(target, scaling),
            Event::Reset => self.reset(effects),
            Event::ResetTimeout => self.end_reset(ResetEnd::TimedOut, effects),
            Event::PauseOver => self.pause = Pause::None,
            Event::StandbysWaited => self.standbys_waited(effects),
            Event::Drain => self.drain(effects),
            Event::Shutdown => self.shutdown(effects),
        }
        if matches!(self.phase, Phase::FirstBoot | Phase::Running) {
            self.lend_standbys(effects);
            self.retire_surplus(effects);
            self.fill(effects);
            self.watch_standbys(effects);
        }
        self.finish_reset(effects);
        self.announce(effects);
        if matches!(self.phase, Phase::Draining | Phase::Ending) && self.workers.is_empty() {
            self.phase = Phase::Ended;
            effects.push(Effect::Ended);
        }
    }

    fn start(&mut self, required: bool, effects: &mut Vec<Effect>) {
        if self.target == 0 || !required {
            self.phase = Phase::Running;
            effects.push(Effect::FirstBoot(Ok(())));
        }
    }

    fn booted(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match worker.state {
            State::Starting => worker.state = State::Standby,
            // It leaves after its one request.
            State::OneShot => worker.state = State::Retiring,
            State::Standby | State::Ready | State::Retiring | State::Dying => return,
        }
        worker.booted = true;
        self.failures = 0;
        self.lend_standbys(effects);
        if self.phase == Phase::FirstBoot && self.count(State::Ready) == self.target {
            self.phase = Phase::Running;
            effects.push(Effect::FirstBoot(Ok(())));
        }
    }

    fn boot_failed(&mut self, id: WorkerId, reason: String, effects: &mut Vec<Effect>) {
        // One that was called off, or was for one request, which hears of it, says nothing about the next.
        let Some(Worker { state: State::Starting, round, .. }) = self.workers.remove(&id) else { return };
        if self.phase == Phase::FirstBoot {
            effects.push(Effect::FirstBoot(Err(reason)));
            return self.shutdown(effects);
        }
        self.end_reset(ResetEnd::BootFailed(reason.clone()), effects);
        if self.owe_pause(round, reason) {
            self.failures = self.failures.saturating_add(1);
        }
    }

    fn retire(&mut self, id: WorkerId, reason: Reason, effects: &mut Vec<Effect>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if worker.is_up() {
            self.exhausted = reason == Reason::MaxJobs;
        }
        match worker.state {
            State::Dying => {}
            // It was asked to leave and cannot be talked to any more: nothing else would end it.
            _ if reason.is_hard() => {
                worker.state = State::Dying;
                effects.push(Effect::Kill(id, reason));
            }
            // At shutdown even a worker that is in its last request has only so much time.
            State::Retiring if reason != Reason::Shutdown => {}
            State::Starting | State::OneShot | State::Standby | State::Ready | State::Retiring => {
                worker.state = State::Retiring;
                if reason == Reason::MaxJobs {
                    worker.left = Left::None;
                }
                effects.push(Effect::Retire(id, reason));
            }
        }
    }

    fn due(&mut self, id: WorkerId, reason: Reason) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.due.get_or_insert(reason);
        }
    }

    fn exited(&mut self, id: WorkerId, useful: bool, how: String) {
        let Some(worker) = self.workers.remove(&id) else { return };
        self.exhausted &= !worker.is_up();
        if useful {
            self.spent += usize::from(worker.booted && !self.is_outdated(&worker));
            self.crashes = 0;
        } else if worker.state != State::Retiring && self.owe_pause(worker.round, how) {
            self.crashes = self.crashes.saturating_add(1);
        }
    }

    /// A failure delays the next attempt. Workers that were started together and fail, however far apart, count as one: the failure of
    /// one that was started before the last counted failure is no news.
    fn owe_pause(&mut self, round: u64, reason: String) -> bool {
        self.last_failure = reason;
        let first = self.pause == Pause::None && round == self.round;
        if first {
            self.pause = Pause::Owed;
            self.round += 1;
        }
        first
    }

    fn set_abandoned(&mut self, id: WorkerId, abandoned: bool) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.abandoned = abandoned;
        }
    }

    fn one_shot(&mut self, effects: &mut Vec<Effect>) {
        if self.phase == Phase::Running {
            let id = self.admit(State::OneShot);
            effects.push(Effect::SpawnOneShot(id));
        }
    }

    /// A pool keeps at least one worker; one that keeps none, since it starts one per request, stays so.
    fn resize(&mut self, target: usize) {
        if self.phase == Phase::Running && self.target > 0 && (1..=MAX_WORKERS).contains(&target) {
            self.target = target;
        }
    }

    fn configured(&mut self, target: Option<usize>, scaling: Option<Scaling>) {
        self.growth.set(scaling);
        if let Some(target) = target {
            self.resize(target);
        }
    }

    /// A worker that is started for one request, which waits for it, becomes ready and leaves by itself.
    fn drain(&mut self, effects: &mut Vec<Effect>) {
        if !matches!(self.phase, Phase::FirstBoot | Phase::Running) {
            return;
        }
        self.phase = Phase::Draining;
        self.end_reset(ResetEnd::Closed, effects);
        let is_one_shot = |worker: &&Worker| worker.state == State::OneShot;
        let leaving = self.workers.iter().filter(|(_, worker)| !is_one_shot(worker));
        for id in leaving.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.retire(id, Reason::Removed, effects);
        }
    }

    fn shutdown(&mut self, effects: &mut Vec<Effect>) {
        if matches!(self.phase, Phase::Ending | Phase::Ended) {
            return;
        }
        self.phase = Phase::Ending;
        self.end_reset(ResetEnd::Closed, effects);
        let leaving: Vec<WorkerId> = self.workers.keys().copied().collect();
        for id in leaving {
            self.retire(id, Reason::Shutdown, effects);
        }
    }

    /// Lets workers go that are too many.
    fn retire_surplus(&mut self, effects: &mut Vec<Effect>) {
        self.growth.substitutes = self.growth.substitutes.min(self.abandoned());
        while self.count(State::Ready) > self.base() {
            let newest = self.ready().last().map(|(id, _)| (id, Reason::Surplus));
            let Some((id, reason)) = self.oldest_due().or(newest) else { return };
            self.retire(id, reason, effects);
            self.growth.substitutes = self.growth.substitutes.min(self.abandoned());
        }
        let standbys =
            self.count(State::Standby).saturating_sub(self.count_nearly_exhausted().min(self.target));
        let starts = self.present().saturating_sub(standbys + self.wanted());
        for (state, too_many) in [(State::Standby, standbys), (State::Starting, starts)] {
            for id in self.ids(state).into_iter().rev().take(too_many) {
                self.retire(id, Reason::Surplus, effects);
            }
        }
    }

    /// Starts as many workers as are missing: after a pause where starting them failed, and one by one until that works again.
    fn fill(&mut self, effects: &mut Vec<Effect>) {
        if self.pause == Pause::Owed {
            self.pause = Pause::Running;
            effects.push(Effect::Pause(pause(self.streak())));
        }
        if self.pause == Pause::Running {
            return;
        }
        let starting = self.count(State::Starting);
        let missing = self.wanted().saturating_sub(self.present()).min(self.room());
        let attempts = if self.failures > 0 { missing.min(1).saturating_sub(starting) } else { missing };
        for _ in 0..attempts {
            let id = self.admit(State::Starting);
            effects.push(Effect::Spawn(id));
        }
    }

    fn admit(&mut self, state: State) -> WorkerId {
        let id = self.next;
        self.next += 1;
        self.workers.insert(id, Worker::new(state, self.generation, self.round));
        id
    }

    /// Why a worker is to be replaced, if it is: for a limit, or by a reset since it is of an older generation.
    fn due_reason(&self, worker: &Worker) -> Option<Reason> {
        worker.due.or((self.resetting && self.is_outdated(worker)).then_some(Reason::Reset))
    }

    fn is_outdated(&self, worker: &Worker) -> bool {
        worker.generation < self.generation
    }
}

/// 100 ms, doubling up to 10 s.
fn pause(streak: u32) -> Duration {
    let doublings = streak.saturating_sub(1);
    FIRST_PAUSE.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;
