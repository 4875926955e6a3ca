//! Replacing every worker: a new generation begins, and the reset is over when no worker of an older one serves.

use super::{Core, Effect, Pause, Phase, Reason, ResetEnd, State};

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
    }

    /// A reset is over when the workers of its generation carry the pool alone.
    pub(super) fn finish_reset(&mut self, effects: &mut Vec<Effect>) {
        let carried = self.count(State::Ready) >= self.target;
        if self.resetting && carried && !self.ready().any(|(_, worker)| self.is_outdated(worker)) {
            self.end_reset(ResetEnd::Done, effects);
        }
    }

    /// Workers of older generations which are left go on.
    pub(super) fn end_reset(&mut self, end: ResetEnd, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.resetting) {
            effects.push(Effect::ResetOver(end));
        }
    }
}
