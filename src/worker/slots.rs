//! Numbers to be lent: each is somebody's as long as its token lives.

use std::sync::{Arc, Mutex, PoisonError};

/// The numbers from 0 up that are free.
#[derive(Debug, Clone)]
pub(crate) struct Slots {
    /// In descending order, so that the lowest is at hand.
    free: Arc<Mutex<Vec<usize>>>,
}

/// A number that is taken; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Slot {
    number: usize,
    home: Slots,
}

impl Slots {
    pub(crate) fn new(count: usize) -> Self {
        Self { free: Arc::new(Mutex::new((0..count).rev().collect())) }
    }

    /// Takes the lowest free number.
    pub(crate) fn take(&self) -> Option<Slot> {
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Slot { number, home: self.clone() })
    }
}

impl Slot {
    pub(crate) fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        let place = free.partition_point(|other| *other > self.number);
        free.insert(place, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_taken() {
        let slots = Slots::new(3);
        let (zero, one) = (slots.take().unwrap(), slots.take().unwrap());
        assert_eq!((zero.number(), one.number()), (0, 1));
        drop(zero);
        let again = slots.take().unwrap();
        assert_eq!(again.number(), 0);
        assert_eq!(slots.take().map(|slot| slot.number()), Some(2));
        let _last = slots.take();
        drop(one);
        assert_eq!(slots.take().unwrap().number(), 1);
    }
}
