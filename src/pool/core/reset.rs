//! Replacing every worker: a new generation begins, and the reset is over when no worker of an older one serves.
//!
//! Where workers leave after a few requests, the pool may never be complete. So a worker of the new generation counts even if it has had
//! all its requests: once there have been enough of them, each further one also takes the place of an old one that serves, which is in a
//! long request then.

use super::{Core, Effect, Pause, Phase, Reason, ResetEnd, State, Worker, WorkerId};

impl Core {
    /// During a reset, begins it anew: what it has started may be too old for this one.
    pub(super) fn reset(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            return effects.push(Effect::ResetOver(ResetEnd::Closed));
        }
        self.resetting = true;
        // What made starts fail may be what the reset is about: there is nothing to wait for.
        self.pause = Pause::None;
        self.failures = 0;
        for id in [self.ids(State::Starting), self.ids(State::Standby)].concat() {
            self.retire(id, Reason::Reset, effects);
        }
        self.generation += 1;
        self.spent = 0;
    }

    /// A reset is over when the workers of its generation carry the pool alone, or would if none had left.
    pub(super) fn finish_reset(&mut self, effects: &mut Vec<Effect>) {
        if self.resetting && self.is_carried() && !self.ready().any(|(_, worker)| self.is_outdated(worker)) {
            self.end_reset(ResetEnd::Done, effects);
        }
    }

    /// Whether as many workers of this generation have become ready as the pool keeps. One that died unused does not count.
    pub(super) fn is_carried(&self) -> bool {
        let serves =
            |worker: &&Worker| matches!(worker.state, State::Ready | State::Retiring) && worker.booted;
        let workers = self.workers.values().filter(serves);
        self.spent + workers.filter(|worker| !self.is_outdated(worker)).count() >= self.target
    }

    /// Whether a reset may replace this worker though others are missing.
    pub(super) fn is_reset_next(&self, id: WorkerId) -> bool {
        let is_outdated = self.workers.get(&id).is_some_and(|worker| self.is_outdated(worker));
        self.resetting && is_outdated && self.is_carried()
    }

    /// Workers of older generations which are left go on.
    pub(super) fn end_reset(&mut self, end: ResetEnd, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.resetting) {
            effects.push(Effect::ResetOver(end));
        }
    }
}
