//! Idle units of capacity, and the queue of those who wait for one.
//!
//! A unit is one request that a worker may have in flight. Each worker has a slot, and one unit for each row of the structure: today there
//! is one row, since a worker has one request at a time. The place of a unit follows from its row and its worker's slot.
//!
//! `Permits` keep the queue, fair between callers; a waiter that gives up leaves it without a trace. They count the idle units; which unit
//! a permit stands for is decided by a bitmap over places, row by row. The lowest place is taken first. So no worker gets a second request
//! before every idle one has its first; and under light load the same few workers do all the work: their memory is warm, and the others can
//! be seen to be unneeded.
//!
//! Every permit stands for one set bit. A unit is therefore published before its permit is added, and a permit is taken before its bit is
//! cleared; the holder of a permit finds a bit, if perhaps not at the first look.

use super::caller::Caller;
use super::permits::{Closed, Permits};
use super::sync::{AtomicCell, AtomicU64, CachePadded, Ordering, spin_loop};

/// Bits per word of the map.
const WORD: usize = u64::BITS as usize;

/// Slots of a pool: five hundred workers, their substitutes and successors, with room to spare.
const SLOTS: usize = 32 * WORD;

/// Units to be lent, one place each.
pub(super) struct Idle<T> {
    words: Box<[CachePadded<AtomicU64>]>,
    places: Box<[AtomicCell<Option<Box<T>>>]>,
    permits: Permits,
}

impl<T> std::fmt::Debug for Idle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("permits", &self.permits).finish_non_exhaustive()
    }
}

impl<T> Idle<T> {
    /// For workers of at most `rows` units each.
    pub(super) fn new(rows: usize) -> Self {
        const { assert!(AtomicCell::<Option<Box<u8>>>::is_lock_free()) };
        Self {
            words: (0..rows * SLOTS / WORD).map(|_| CachePadded::default()).collect(),
            places: (0..rows * SLOTS).map(|_| AtomicCell::default()).collect(),
            permits: Permits::new(0),
        }
    }

    /// Where the unit in this row of the worker in this slot is put.
    pub(super) const fn place(row: usize, slot: usize) -> usize {
        row * SLOTS + slot
    }

    /// Puts a unit into its place, for the next waiter if there is one.
    pub(super) fn put(&self, place: usize, unit: Box<T>) {
        self.places[place].store(Some(unit));
        self.words[place / WORD].fetch_or(1 << (place % WORD), Ordering::Release);
        self.permits.add();
    }

    /// Takes one, if one is idle and nothing waits.
    pub(super) fn try_take(&self) -> Option<Box<T>> {
        let permit = self.permits.try_acquire()?;
        permit.forget();
        Some(self.pick())
    }

    /// Waits in the queue of `caller` for one. Dropping the future leaves the queue.
    pub(super) async fn take(&self, caller: Caller) -> Result<Box<T>, Closed> {
        self.permits.acquire(caller).await?.forget();
        Ok(self.pick())
    }

    /// Takes what is in `place`, if it is idle.
    pub(super) fn remove(&self, place: usize) -> Option<Box<T>> {
        // Without a permit, whatever is in the place has been promised to a waiter already.
        let permit = self.permits.try_acquire()?;
        let bit = 1 << (place % WORD);
        if self.words[place / WORD].fetch_and(!bit, Ordering::Acquire) & bit == 0 {
            return None;
        }
        permit.forget();
        self.places[place].take()
    }

    /// Closes the queue: all who wait, and all who come, are turned away.
    pub(super) fn close(&self) {
        self.permits.close();
    }

    /// How many slots there are.
    pub(super) const fn slots() -> usize {
        SLOTS
    }

    /// Clears the lowest bit. The caller has taken a permit, so there is one; another thread may be faster, but then its bit is for us.
    fn pick(&self) -> Box<T> {
        loop {
            for (index, word) in self.words.iter().enumerate() {
                let mut bits = word.load(Ordering::Acquire);
                while bits != 0 {
                    let lowest = bits & bits.wrapping_neg();
                    let was = word.fetch_and(!lowest, Ordering::AcqRel);
                    if was & lowest != 0 {
                        let place = index * WORD + lowest.trailing_zeros() as usize;
                        if let Some(unit) = self.places[place].take() {
                            return unit;
                        }
                    }
                    bits = was & !lowest;
                }
            }
            spin_loop();
        }
    }
}
