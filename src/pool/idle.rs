//! Idle units of capacity, and the queue of those who wait for one.
//!
//! A unit is one request that a worker may have in flight. The unit of a worker that has one request at a time has a place of its own, the
//! worker's slot, and a bitmap over places says which are idle. The lowest place is taken first: under light load the same few workers do
//! all the work, so their memory is warm, and the others can be seen to be unneeded. Units of workers that may have several requests in
//! flight are made as they are needed, of the least busy worker first (`loads`). Where there are workers of both kinds, one that is idle is
//! preferred to one that has requests in hand.
//!
//! `Permits` keep the queue, fair between callers; a waiter that gives up leaves it without a trace. They count the idle units; which unit
//! a permit stands for is decided when it is taken.
//!
//! Every permit stands for one set bit, one free unit among the loads, or nothing (it is void). A unit is therefore published before its
//! permit is added, and a permit is taken before its bit is cleared; the holder of a permit finds a unit, if perhaps not at the first look,
//! or a void, and asks again.

use super::caller::Caller;
use super::loads::{Loads, Pick, Several, Standing, Use};
use super::permits::{Closed, Permits};
use super::sync::{
    AtomicCell, AtomicU64, AtomicUsize, CachePadded, Mutex, MutexGuard, Ordering, PoisonError, spin_loop,
};

/// Bits per word of the map.
const WORD: usize = u64::BITS as usize;

/// Slots of a pool: five hundred workers, their substitutes and successors, with room to spare.
const SLOTS: usize = 32 * WORD;

/// Units to be lent.
pub(super) struct Idle<T> {
    words: Box<[CachePadded<AtomicU64>]>,
    /// The words from here on have never had a bit.
    used: AtomicUsize,
    places: Box<[AtomicCell<Option<Box<T>>>]>,
    /// Workers with several units.
    loads: Mutex<Loads<T>>,
    /// Whether there are any; changed under the lock.
    has_loads: AtomicUsize,
    permits: Permits,
}

impl<T> std::fmt::Debug for Idle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("permits", &self.permits).finish_non_exhaustive()
    }
}

impl<T> Idle<T> {
    pub(super) fn new() -> Self {
        const { assert!(AtomicCell::<Option<Box<u8>>>::is_lock_free()) };
        Self {
            words: (0..SLOTS / WORD).map(|_| CachePadded::default()).collect(),
            used: AtomicUsize::new(0),
            places: (0..SLOTS).map(|_| AtomicCell::default()).collect(),
            loads: Mutex::new(Loads::new()),
            has_loads: AtomicUsize::new(0),
            permits: Permits::new(0),
        }
    }

    /// Puts the only unit of a worker into its slot, for the next waiter if there is one.
    pub(super) fn put(&self, slot: usize, unit: Box<T>) {
        self.places[slot].store(Some(unit));
        let word = slot / WORD;
        if self.used.load(Ordering::Relaxed) <= word {
            self.used.fetch_max(word + 1, Ordering::Relaxed);
        }
        self.words[word].fetch_or(1 << (slot % WORD), Ordering::Release);
        self.permits.add();
    }

    /// Takes one, if one is idle and nothing waits.
    pub(super) fn try_take(&self) -> Option<Box<T>> {
        loop {
            self.permits.try_acquire()?.forget();
            if let Some(unit) = self.pick() {
                return Some(unit);
            }
        }
    }

    /// Waits in the queue of `caller` for one. Dropping the future leaves the queue.
    pub(super) async fn take(&self, caller: Caller) -> Result<Box<T>, Closed> {
        loop {
            self.permits.acquire(caller).await?.forget();
            if let Some(unit) = self.pick() {
                return Ok(unit);
            }
        }
    }

    /// Takes what is in the slot, if it is idle.
    pub(super) fn remove(&self, slot: usize) -> Option<Box<T>> {
        // Without a permit, whatever is in the place has been promised to a waiter already.
        let permit = self.permits.try_acquire()?;
        let bit = 1 << (slot % WORD);
        if self.words[slot / WORD].fetch_and(!bit, Ordering::Acquire) & bit == 0 {
            return None;
        }
        permit.forget();
        self.places[slot].take()
    }

