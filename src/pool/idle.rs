//! Idle workers, and the line of those who wait for one.
//!
//! A semaphore keeps the line: first come, first served, and whoever gives up leaves it without a trace. Its permits count the idle
//! workers; which worker a permit stands for is decided by a bitmap over slots. The lowest slot is taken first, so under light load the
//! same few workers do all the work: their memory is warm, and the others can be seen to be unneeded.
//!
//! Every permit stands for one set bit. A worker is therefore published before its permit is added, and a permit is taken before its
//! bit is cleared; whoever holds a permit finds a bit, if perhaps not at the first look.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam::atomic::AtomicCell;
use crossbeam::utils::CachePadded;
use tokio::sync::Semaphore;

/// Bits per word of the map.
const WORD: usize = u64::BITS as usize;

/// Slots of a pool: five hundred workers, their substitutes and successors, with room to spare.
const SLOTS: usize = 32 * WORD;

/// Things to be lent, one slot each.
pub(super) struct Idle<T> {
    words: Box<[CachePadded<AtomicU64>]>,
    slots: Box<[AtomicCell<Option<Box<T>>>]>,
    line: Semaphore,
}

/// There was nobody to wait for: the structure is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Closed;

impl<T> std::fmt::Debug for Idle<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("line", &self.line).finish_non_exhaustive()
    }
}

impl<T> Idle<T> {
    pub(super) fn new() -> Self {
        const { assert!(AtomicCell::<Option<Box<u8>>>::is_lock_free()) };
        Self {
            words: (0..SLOTS / WORD).map(|_| CachePadded::default()).collect(),
            slots: (0..SLOTS).map(|_| AtomicCell::default()).collect(),
            line: Semaphore::new(0),
        }
    }

    /// Puts `thing` into the free slot `slot`, for the next one in line.
    pub(super) fn put(&self, slot: usize, thing: Box<T>) {
        self.slots[slot].store(Some(thing));
        self.words[slot / WORD].fetch_or(1 << (slot % WORD), Ordering::Release);
        self.line.add_permits(1);
    }

    /// Takes one, if one is idle and nobody waits.
    pub(super) fn try_take(&self) -> Option<Box<T>> {
        let permit = self.line.try_acquire().ok()?;
        permit.forget();
        Some(self.pick())
    }

    /// Waits in line for one. Dropping the future leaves the line.
    pub(super) async fn take(&self) -> Result<Box<T>, Closed> {
        let permit = self.line.acquire().await.map_err(|_| Closed)?;
        permit.forget();
        Ok(self.pick())
    }

    /// Takes what is in `slot`, if it is idle.
    pub(super) fn remove(&self, slot: usize) -> Option<Box<T>> {
        // Without a permit, whatever is in the slot has been promised to somebody already.
        let permit = self.line.try_acquire().ok()?;
        let bit = 1 << (slot % WORD);
        if self.words[slot / WORD].fetch_and(!bit, Ordering::Acquire) & bit == 0 {
            return None;
        }
        permit.forget();
        self.slots[slot].take()
    }

    /// Ends the line: all who wait, and all who come, are turned away.
    pub(super) fn close(&self) {
        self.line.close();
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
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn the_lowest_slot_is_taken_first() {
        let idle = Idle::new();
        for slot in [70, 3, 5] {
            idle.put(slot, Box::new(slot));
        }
        assert_eq!(*idle.take().await.unwrap(), 3);
        idle.put(3, Box::new(3));
        assert_eq!(*idle.try_take().unwrap(), 3);
        assert_eq!(*idle.try_take().unwrap(), 5);
        assert_eq!(*idle.try_take().unwrap(), 70);
        assert!(idle.try_take().is_none());
    }

    #[tokio::test]
    async fn those_who_wait_are_served_in_order_and_may_leave() {
        let idle = Arc::new(Idle::new());
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(idle.take())).collect();
        for future in &mut waiting {
            assert!(futures_poll(future).is_none());
        }
        drop(waiting.remove(0));
        idle.put(1, Box::new('a'));
        assert!(futures_poll(&mut waiting[1]).is_none(), "the one in front is served first");
        assert_eq!(*futures_poll(&mut waiting[0]).unwrap().unwrap(), 'a');
        idle.put(1, Box::new('b'));
        assert_eq!(*futures_poll(&mut waiting[1]).unwrap().unwrap(), 'b');
    }

    #[tokio::test]
    async fn one_who_leaves_after_being_called_up_passes_the_place_on() {
        let idle = Idle::new();
        let mut first = Box::pin(idle.take());
        let mut second = Box::pin(idle.take());
        assert!(futures_poll(&mut first).is_none());
        assert!(futures_poll(&mut second).is_none());
        idle.put(0, Box::new(1));
        drop(first);
        assert_eq!(*futures_poll(&mut second).unwrap().unwrap(), 1);
    }

    #[test]
    fn what_is_promised_cannot_be_removed() {
        let idle = Idle::new();
        idle.put(4, Box::new(()));
        assert!(idle.remove(5).is_none());
        assert!(idle.try_take().is_some());
        assert!(idle.remove(4).is_none());
        idle.put(4, Box::new(()));
        assert!(idle.remove(4).is_some());
        assert!(idle.try_take().is_none());
    }

    #[tokio::test]
    async fn closing_turns_all_away() {
        let idle = Idle::<()>::new();
        let mut waiting = Box::pin(idle.take());
        assert!(futures_poll(&mut waiting).is_none());
        idle.close();
        assert_eq!(waiting.await.unwrap_err(), Closed);
        assert!(idle.try_take().is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn under_contention_each_thing_has_one_holder_and_none_is_lost() {
        let idle = Arc::new(Idle::new());
        let holders: Arc<Vec<AtomicU64>> = Arc::new((0..100).map(|_| AtomicU64::new(0)).collect());
        for slot in 0..100_usize {
            idle.put(slot, Box::new(slot));
        }
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let (idle, holders) = (Arc::clone(&idle), Arc::clone(&holders));
                tokio::spawn(async move {
                    for _ in 0..200 {
                        let thing = idle.take().await.unwrap();
                        let slot = *thing;
                        assert_eq!(holders[slot].fetch_add(1, Ordering::SeqCst), 0);
                        tokio::task::yield_now().await;
                        assert_eq!(holders[slot].fetch_sub(1, Ordering::SeqCst), 1);
                        idle.put(slot, thing);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        assert_eq!((0..100).filter(|_| idle.try_take().is_some()).count(), 100);
    }

    fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }
}
