//! Replacing every worker: what makes a worker old, and when none is left that is.

use super::{Core, Effect, Pause, Phase, Reason, ResetEnd, State};

impl Core {
    /// Two at once are one.
    pub(super) fn reset(&mut self, effects: &mut Vec<Effect>) {
        if self.phase != Phase::Running {
            effects.push(Effect::ResetOver(ResetEnd::Closed));
        } else if !self.resetting {
            self.resetting = true;
            // What made starts fail may be what the reset is about: there is nothing to wait for.
            self.pause = Pause::None;
            self.failures = 0;
            for id in self.ids(State::Starting) {
                self.retire(id, Reason::Reset, effects);
            }
            self.workers.values_mut().for_each(|worker| worker.outdated = true);
        }
    }

    /// A reset is over when its workers carry the pool alone.
    pub(super) fn finish_reset(&mut self, effects: &mut Vec<Effect>) {
        let carried = self.count(State::Ready) >= self.target;
        if self.resetting && carried && !self.ready().any(|(_, worker)| worker.outdated) {
            self.end_reset(ResetEnd::Done, effects);
        }
    }

    pub(super) fn end_reset(&mut self, end: ResetEnd, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.resetting) {
            self.workers.values_mut().for_each(|worker| worker.outdated = false);
            effects.push(Effect::ResetOver(end));
        }
    }
}
