//! What may happen, and what it does to the world.

use std::time::Duration;

use proptest::prelude::*;

use super::{Process, World};
use crate::pool::core::{Event, Reason, Scaling, WorkerId};

/// What may happen next; numbers pick one of those to whom it may happen.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    Boot(usize),
    BootFails(usize),
    Dies(usize),
    Leaves(usize),
    Arrives,
    Answers(usize),
    CallerGoes(usize),
    GivesUpWaiting(usize),
    Breaks(usize),
    IsDue(usize, Reason),
    IsNearlyExhausted(usize),
    IsExhausted(usize),
    StandbysWait,
    TooSlow(usize),
    IsUnneeded(usize),
    Reset,
    ResetTimeout,
    Add,
    Remove,
    Configure(usize, usize),
    PauseOver,
    Time(u64),
}

pub(super) fn steps() -> impl Strategy<Value = Step> {
    let which = 0..64_usize;
    let due = prop_oneof![Just(Reason::Ttl), Just(Reason::IdleTtl), Just(Reason::MaxMemory)];
    prop_oneof![
        8 => which.clone().prop_map(Step::Boot),
        1 => which.clone().prop_map(Step::BootFails),
        1 => which.clone().prop_map(Step::Dies),
        4 => which.clone().prop_map(Step::Leaves),
        6 => Just(Step::Arrives),
        5 => which.clone().prop_map(Step::Answers),
        3 => which.clone().prop_map(Step::CallerGoes),
        1 => which.clone().prop_map(Step::GivesUpWaiting),
        1 => which.clone().prop_map(Step::Breaks),
        2 => (which.clone(), due).prop_map(|(which, reason)| Step::IsDue(which, reason)),
        3 => which.clone().prop_map(Step::IsNearlyExhausted),
        2 => which.clone().prop_map(Step::IsExhausted),
        1 => Just(Step::StandbysWait),
        1 => which.clone().prop_map(Step::TooSlow),
        1 => which.prop_map(Step::IsUnneeded),
        1 => Just(Step::Reset),
        1 => Just(Step::ResetTimeout),
        1 => Just(Step::Add),
        1 => Just(Step::Remove),
        1 => (1..6_usize, 0..4_usize).prop_map(|(target, most)| Step::Configure(target, most)),
        3 => Just(Step::PauseOver),
        3 => (0..1500_u64).prop_map(Step::Time),
    ]
}

fn starts(process: &Process) -> bool {
    matches!(process, Process::Starting { .. })
}

fn has_booted(process: &Process) -> bool {
    !starts(process)
}

fn is_idle(process: &Process) -> bool {
    *process == Process::Idle
}

fn is_busy(process: &Process) -> bool {
    matches!(process, Process::Busy(_))
}

fn leaves(process: &Process) -> bool {
    *process == Process::Leaving
}

fn is_abandoned(process: &Process) -> bool {
    matches!(process, Process::Busy(request) if request.abandoned)
}

impl World {
    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Boot(n) => self.one_of(n, starts, Self::boot),
            Step::BootFails(n) => self.one_of(n, starts, Self::boot_fails),
            Step::Dies(n) => self.one_of(n, has_booted, |world, id| world.is_gone(id, n % 2 == 0)),
            Step::Leaves(n) => self.one_of(n, leaves, |world, id| world.is_gone(id, n % 3 > 0)),
            Step::Arrives => self.arrives(),
            Step::Answers(n) => self.one_of(n, is_busy, Self::answers),
            Step::CallerGoes(n) => self.one_of(n, is_busy, Self::caller_goes),
            Step::GivesUpWaiting(n) => self.gives_up_waiting(n),
            Step::Breaks(n) => {
                self.one_of(n, has_booted, |world, id| world.notify(Event::Retire(id, Reason::Faulty)));
            }
            Step::IsDue(n, reason) => {
                self.one_of(n, has_booted, |world, id| world.notify(Event::Due(id, reason)));
            }
            Step::IsNearlyExhausted(n) => {
                self.one_of(n, has_booted, |world, id| world.notify(Event::NearlyExhausted(id)));
            }
            Step::IsExhausted(n) => self.one_of(n, is_busy, Self::is_exhausted),
            Step::StandbysWait => self.standbys_wait(),
            Step::TooSlow(n) => self.one_of(n, is_abandoned, Self::is_too_slow),
            Step::IsUnneeded(n) => {
                self.one_of(n, is_idle, |world, id| world.notify(Event::Unneeded(id)));
            }
            Step::Reset => self.reset(),
            Step::ResetTimeout => self.notify(Event::ResetTimeout),
            Step::Add => self.notify(Event::Add),
            Step::Remove => self.notify(Event::Remove),
            Step::Configure(target, most) => self.configure(target, most),
            Step::PauseOver => self.end_pause(),
            Step::Time(millis) => self.time_passes(millis),
        }
    }

    /// Does something to one of those to whom it may happen, if there is any.
    fn one_of(&mut self, n: usize, which: impl Fn(&Process) -> bool, does: impl FnOnce(&mut Self, WorkerId)) {
        let ids = self.ids(which);
        if !ids.is_empty() {
            does(self, ids[n % ids.len()]);
        }
    }

    fn boot_fails(&mut self, id: WorkerId) {
        self.processes.remove(&id);
        self.notify(Event::BootFailed(id, String::new()));
    }

    fn arrives(&mut self) {
        self.requests += 1;
        self.waiting.push_back(self.requests);
        self.serve();
        self.line_is_seen();
    }

    fn caller_goes(&mut self, id: WorkerId) {
        if let Some(Process::Busy(request)) = self.processes.get_mut(&id)
            && !std::mem::replace(&mut request.abandoned, true)
        {
            self.failed.insert(request.number);
            self.notify(Event::Abandoned(id));
            self.line_is_seen();
        }
    }

    fn gives_up_waiting(&mut self, n: usize) {
        if !self.waiting.is_empty() {
            let number = self.waiting.remove(n % self.waiting.len()).unwrap();
            self.failed.insert(number);
        }
    }

    fn is_too_slow(&mut self, id: WorkerId) {
        self.notify(Event::CameBack(id));
        self.notify(Event::Retire(id, Reason::Abandoned));
    }

    fn configure(&mut self, target: usize, most: usize) {
        self.most_extra = most;
        let scaling = (most > 0).then_some(Scaling { most, per_second: 2 });
        self.notify(Event::Configured { target: Some(target), scaling });
    }

    /// A reset ends a pause, and replaces what an earlier one has started.
    fn reset(&mut self) {
        self.old = Some(self.processes.keys().copied().collect());
        self.pausing = false;
        self.notify(Event::Reset);
    }

    pub(super) fn end_pause(&mut self) {
        if std::mem::take(&mut self.pausing) {
            self.notify(Event::PauseOver);
            self.line_is_seen();
        }
    }

    fn time_passes(&mut self, millis: u64) {
        self.now += millis;
        if self.look_again.take_if(|at| *at <= self.now).is_some() {
            self.line_is_seen();
        }
    }

    fn line_is_seen(&mut self) {
        if !self.waiting.is_empty() {
            let now = Duration::from_millis(self.now);
            self.notify(Event::Waiting { requests: self.waiting.len(), now });
        }
    }
}
