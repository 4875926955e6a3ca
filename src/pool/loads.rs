//! How busy the workers are that may have several requests in flight, and which is next: the one with the fewest in hand. Pure.
//!
//! A worker has as many free units as it may be given requests now: what it wants, less what it has in hand, and no more than the requests
//! that it may still have at all. For each free unit there is a permit; each change here says how many are to be added or taken away. A
//! permit that was promised to a waiter cannot be taken away: it becomes void, and whoever gets it asks again.

/// Units of a worker of which no caller waits for the request any more, as a part of all: with so many it counts as abandoned, and with so
/// many overdue it is to be replaced.
const LOST_PART: usize = 4;

/// What the table of loads is made of: all workers with several units, by slot.
#[derive(Debug)]
pub(super) struct Loads<T> {
    loads: Vec<Option<Load<T>>>,
    /// Requests in hand of those with a free unit, by slot; a larger number than any of the others.
    keys: Vec<usize>,
    /// How many workers are here.
    workers: usize,
    /// Permits that stand for nothing.
    void: usize,
}

/// A worker with several units.
#[derive(Debug)]
struct Load<T> {
    units: Several<T>,
    /// What it wants in flight, at most.
    credit: usize,
    /// Requests that it may still have.
    jobs: u64,
    in_hand: usize,
    free: usize,
    /// Requests in hand that no caller waits for any more, and those of them whose time is over.
    abandoned: usize,
    overdue: usize,
    /// It has answered no PING for long.
    silent: bool,
    /// It has wanted nothing for long.
    withdrawn: bool,
    /// It gets no new requests.
    closed: bool,
}

/// Units that are made as they are needed.
#[derive(Debug)]
pub(super) struct Several<T> {
    /// What they are made from.
    pub(super) template: Box<T>,
    /// Makes one.
    pub(super) another: fn(&T) -> Option<Box<T>>,
    /// Is called when the last one in use has come back.
    pub(super) rest: fn(&T),
    /// How many its worker has said that it wants in use, at most.
    pub(super) credit: fn(&T) -> usize,
    /// How many there may be in use.
    pub(super) most: usize,
}

/// What became of the request that a unit was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It was not handed to the worker.
    None,
    /// The worker has finished it while a caller waited, or soon after.
    Done,
    /// It was reported as abandoned before the worker finished it.
    Abandoned,
    /// It was reported as overdue before the worker finished it.
    Overdue,
}

/// How many permits are to be added, or taken away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use]
pub(super) struct Permits {
    pub(super) more: usize,
    pub(super) fewer: usize,
}

/// What a change means for a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Standing {
    /// It has become abandoned, or is no longer.
    pub(super) turned: bool,
    /// So many of its units are overdue that it is to be replaced.
    pub(super) is_due: bool,
    /// It makes no progress with anything, and the time of some request is over: nothing is lost if it is killed.
    pub(super) is_stuck: bool,
}

/// What a permit stands for.
pub(super) enum Pick<T> {
    Unit(Box<T>),
    /// Nothing: the permit is gone.
    Void,
    /// Nothing here.
    None,
}

impl<T> Loads<T> {
    pub(super) fn new() -> Self {
        Self { loads: Vec::new(), keys: Vec::new(), workers: 0, void: 0 }
    }

    /// Whether there is nothing to pick, ever.
    pub(super) fn is_empty(&self) -> bool {
        self.void == 0 && self.workers == 0
    }

    /// A worker may be given requests, `jobs` at all.
    pub(super) fn open(&mut self, slot: usize, units: Several<T>, jobs: u64) -> Permits {
        if self.loads.len() <= slot {
            self.loads.resize_with(slot + 1, || None);
            self.keys.resize(slot + 1, usize::MAX);
        }
        let load = Load {
            credit: (units.credit)(&units.template).min(units.most),
            units,
            jobs,
            in_hand: 0,
            free: 0,
            abandoned: 0,
            overdue: 0,
            silent: false,
            withdrawn: false,
            closed: false,
        };
        let old = self.loads[slot].replace(load);
        debug_assert!(old.is_none(), "a slot has one worker");
        self.workers += 1;
        self.balance(slot)
    }

