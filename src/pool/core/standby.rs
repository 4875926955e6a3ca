//! Successors that are ready before they are needed.
//!
//! A worker that is nearly exhausted goes on until it has had all its requests, and its successor waits for that. A standby takes whatever
//! place is free first: of a worker that died, too. When a standby has waited for long, because the load is over, it takes the place of a
//! worker with few requests left, or leaves if there are many, and the pool has its usual size again.

use super::{Core, Effect, Left, State, WorkerId};

impl Core {
    pub(super) fn nearly_exhausted(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.left == Left::Enough) {
            worker.left = Left::Few;
        }
    }

    pub(super) fn far_from_exhausted(&mut self, id: WorkerId) {
        if let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.left == Left::Few) {
            worker.left = Left::Enough;
        }
    }

    /// Ready workers whose successors have to be ready soon.
    pub(super) fn count_nearly_exhausted(&self) -> usize {
        self.ready().filter(|(_, worker)| worker.left == Left::Few).count()
    }

    /// Lends standbys where workers are missing, and in place of due ones.
    pub(super) fn lend_standbys(&mut self, effects: &mut Vec<Effect>) {
        while let Some(id) = self.oldest_standby() {
            let due = self.oldest_due();
            let is_missing = self.count(State::Ready) < self.base();
            if !is_missing && due.is_none() {
                return;
            }
            if let Some(worker) = self.workers.get_mut(&id) {
                worker.state = State::Ready;
                effects.push(Effect::Lend(id));
            }
            if let Some((id, reason)) = due.filter(|(id, _)| !is_missing || self.is_reset_next(*id)) {
                self.retire(id, reason, effects);
            }
        }
    }

    /// Asks for a wake-up while there are standbys.
    pub(super) fn watch_standbys(&mut self, effects: &mut Vec<Effect>) {
        if !self.watches_standbys && self.oldest_standby().is_some() {
            self.watches_standbys = true;
            effects.push(Effect::WatchStandbys);
        }
    }

    /// For each standby that waited before, and still does, one of the workers that are nearly exhausted is reconsidered.
    pub(super) fn standbys_waited(&mut self, effects: &mut Vec<Effect>) {
        self.watches_standbys = false;
        let mut patient = 0;
        for worker in self.workers.values_mut().filter(|worker| worker.state == State::Standby) {
            patient += usize::from(std::mem::replace(&mut worker.waited, true));
        }
        let nearly_exhausted = self.ready().filter(|(_, worker)| worker.left == Left::Few);
        effects.extend(nearly_exhausted.take(patient).map(|(id, _)| Effect::Reconsider(id)));
    }

    fn oldest_standby(&self) -> Option<WorkerId> {
        self.ids(State::Standby).first().copied()
    }
}
