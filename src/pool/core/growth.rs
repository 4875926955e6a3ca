//! More workers than `num_workers`: substitutes for abandoned ones, and extra ones for the load.

use std::time::Duration;

use super::{Core, Effect, Pause, Phase, Reason, State, WorkerId};

const SECOND: Duration = Duration::from_secs(1);

/// `pool.dynamic_allocator`, as far as the core needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pool) struct Scaling {
    /// How many workers may be added.
    pub(in crate::pool) most: usize,
    /// How many may be added per second.
    pub(in crate::pool) per_second: usize,
}

impl Scaling {
    /// No worker is added.
    const NONE: Self = Self { most: 0, per_second: 0 };
}

/// How far the pool has grown.
#[derive(Debug)]
pub(super) struct Growth {
    scaling: Scaling,
    /// Workers added for the load.
    pub(super) extra: usize,
    /// Workers added for abandoned ones.
    pub(super) substitutes: usize,
    /// When the second began in which `added` workers were added.
    since: Duration,
    added: usize,
}

impl Growth {
    pub(super) fn new(scaling: Option<Scaling>) -> Self {
        Self {
            scaling: scaling.unwrap_or(Scaling::NONE),
            extra: 0,
            substitutes: 0,
            since: Duration::ZERO,
            added: 0,
        }
    }

    /// Allows this from now on; workers beyond it are surplus.
    pub(super) fn set(&mut self, scaling: Option<Scaling>) {
        self.scaling = scaling.unwrap_or(Scaling::NONE);
        self.extra = self.extra.min(self.scaling.most);
    }

    pub(super) fn has_room(&self, abandoned: usize, target: usize) -> bool {
        self.extra < self.scaling.most || self.substitutes < abandoned.min(target)
    }

    /// Substitutes come first, since they need no permission; then extra ones, as many as this second allows. Returns how long to wait
    /// when it allows no more.
    fn grow(&mut self, demand: usize, abandoned: usize, target: usize, now: Duration) -> Option<Duration> {
        let substitutes = demand.min(abandoned.min(target).saturating_sub(self.substitutes));
        self.substitutes += substitutes;
        // A second begins with the first worker that is added in it.
        if self.added == 0 || now.saturating_sub(self.since) >= SECOND {
            self.since = now;
            self.added = 0;
        }
        let demand = (demand - substitutes).min(self.scaling.most - self.extra);
        let allowed = demand.min(self.scaling.per_second.max(1).saturating_sub(self.added));
        self.extra += allowed;
        self.added += allowed;
        (allowed < demand).then(|| (self.since + SECOND).saturating_sub(now))
    }
}

impl Core {
    /// Requests wait: as many workers are added as they need and are not coming anyway.
    pub(super) fn waiting(&mut self, requests: usize, now: Duration, effects: &mut Vec<Effect>) {
        if !self.can_grow() || self.pause != Pause::None {
            return;
        }
        let demand = requests.saturating_sub(self.count(State::Starting));
        if let Some(wait) = self.growth.grow(demand, self.abandoned(), self.target, now) {
            effects.push(Effect::LookAgain(wait));
        }
    }

    /// The load is over: one of the workers that were added for it goes.
    pub(super) fn unneeded(&mut self, id: WorkerId, effects: &mut Vec<Effect>) {
        let ready = self.workers.get(&id).is_some_and(|worker| worker.state == State::Ready);
        // An extra worker may be starting as another's successor.
        let spare = self.growth.extra > 0 && self.count(State::Ready) > self.target;
        if self.phase == Phase::Running && ready && spare {
            self.growth.extra -= 1;
            self.retire(id, Reason::Unneeded, effects);
        }
    }
}
