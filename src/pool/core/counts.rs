//! How many workers there are, and how many there shall be.

use super::{Core, Left, Reason, State, Worker, WorkerId};

impl Core {
    /// Workers that shall be ready.
    pub(super) fn base(&self) -> usize {
        self.target + self.growth.extra + self.growth.substitutes
    }

    /// Workers that shall be ready, on standby or starting.
    pub(super) fn wanted(&self) -> usize {
        let due = self.ready().filter(|(_, worker)| self.is_due(worker) && worker.left != Left::Few).count();
        let successors = self.count_nearly_exhausted() + due.min((self.target / 4).max(1));
        self.base() + successors.min(self.target)
    }

    /// Workers that are ready, on standby or starting.
    pub(super) fn present(&self) -> usize {
        self.count(State::Ready) + self.count(State::Standby) + self.count(State::Starting)
    }

    /// Workers that may be started beside those which are present, and the exhausted ones which have not exited yet.
    pub(super) fn room(&self) -> usize {
        let exhausted = self.workers.values().filter(|worker| worker.left == Left::None).count();
        (self.base() + self.target).saturating_sub(self.present() + exhausted)
    }

    pub(super) fn is_due(&self, worker: &Worker) -> bool {
        self.due_reason(worker).is_some()
    }

    /// The oldest ready worker that is due.
    pub(super) fn oldest_due(&self) -> Option<(WorkerId, Reason)> {
        self.ready().find_map(|(id, worker)| Some((id, self.due_reason(worker)?)))
    }

    /// Workers that go on with a request that no caller waits for.
    pub(super) fn abandoned(&self) -> usize {
        self.ready().filter(|(_, worker)| worker.abandoned).count()
    }

    /// Ready workers, oldest first.
    pub(super) fn ready(&self) -> impl DoubleEndedIterator<Item = (WorkerId, &Worker)> {
        self.workers
            .iter()
            .filter(|(_, worker)| worker.state == State::Ready)
            .map(|(id, worker)| (*id, worker))
    }

    pub(super) fn ids(&self, state: State) -> Vec<WorkerId> {
        self.workers.iter().filter(|(_, worker)| worker.state == state).map(|(id, _)| *id).collect()
    }

    pub(super) fn count(&self, state: State) -> usize {
        self.workers.values().filter(|worker| worker.state == state).count()
    }
}
