//! The names of pools by their numbers, and values by these numbers. A reload adds pools and removes others; a number means the same name as
//! long as the server runs, so what counts by numbers goes on counting when a pool of that name comes back.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The size of the first part; each further one is twice as large.
const FIRST: usize = 8;

/// The number of parts, and so of names.
const PARTS: usize = 12;

/// Names that there may be.
const MAX_NAMES: usize = FIRST * ((1 << PARTS) - 1);

/// All names of pools that there have been since the start. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct PoolNames(Arc<Names>);

#[derive(Debug, Default)]
struct Names {
    by_number: ByPool<String>,
    count: Mutex<usize>,
}

/// A value for each pool, made when it is needed. Values are never moved, and read without a lock.
#[derive(Debug)]
pub(crate) struct ByPool<T> {
    parts: [OnceLock<Box<[OnceLock<T>]>>; PARTS],
}

impl PoolNames {
    /// Returns the number of this name, a new one if there is none; `None` if there have been too many names.
    pub fn number(&self, name: &str) -> Option<usize> {
        let mut count = self.0.count.lock().unwrap_or_else(PoisonError::into_inner);
        let known = (0..*count).find(|number| self.name(*number) == Some(name));
        known.or_else(|| {
            let number = *count;
            self.0.by_number.get_or_make(number, || name.to_owned())?;
            *count += 1;
            Some(number)
        })
    }

    /// The name with this number.
    pub fn name(&self, number: usize) -> Option<&str> {
        self.0.by_number.get(number).map(String::as_str)
    }

    /// The name of a pool in log entries; the default pool, whose number is 0, has none.
    pub(crate) fn label(&self, number: usize) -> Option<&str> {
        self.name(number).filter(|_| number > 0)
    }

    /// Whether there has been more than one pool.
    #[inline]
    pub(crate) fn are_several(&self) -> bool {
        self.0.by_number.get(1).is_some()
    }

    /// All names, by their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        (0..MAX_NAMES).map_while(|number| self.name(number))
    }
}

impl<S: AsRef<str>> FromIterator<S> for PoolNames {
    /// Names with the numbers 0, 1 and so on.
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let all = Self::default();
        for name in names {
            all.number(name.as_ref());
        }
        all
    }
}

impl<T> ByPool<T> {
    /// The value of a pool, if it has been made.
    #[inline]
    pub(crate) fn get(&self, number: usize) -> Option<&T> {
        let (part, index) = place(number);
        self.parts.get(part)?.get()?.get(index)?.get()
    }

    /// The value of a pool, made now if it is needed for the first time; `None` beyond the last number.
    #[inline]
    pub(crate) fn get_or_make(&self, number: usize, make: impl FnOnce() -> T) -> Option<&T> {
        let (part, index) = place(number);
        let empty = || (0..FIRST << part).map(|_| OnceLock::new()).collect();
        Some(self.parts.get(part)?.get_or_init(empty).get(index)?.get_or_init(make))
    }

    /// The values that have been made, by their numbers.
    pub(crate) fn made(&self) -> impl Iterator<Item = (usize, &T)> {
        let parts = self.parts.iter().enumerate();
        let parts = parts.filter_map(|(number, part)| Some((FIRST * ((1 << number) - 1), part.get()?)));
        parts.flat_map(|(first, part)| {
            part.iter().enumerate().filter_map(move |(index, value)| Some((first + index, value.get()?)))
        })
    }
}

/// The part that holds this number, and where.
#[inline]
fn place(number: usize) -> (usize, usize) {
    let nth = number / FIRST + 1;
    let part = nth.ilog2() as usize;
    (part, number - FIRST * ((1 << part) - 1))
}

impl<T> Default for ByPool<T> {
    fn default() -> Self {
        Self { parts: std::array::from_fn(|_| OnceLock::new()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_keeps_its_number() {
        let names: PoolNames = ["centrifuge", "centrifuge.a"].into_iter().collect();
        assert_eq!((names.number("centrifuge.b"), names.number("centrifuge.a")), (Some(2), Some(1)));
        assert_eq!(names.all().collect::<Vec<_>>(), ["centrifuge", "centrifuge.a", "centrifuge.b"]);
        assert_eq!((names.label(0), names.label(2), names.label(3)), (None, Some("centrifuge.b"), None));
        assert!(names.are_several() && !["centrifuge"].into_iter().collect::<PoolNames>().are_several());
    }

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let values = ByPool::default();
        assert_eq!(values.get(0), None);
        for number in 0..1000 {
            assert_eq!(values.get_or_make(number, || number), Some(&number));
        }
        assert_eq!(values.get_or_make(MAX_NAMES - 1, || 7), Some(&7));
        assert_eq!(values.get_or_make(MAX_NAMES, || 8), None);
        assert!(values.made().take(1000).all(|(number, value)| number == *value));
        assert_eq!(values.made().count(), 1001);
    }
}
