//! The numbers under which a worker knows its requests: none is used twice, and none can be guessed.
//!
//! Requests are counted here. A number is the count, encrypted under a key that each connection draws: a worker that counts along, or makes
//! numbers up, hits those of requests that wait in its pipe no more often than by chance. Since encrypting only permutes the 32 bits, no
//! table of used numbers is needed. It is to catch mistakes, and no cryptography: a worker may answer all of its requests as it likes.

use crate::os::random;

const ROUNDS: usize = 4;

/// The key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbers([u32; ROUNDS]);

impl Numbers {
    /// Those of a new connection.
    pub(super) fn new() -> Self {
        let random = u128::from_ne_bytes(random::bytes());
        #[allow(clippy::cast_possible_truncation, reason = "each takes its own 32 bits")]
        Self(std::array::from_fn(|round| (random >> (32 * round)) as u32))
    }

    /// The number of the request with this count.
    pub(super) fn number(self, count: u32) -> u32 {
        let (mut left, mut right) = halves(count);
        for key in self.0 {
            (left, right) = (right, left ^ scramble(right, key));
        }
        whole(left, right)
    }

    /// The count of the request with this number.
    pub(super) fn count(self, number: u32) -> u32 {
        let (mut left, mut right) = halves(number);
        for key in self.0.into_iter().rev() {
            (left, right) = (right ^ scramble(left, key), left);
        }
        whole(left, right)
    }
}

/// A Feistel network: whatever this is, a round can be undone.
fn scramble(half: u16, key: u32) -> u16 {
    // The golden ratio, whose multiples are spread evenly.
    let product = u64::from(u32::from(half) ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    halves((product >> 32) as u32).0
}

fn halves(number: u32) -> (u16, u16) {
    let [a, b, c, d] = number.to_be_bytes();
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

fn whole(left: u16, right: u16) -> u32 {
    u32::from(left) << 16 | u32::from(right)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_number_leads_back_to_its_count() {
        bolero::check!().with_type::<([u32; ROUNDS], u32)>().with_iterations(10_000).for_each(
            |(key, count)| {
                let numbers = Numbers(*key);
                assert_eq!(numbers.count(numbers.number(*count)), *count);
                assert_eq!(numbers.number(numbers.count(*count)), *count);
            },
        );
    }

    #[test]
    fn the_numbers_of_a_connection_are_neither_in_order_nor_those_of_another_one() {
        let [one, other] = [(); 2].map(|()| Numbers::new());
        let of = |numbers: Numbers| (1..=1_000).map(|count| numbers.number(count)).collect::<Vec<_>>();
        let (one, other) = (of(one), of(other));
        let steps: BTreeSet<_> = one.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])).collect();
        // By chance, a few are the same.
        assert!(steps.len() > 950, "{} different steps", steps.len());
        assert!(one.iter().filter(|number| other.contains(number)).count() < 5);
    }
}
