//! Idle workers, and the line of those who wait for one.
//!
//! A semaphore keeps the line: first come, first served, and whoever gives up leaves it without a trace. Its permits count the idle
//! workers; which worker a permit stands for is decided by a bitmap over slots. The lowest slot is taken first, so under light load the
//! same few workers do all the work: their memory is warm, and the others can be seen to be unneeded.
//!
//! Every permit stands for one set bit. A worker is therefore published before its permit is added, and a permit is taken before its
//! bit is cleared; whoever holds a permit finds a bit, if perhaps not at the first look.

use super::sync::{AtomicCell, AtomicU64, CachePadded, Ordering, Semaphore, spin_loop};

/// Bits per word of the map.
const WORD: usize = u64::BITS as usize;

/// Slots of a pool: five hundred workers, their substitutes and successors, with room to spare.
const SLOTS: usize = 32 * WORD;

/// Things to be lent, one slot each.
pub(super) struct Idle<T> {
    words: Box<[CachePadded<AtomicU64>]>,
    slots: Box<[AtomicCell<Option<Box<T>>>]>,
    queue: Semaphore,
}

/// There was nobody to wait for: the structure is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl<T> std::fmt::Debug for Idle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("queue", &self.queue).finish_non_exhaustive()
    }
}

impl<T> Idle<T> {
    pub(super) fn new() -> Self {
        const { assert!(AtomicCell::<Option<Box<u8>>>::is_lock_free()) };
        Self {
            words: (0..SLOTS / WORD).map(|_| CachePadded::default()).collect(),
            slots: (0..SLOTS).map(|_| AtomicCell::default()).collect(),
            queue: Semaphore::new(0),
        }
    }

    /// Puts `thing` into the free slot `slot`, for the next one in line.
    pub(super) fn put(&self, slot: usize, thing: Box<T>) {
        self.slots[slot].store(Some(thing));
        self.words[slot / WORD].fetch_or(1 << (slot % WORD), Ordering::Release);
        self.queue.add_permits(1);
    }

    /// Takes one, if one is idle and nobody waits.
    pub(super) fn try_take(&self) -> Option<Box<T>> {
        let permit = self.queue.try_acquire().ok()?;
        permit.forget();
        Some(self.pick())
    }

    /// Waits in line for one. Dropping the future leaves the line.
    pub(super) async fn take(&self) -> Result<Box<T>, Closed> {
        let permit = self.queue.acquire().await.map_err(|_| Closed)?;
        permit.forget();
        Ok(self.pick())
    }

    /// Takes what is in `slot`, if it is idle.
    pub(super) fn remove(&self, slot: usize) -> Option<Box<T>> {
        // Without a permit, whatever is in the slot has been promised to somebody already.
        let permit = self.queue.try_acquire().ok()?;
        let bit = 1 << (slot % WORD);
        if self.words[slot / WORD].fetch_and(!bit, Ordering::Acquire) & bit == 0 {
            return None;
        }
        permit.forget();
        self.slots[slot].take()
    }

    /// Ends the line: all who wait, and all who come, are turned away.
    pub(super) fn close(&self) {
        self.queue.close();
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
                        let slot = index * WORD + lowest.trailing_zeros() as usize;
                        if let Some(thing) = self.slots[slot].take() {
                            return thing;
                        }
                    }
                    bits = was & !lowest;
                }
            }
            spin_loop();
        }
    }
}
