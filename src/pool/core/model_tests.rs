//! The core in a world where anything may happen in any order: workers boot or do not, die, answer late; callers come, wait and go;
//! operators reset and resize. The world is a plain model; what must hold is checked after each step, and again when peace returns.

mod steps;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;
use steps::{Step, steps};

use super::*;

/// What the world knows of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Starting {
        called_off: bool,
    },
    Standby,
    Idle,
    Busy(InHand),
    /// It has had its last request.
    Exhausted,
    Leaving,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct InHand {
    number: u64,
    /// Its caller has gone.
    abandoned: bool,
    /// Its worker leaves after it.
    last: bool,
}

struct World {
    core: Core,
    most_extra: usize,
    processes: BTreeMap<WorkerId, Process>,
    waiting: VecDeque<u64>,
    /// Which request each worker was given; each at most once.
    given: BTreeMap<u64, WorkerId>,
    requests: u64,
    answered: BTreeSet<u64>,
    failed: BTreeSet<u64>,
    pausing: bool,
    now: u64,
    look_again: Option<u64>,
    watching: bool,
    /// Workers whose successors have waited for long.
    reconsidered: Vec<WorkerId>,
    /// Those of them that have few requests left.
    nearly_done: BTreeSet<WorkerId>,
    /// Workers from before the reset that goes on.
    old: Option<BTreeSet<WorkerId>>,
    ended: bool,
}

impl World {
    fn new(target: usize, most_extra: usize) -> Self {
        let scaling = (most_extra > 0).then_some(Scaling { most: most_extra, per_second: 2 });
        let mut world = Self {
            core: Core::new(target, scaling),
            most_extra,
            processes: BTreeMap::new(),
            waiting: VecDeque::new(),
            given: BTreeMap::new(),
            requests: 0,
            answered: BTreeSet::new(),
            failed: BTreeSet::new(),
            pausing: false,
            now: 0,
            look_again: None,
            watching: false,
            reconsidered: Vec::new(),
            nearly_done: BTreeSet::new(),
            old: None,
            ended: false,
        };
        world.notify(Event::Start);
        for id in 1..=target as WorkerId {
            world.boot(id);
        }
        world
    }

