//! Numbers that are assigned: each is taken as long as its token lives.

use std::sync::{Arc, Mutex, PoisonError};

/// The numbers from 0 up that are free.
#[derive(Debug, Clone)]
pub(super) struct Slots {
    /// In descending order, so that the lowest is the last.
    free: Arc<Mutex<Vec<usize>>>,
}

/// A number that is taken; dropping it frees the number.
#[derive(Debug)]
#[must_use = "a slot that is dropped is free again"]
pub(super) struct Slot {
    number: usize,
    slots: Slots,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Mutex::new((0..count).rev().collect())) }
    }

    /// Takes the lowest free number.
    pub(super) fn assign(&self) -> Option<Slot> {
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Slot { number, slots: self.clone() })
    }
}

impl Slot {
    pub(super) fn number(&self) -> usize {
        self.number
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut free = self.slots.free.lock().unwrap_or_else(PoisonError::into_inner);
        let at = free.partition_point(|other| *other > self.number);
        free.insert(at, self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_number_is_assigned() {
        let slots = Slots::new(3);
        let (zero, one) = (slots.assign().unwrap(), slots.assign().unwrap());
        assert_eq!((zero.number(), one.number()), (0, 1));
        drop(zero);
        let again = slots.assign().unwrap();
        assert_eq!(again.number(), 0);
        let last = slots.assign().unwrap();
        assert_eq!(last.number(), 2);
        assert!(slots.assign().is_none());
        drop(one);
        assert_eq!(slots.assign().unwrap().number(), 1);
    }
}