    /// What a permit stands for: a unit of the least busy worker, the one in the lowest slot if there are several. When all of them have
    /// requests in hand, `idle` is asked for the unit of another worker, which has none.
    pub(super) fn pick(&mut self, idle: impl FnOnce() -> Option<Box<T>>) -> Pick<T> {
        let mut least = (usize::MAX, 0);
        for (slot, key) in self.keys.iter().enumerate() {
            if *key < least.0 {
                least = (*key, slot);
                if *key == 0 {
                    break;
                }
            }
        }
        let (key, slot) = least;
        if key > 0
            && let Some(unit) = idle()
        {
            return Pick::Unit(unit);
        }
        let Some(load) = self.loads.get_mut(slot).and_then(Option::as_mut).filter(|_| key < usize::MAX)
        else {
            return if let Some(void) = self.void.checked_sub(1) {
                self.void = void;
                Pick::Void
            } else {
                Pick::None
            };
        };
        let Some(unit) = (load.units.another)(&load.units.template) else { return Pick::None };
        load.free -= 1;
        load.in_hand += 1;
        load.jobs -= 1;
        self.keys[slot] = load.key();
        Pick::Unit(unit)
    }

    /// A unit comes back. When it is the last one of a worker that gets no more, the template comes back with it. `None` if the worker is
    /// not here.
    #[allow(clippy::type_complexity, reason = "three things that follow from one change")]
    pub(super) fn give(&mut self, slot: usize, used: Use) -> Option<(Permits, Standing, Option<Box<T>>)> {
        let load = self.load(slot)?;
        let before = load.is_abandoned();
        load.in_hand -= 1;
        match used {
            Use::None => load.jobs = load.jobs.saturating_add(1),
            Use::Done => {}
            Use::Abandoned => load.abandoned -= 1,
            Use::Overdue => {
                load.abandoned -= 1;
                load.overdue -= 1;
            }
        }
        let standing = load.standing(before);
        if load.in_hand > 0 {
            return Some((self.balance(slot), standing, None));
        }
        (load.units.rest)(&load.units.template);
        if load.closed {
            return Some((Permits::default(), standing, self.take(slot)));
        }
        Some((self.balance(slot), standing, None))
    }

    /// A worker wants no more than this number of requests in flight.
    pub(super) fn set_credit(&mut self, slot: usize, credit: usize) -> Permits {
        let Some(load) = self.load(slot) else { return Permits::default() };
        load.credit = credit.min(load.units.most);
        self.balance(slot)
    }

    /// A worker has answered no PING for long, or does again. Returns whether it is stuck.
    pub(super) fn set_silent(&mut self, slot: usize, silent: bool) -> bool {
        let Some(load) = self.load(slot) else { return false };
        load.silent = silent;
        load.is_stuck()
    }

    /// A worker has wanted nothing for long, or wants something again: it counts as abandoned meanwhile. `None` if it is not here, or
    /// has something in hand.
    pub(super) fn set_withdrawn(&mut self, slot: usize, withdrawn: bool) -> Option<Standing> {
        let load = self.load(slot)?;
        if load.closed || withdrawn && !load.wants_nothing() {
            return None;
        }
        let before = load.is_abandoned();
        load.withdrawn = withdrawn;
        Some(load.standing(before))
    }

    /// No caller waits any more for a request of this worker. `None` if the worker is not here.
    pub(super) fn abandon(&mut self, slot: usize) -> Option<Standing> {
        let load = self.load(slot)?;
        let before = load.is_abandoned();
        load.abandoned += 1;
        Some(load.standing(before))
    }

    /// The time of an abandoned request is over. `None` if the worker is not here.
    pub(super) fn overdue(&mut self, slot: usize) -> Option<Standing> {
        let load = self.load(slot)?;
        load.overdue += 1;
        let is_due = (load.overdue - 1) * LOST_PART < load.units.most && load.is_due();
        Some(Standing { is_due, ..load.standing(load.is_abandoned()) })
    }