    fn notify(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.core.handle(event, &mut effects);
        for effect in effects {
            self.carry_out(effect);
        }
        self.serve();
        self.check();
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn(id) => {
                assert!(!self.pausing, "nothing is started during a pause");
                let before = self.processes.insert(id, Process::Starting { called_off: false });
                assert_eq!(before, None, "no number is used twice");
                let exhausted = self.core.workers.values().filter(|worker| worker.left == Left::None).count();
                let (most, present) = (self.core.base() + self.core.target, self.core.present());
                assert!(present + exhausted <= most, "{present} are present and {exhausted} are exhausted");
            }
            Effect::Lend(id) => {
                assert_eq!(self.processes.insert(id, Process::Idle), Some(Process::Standby));
            }
            Effect::WatchStandbys => assert!(!std::mem::replace(&mut self.watching, true)),
            Effect::Reconsider(id) => self.reconsidered.push(id),
            Effect::Retire(id, reason) => self.retire(id, reason),
            Effect::Kill(id, _) => {
                let process = self.processes.insert(id, Process::Leaving);
                if let Some(Process::Busy(request)) = process {
                    self.failed.insert(request.number);
                }
            }
            Effect::Pause(_) => self.pausing = true,
            Effect::LookAgain(time) => {
                self.look_again = Some(self.now + u64::try_from(time.as_millis()).unwrap());
            }
            Effect::ResetOver(end) => {
                let old = self.old.take().expect("a reset went on");
                if end == ResetEnd::Done {
                    let serving = self.serving();
                    assert!(old.is_disjoint(&serving), "no old worker serves: {old:?} {serving:?}");
                }
            }
            Effect::Announce(availability) => {
                let ends = matches!(self.core.phase, Phase::Ending | Phase::Ended);
                assert_eq!(availability == Availability::Closed, ends);
            }
            Effect::FirstBoot(result) => assert_eq!(result, Ok(())),
            Effect::Ended => {
                assert!(!self.ended);
                self.ended = true;
            }
            Effect::SpawnOneShot(_) => unreachable!(),
        }
    }

    fn retire(&mut self, id: WorkerId, reason: Reason) {
        let process = self.processes.get_mut(&id).expect("a worker that is asked to leave exists");
        let served = matches!(process, Process::Idle | Process::Busy(_));
        if reason == Reason::MaxJobs && *process != Process::Exhausted {
            assert!(self.nearly_done.contains(&id), "a worker with many requests left stays");
        }
        match process {
            Process::Starting { called_off } => *called_off = true,
            Process::Standby | Process::Idle | Process::Exhausted => *process = Process::Leaving,
            Process::Busy(request) => request.last = true,
            Process::Leaving => {
                assert_eq!(reason, Reason::Shutdown, "a leaving worker is asked again at shutdown only");
            }
        }
        if served && reason != Reason::Shutdown {
            let left = self.core.count(State::Ready);
            // A reset may replace old workers where the new ones are exhausted as soon as they are ready.
            let is_old = self.core.workers[&id].generation < self.core.generation;
            let enough = left >= self.core.target || is_old && self.core.is_carried();
            assert!(enough, "{reason:?} leaves {left} of {}", self.core.target);
        }
    }

    /// Idle workers take those who wait, in order.
    fn serve(&mut self) {
        let idle: Vec<WorkerId> = self.ids(|process| *process == Process::Idle);
        for id in idle {
            let Some(number) = self.waiting.pop_front() else { return };
            assert!(self.given.insert(number, id).is_none(), "a request is run once");
            self.processes.insert(id, Process::Busy(InHand { number, abandoned: false, last: false }));
        }
    }

    /// What always holds.
    fn check(&self) {
        let core = &self.core;
        for (id, process) in &self.processes {
            let state = core.workers[id].state;
            let agree = match process {
                Process::Starting { called_off: false } => state == State::Starting,
                Process::Starting { called_off: true } => state == State::Retiring,
                Process::Standby => state == State::Standby,
                Process::Idle => state == State::Ready,
                Process::Busy(request) => state == if request.last { State::Retiring } else { State::Ready },
                Process::Exhausted => false,
                Process::Leaving => matches!(state, State::Retiring | State::Dying),
            };
            assert!(agree, "worker {id} is {process:?} and {state:?}");
        }
        assert_eq!(core.workers.len(), self.processes.len(), "no worker is forgotten");
        if core.phase != Phase::Running {
            return;
        }
        let (ready, standbys) = (core.count(State::Ready), core.count(State::Standby));
        let (starting, present) = (core.count(State::Starting), core.present());
        let is_full = core.room() == 0;
        if self.pausing || core.failures > 0 {
            let tried = self.pausing || starting > 0 || is_full;
            assert!(tried || ready >= core.target, "one is tried at a time");
        } else {
            assert!(present >= core.wanted() || is_full, "what is missing is started at once");
        }
        assert!(core.growth.extra <= self.most_extra);
        assert!(core.growth.substitutes <= core.target.max(core.abandoned()));
        assert!(ready <= core.base(), "surplus workers are asked to leave at once");
        assert!(present <= core.wanted(), "no more are started than wanted");
        assert!(standbys == 0 || ready == core.base(), "a standby waits only while no worker is missing");
        assert!(standbys <= core.count_nearly_exhausted(), "each standby has one that it will replace");
        let replaced = core.wanted() - core.base();
        let at_once = (core.target / 4).max(1) + core.count_nearly_exhausted();
        assert!(replaced <= at_once.min(core.target), "a quarter is replaced at a time, and exhausted ones");
        let cannot_serve = matches!(core.announced, Availability::Down(_) | Availability::Exhausted);
        assert_eq!(cannot_serve, present == 0, "the pool serves as long as a worker is ready or starting");
        assert_eq!(core.resetting, self.old.is_some());
    }

    fn ids(&self, which: impl Fn(&Process) -> bool) -> Vec<WorkerId> {
        self.processes.iter().filter(|(_, process)| which(process)).map(|(id, _)| *id).collect()
    }

    fn serving(&self) -> BTreeSet<WorkerId> {
        let serves = |process: &Process| match process {
            Process::Idle => true,
            Process::Busy(request) => !request.last,
            _ => false,
        };
        self.ids(serves).into_iter().collect()
    }

    fn boot(&mut self, id: WorkerId) {
        if let Some(Process::Starting { called_off }) = self.processes.get(&id).copied() {
            self.processes.insert(id, if called_off { Process::Leaving } else { Process::Standby });
            // The actor reports those that were not called off.
            if !called_off {
                self.notify(Event::Booted(id));
            }
        }
    }

    fn is_gone(&mut self, id: WorkerId, useful: bool) {
        if let Some(Process::Busy(request)) = self.processes.remove(&id) {
            self.failed.insert(request.number);
        }
        self.notify(Event::Exited { id, useful, how: String::new() });
    }

    fn answers(&mut self, id: WorkerId) {
        self.is_answered(id);
        self.serve();
    }

    fn is_answered(&mut self, id: WorkerId) {
        let Some(Process::Busy(request)) = self.processes.get(&id).copied() else { return };
        assert_eq!(self.given[&request.number], id, "a worker answers its own request");
        if request.abandoned {
            self.notify(Event::CameBack(id));
        } else {
            assert!(self.answered.insert(request.number), "a request is answered once");
        }
        // The core may have asked it to leave just now.
        if let Some(Process::Busy(request)) = self.processes.get(&id).copied() {
            self.processes.insert(id, if request.last { Process::Leaving } else { Process::Idle });
        }
    }

    /// A worker answers the last request that it may have.
    fn is_exhausted(&mut self, id: WorkerId) {
        self.is_answered(id);
        if self.processes.get(&id) == Some(&Process::Idle) {
            self.processes.insert(id, Process::Exhausted);
            self.notify(Event::Retire(id, Reason::MaxJobs));
        }
    }

    fn standbys_wait(&mut self) {
        if std::mem::take(&mut self.watching) {
            self.notify(Event::StandbysWaited);
        }
        for id in std::mem::take(&mut self.reconsidered) {
            if id % 2 == 0 {
                self.nearly_done.insert(id);
                self.notify(Event::Due(id, Reason::MaxJobs));
            } else {
                self.notify(Event::FarFromExhausted(id));
            }
        }
    }

    /// From now on nothing goes wrong: the pool is soon as it should be.
    fn peace(&mut self) {
        for _ in 0..10_000 {
            let Some(id) = self.ids(|process| *process != Process::Idle).first().copied() else {
                if self.pausing {
                    self.end_pause();
                    continue;
                }
                break;
            };
            match self.processes[&id] {
                Process::Starting { .. } => self.boot(id),
                Process::Busy(_) => self.answers(id),
                Process::Leaving => self.is_gone(id, true),
                Process::Standby => self.standbys_wait(),
                Process::Idle | Process::Exhausted => {}
            }
            if self.pausing {
                self.end_pause();
            }
        }
        assert!(self.waiting.is_empty(), "no waiter starves");
        let (ready, all) = (self.serving().len(), self.processes.len());
        assert_eq!(ready, self.core.target + self.core.growth.extra, "the pool is whole again");
        assert_eq!(ready, all, "nothing is left over");
        assert_eq!(self.core.abandoned(), 0);
        assert!(self.old.is_none(), "a reset comes to its end");
        assert!(
            !self.core.workers.values().any(|worker| self.core.due_reason(worker).is_some()),
            "due workers are replaced"
        );
        assert_eq!(self.core.count_nearly_exhausted(), 0, "and those that are nearly exhausted");
        let known = self.answered.len() + self.failed.len();
        assert_eq!(known, usize::try_from(self.requests).unwrap(), "each request is answered or failed");
        assert!(self.answered.is_disjoint(&self.failed));
    }

    fn end(&mut self) {
        self.notify(Event::Shutdown);
        while let Some(id) = self.processes.keys().next().copied() {
            assert!(!self.ended);
            match self.processes[&id] {
                Process::Starting { .. } => self.boot(id),
                Process::Busy(_) => self.answers(id),
                _ => self.is_gone(id, true),
            }
        }
        assert!(self.ended, "the pool ends with its last worker");
    }
}

