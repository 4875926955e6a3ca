//! Callers take turns.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::caller::Caller;
use super::fair_queue::{FairQueue, Key};

/// What happens to a queue.
#[derive(Debug, Clone)]
enum Step {
    /// The caller of this number joins.
    Join(usize),
    Serve,
    /// One of those who joined and were not removed yet leaves, served or not.
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0_usize..5).prop_map(Step::Join),
        2 => Just(Step::Serve),
        1 => any::<prop::sample::Index>().prop_map(Step::Remove),
    ]
}

fn serve(queue: &mut FairQueue<usize>) -> Option<usize> {
    queue.serve_next().copied()
}

#[test]
fn a_caller_with_one_request_is_served_next_but_one_beside_a_caller_with_a_thousand() {
    let (one, other) = (Caller::unique(), Caller::unique());
    for served_before in [0, 1, 500] {
        let mut queue = FairQueue::new(1);
        for number in 0..1000 {
            queue.join(one, number);
        }
        for number in 0..served_before {
            assert_eq!(serve(&mut queue), Some(number));
        }
        queue.join(other, 1000);
        assert_eq!([serve(&mut queue), serve(&mut queue)], [Some(served_before), Some(1000)]);
        assert_eq!(serve(&mut queue), Some(served_before + 1));
    }
}

#[test]
fn in_longer_turns_a_caller_is_served_several_times_before_the_next_one() {
    let callers = [Caller::unique(), Caller::unique()];
    let mut queue = FairQueue::new(3);
    for number in 0..10 {
        queue.join(callers[number % 2], number);
    }
    let order: Vec<_> = (0..10).map(|_| serve(&mut queue).unwrap()).collect();
    assert_eq!(order, [0, 2, 4, 1, 3, 5, 6, 8, 7, 9]);
}

#[test]
fn a_caller_that_asks_again_at_once_does_not_starve_those_that_wait() {
    let (eager, patient) = (Caller::unique(), Caller::unique());
    let mut queue = FairQueue::new(1);
    for number in 0..3 {
        queue.join(patient, number);
    }
    queue.join(eager, 100);
    let order: Vec<_> = (0..6)
        .map(|_| {
            let served = serve(&mut queue).unwrap();
            if served == 100 {
                queue.join(eager, 100);
            }
            served
        })
        .collect();
    assert_eq!(order, [0, 100, 1, 100, 2, 100]);
}

proptest! {
    #[test]
    fn callers_are_served_in_turns_whatever_joins_and_leaves(
        turn in 1_usize..4,
        steps in prop::collection::vec(step(), 0..200),
    ) {
        let callers: [Caller; 5] = std::array::from_fn(|_| Caller::unique());
        let mut queue = FairQueue::new(turn);
        // Callers in their order, with how many were served in this turn and those that wait; and the keys of all that were not removed.
        let mut ring: VecDeque<(usize, usize, VecDeque<usize>)> = VecDeque::new();
        let mut kept: Vec<(Key, usize)> = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Join(caller) => {
                    kept.push((queue.join(callers[caller], number), number));
                    match ring.iter_mut().find(|(other, ..)| *other == caller) {
                        Some((.., line)) => line.push_back(number),
                        None => ring.push_back((caller, 0, VecDeque::from([number]))),
                    }
                }
                Step::Serve => {
                    let expected = ring.pop_front().map(|(caller, served, mut line)| {
                        let first = line.pop_front().unwrap();
                        match served + 1 {
                            _ if line.is_empty() => {}
                            served if served < turn => ring.push_front((caller, served, line)),
                            _ => ring.push_back((caller, 0, line)),
                        }
                        first
                    });
                    prop_assert_eq!(serve(&mut queue), expected);
                }
                Step::Remove(index) if !kept.is_empty() => {
                    let (key, number) = kept.remove(index.index(kept.len()));
                    prop_assert_eq!(queue.remove(key), Some(number));
                    for (.., line) in &mut ring {
                        line.retain(|other| *other != number);
                    }
                    ring.retain(|(.., line)| !line.is_empty());
                }
                Step::Remove(_) => {}
            }
            prop_assert_eq!(queue.is_empty(), ring.is_empty());
            prop_assert_eq!(queue.sizes(), (kept.len(), ring.len()));
        }
    }
}