    /// A worker may be given several requests, `jobs` of them at all.
    pub(super) fn open(&self, slot: usize, units: Several<T>, jobs: u64) {
        let mut loads = self.loads();
        let permits = loads.open(slot, units, jobs);
        self.changed(&loads);
        drop(loads);
        self.add(permits.more);
    }

    /// One of several units comes back. Returns what that means for its worker, and what its units were made from if it was the last one
    /// and the worker gets no more. `None` if the worker was not opened.
    pub(super) fn give(&self, slot: usize, used: Use) -> Option<(Standing, Option<Box<T>>)> {
        let mut loads = self.loads();
        let (permits, standing, last) = loads.give(slot, used)?;
        self.take_away(&mut loads, permits.fewer);
        self.changed(&loads);
        drop(loads);
        self.add(permits.more);
        Some((standing, last))
    }

    /// A worker with several units gets no new requests. Returns what its units were made from if none is in use; else calls `in_use` with it.
    pub(super) fn close_slot(&self, slot: usize, in_use: impl FnOnce(&T)) -> Option<Box<T>> {
        let mut loads = self.loads();
        let (permits, template) = loads.close(slot);
        self.take_away(&mut loads, permits.fewer);
        self.changed(&loads);
        loads.template(slot).map(in_use);
        template
    }

    /// A worker wants no more than this number of requests in flight.
    pub(super) fn set_credit(&self, slot: usize, credit: usize) {
        let mut loads = self.loads();
        let permits = loads.set_credit(slot, credit);
        self.take_away(&mut loads, permits.fewer);
        self.changed(&loads);
        drop(loads);
        self.add(permits.more);
    }

    /// How busy the workers are that have several units. Nothing that is done to them here may change the number of free ones.
    pub(super) fn loads(&self) -> MutexGuard<'_, Loads<T>> {
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the queue: all who wait, and all who come, are turned away.
    pub(super) fn close(&self) {
        self.permits.close();
    }

    /// How many slots there are.
    pub(super) const fn slots() -> usize {
        SLOTS
    }

    fn changed(&self, loads: &Loads<T>) {
        self.has_loads.store(usize::from(!loads.is_empty()), Ordering::Release);
    }

    fn add(&self, permits: usize) {
        if permits > 0 {
            self.permits.add_many(permits);
        }
    }

    /// Takes permits away that stand for nothing. Those that were promised to waiters become void.
    fn take_away(&self, loads: &mut Loads<T>, permits: usize) {
        if permits > 0 {
            loads.add_void(permits - self.permits.take_many(permits));
        }
    }

    /// The unit that a permit stands for, which the caller has taken; `None` if that is void.
    fn pick(&self) -> Option<Box<T>> {
        loop {
            if self.has_loads.load(Ordering::Acquire) != 0 {
                let mut loads = self.loads();
                match loads.pick(|| self.pick_lowest()) {
                    Pick::Unit(unit) => return Some(unit),
                    Pick::Void => {
                        self.changed(&loads);
                        return None;
                    }
                    Pick::None => {}
                }
            } else if let Some(unit) = self.pick_lowest() {
                return Some(unit);
            }
            spin_loop();
        }
    }

    /// Clears the lowest bit. The caller's permit may stand for one; another thread may be faster, but then its bit is for us.
    fn pick_lowest(&self) -> Option<Box<T>> {
        let used = self.used.load(Ordering::Relaxed);
        for (index, word) in self.words[..used].iter().enumerate() {
            let mut bits = word.load(Ordering::Acquire);
            while bits != 0 {
                let lowest = bits & bits.wrapping_neg();
                let was = word.fetch_and(!lowest, Ordering::AcqRel);
                if was & lowest != 0 {
                    let slot = index * WORD + lowest.trailing_zeros() as usize;
                    if let Some(unit) = self.places[slot].take() {
                        return Some(unit);
                    }
                }
                bits = was & !lowest;
            }
        }
        None
    }
}