/// Six times the usual cases: they are cheap.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: 6 * usual.cases, failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_the_pool_keeps_its_promises(
        target in 1..9_usize,
        most_extra in 0..4_usize,
        steps in prop::collection::vec(steps(), 0..120),
        in_peace in any::<bool>(),
    ) {
        let mut world = World::new(target, most_extra);
        for step in steps {
            world.step(step);
        }
        if in_peace {
            world.peace();
        }
        world.end();
    }

    /// Each worker is exhausted by its first request, but for old ones in requests that never end.
    #[test]
    fn a_reset_ends_however_soon_workers_are_exhausted(
        target in 1..9_usize,
        endless in 0..9_usize,
        order in prop::collection::vec(any::<usize>(), 400),
    ) {
        let mut world = World::new(target, 0);
        let endless = endless.min(target);
        (0..endless).for_each(|_| world.step(Step::Arrives));
        world.step(Step::Reset);
        for n in order {
            world.step(Step::Arrives);
            let may_act = |id: &WorkerId| *id > endless as WorkerId || world.processes[id] == Process::Leaving;
            let ids: Vec<WorkerId> = world.processes.keys().copied().filter(may_act).collect();
            let Some(id) = ids.get(n % ids.len().max(1)).copied() else { continue };
            match world.processes[&id] {
                Process::Starting { .. } => world.boot(id),
                Process::Busy(_) => world.is_exhausted(id),
                Process::Exhausted | Process::Leaving => world.is_gone(id, true),
                Process::Standby | Process::Idle => {}
            }
        }
        assert!(world.old.is_none(), "the reset goes on");
    }
}