    /// A worker gets no new requests. Returns the permits that are to be taken away; and its template, if nothing is in hand.
    pub(super) fn close(&mut self, slot: usize) -> (Permits, Option<Box<T>>) {
        let Some(load) = self.load(slot) else { return (Permits::default(), None) };
        load.closed = true;
        let is_idle = load.in_hand == 0;
        let permits = self.balance(slot);
        (permits, if is_idle { self.take(slot) } else { None })
    }

    /// Permits that could not be taken away stand for nothing from now on.
    pub(super) fn add_void(&mut self, permits: usize) {
        self.void += permits;
    }

    /// The template of a worker that is here.
    pub(super) fn template(&self, slot: usize) -> Option<&T> {
        Some(&self.loads.get(slot)?.as_ref()?.units.template)
    }

    /// How many requests a worker has in hand; `None` if it is not here.
    pub(super) fn in_hand(&self, slot: usize) -> Option<usize> {
        Some(self.loads.get(slot)?.as_ref()?.in_hand)
    }

    /// Whether so many requests of a worker are abandoned that it counts as abandoned.
    pub(super) fn is_abandoned(&self, slot: usize) -> bool {
        self.loads.get(slot).and_then(Option::as_ref).is_some_and(Load::is_abandoned)
    }

    /// Whether nothing is lost if a worker is killed.
    pub(super) fn is_stuck(&self, slot: usize) -> bool {
        self.loads.get(slot).and_then(Option::as_ref).is_some_and(Load::is_stuck)
    }

    fn load(&mut self, slot: usize) -> Option<&mut Load<T>> {
        self.loads.get_mut(slot)?.as_mut()
    }

    fn take(&mut self, slot: usize) -> Option<Box<T>> {
        self.keys[slot] = usize::MAX;
        self.workers -= 1;
        self.loads[slot].take().map(|load| load.units.template)
    }

    /// Makes a worker's free units as many as it may be given requests.
    fn balance(&mut self, slot: usize) -> Permits {
        let Some(load) = self.load(slot) else { return Permits::default() };
        let wanted = load.wanted();
        let permits =
            Permits { more: wanted.saturating_sub(load.free), fewer: load.free.saturating_sub(wanted) };
        load.free = wanted;
        self.keys[slot] = load.key();
        permits
    }
}

impl<T> Load<T> {
    /// How many requests it may be given now.
    fn wanted(&self) -> usize {
        if self.closed {
            return 0;
        }
        let jobs = usize::try_from(self.jobs).unwrap_or(usize::MAX);
        self.credit.saturating_sub(self.in_hand).min(jobs)
    }

    fn key(&self) -> usize {
        if self.free > 0 { self.in_hand } else { usize::MAX }
    }

    fn is_abandoned(&self) -> bool {
        self.withdrawn || self.abandoned > 0 && self.abandoned * LOST_PART >= self.units.most
    }

    fn wants_nothing(&self) -> bool {
        self.credit == 0 && self.in_hand == 0
    }

    fn is_due(&self) -> bool {
        self.overdue > 0 && self.overdue * LOST_PART >= self.units.most
    }

    /// One that is silent makes no progress; neither does one of which all that is in hand, and could be, is overdue. One that is silent
    /// and has nothing in hand will never want anything.
    fn is_stuck(&self) -> bool {
        let is_lost = self.overdue == self.in_hand && (self.closed || self.overdue >= self.units.most);
        self.overdue > 0 && (self.silent || is_lost) || self.silent && self.wants_nothing()
    }

    fn standing(&self, was_abandoned: bool) -> Standing {
        Standing { turned: self.is_abandoned() != was_abandoned, is_due: false, is_stuck: self.is_stuck() }
    }
}

#[cfg(test)]
#[path = "loads_tests.rs"]
mod tests;
