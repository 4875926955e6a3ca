use super::*;

/// Units named after their slots.
fn several(slot: usize, most: usize) -> Several<usize> {
    Several {
        template: Box::new(slot),
        another: |slot| Some(Box::new(*slot)),
        rest: |_| {},
        credit: |_| usize::MAX,
        most,
    }
}

fn permits(more: usize, fewer: usize) -> Permits {
    Permits { more, fewer }
}

const ANY: u64 = u64::MAX;

/// Two workers of two units.
fn two_of_two() -> Loads<usize> {
    let mut loads = Loads::new();
    for slot in [0, 5] {
        assert_eq!(loads.open(slot, several(slot, 2), ANY), permits(2, 0));
    }
    loads
}

fn pick(loads: &mut Loads<usize>) -> usize {
    match loads.pick(|| None) {
        Pick::Unit(slot) => *slot,
        Pick::Void => panic!("a void"),
        Pick::None => panic!("nothing"),
    }
}

fn give(loads: &mut Loads<usize>, slot: usize) -> (Permits, Option<Box<usize>>) {
    let (permits, _, last) = loads.give(slot, Use::Done).unwrap();
    (permits, last)
}

#[test]
fn the_least_busy_worker_is_next() {
    let mut loads = two_of_two();
    assert_eq!([0; 4].map(|_| pick(&mut loads)), [0, 5, 0, 5]);
    assert!(matches!(loads.pick(|| None), Pick::None));
    assert_eq!(give(&mut loads, 5), (permits(1, 0), None));
    assert_eq!(give(&mut loads, 5), (permits(1, 0), None));
    assert_eq!(give(&mut loads, 0), (permits(1, 0), None));
    assert_eq!([0; 3].map(|_| pick(&mut loads)), [5, 0, 5], "the one in the lower slot had one in hand");
    assert_eq!([0, 5, 1].map(|slot| loads.in_hand(slot)), [Some(2), Some(2), None]);
}

#[test]
fn a_worker_that_is_idle_is_preferred_to_one_that_has_requests_in_hand() {
    let mut loads = two_of_two();
    let mut other = Some(Box::new(9));
    let mut next = || match loads.pick(|| other.take()) {
        Pick::Unit(slot) => *slot,
        Pick::Void | Pick::None => panic!("nothing"),
    };
    assert_eq!([0; 5].map(|_| next()), [0, 5, 9, 0, 5]);
    let mut none = Loads::new();
    assert!(matches!(none.pick(|| Some(Box::new(9))), Pick::Unit(_)));
}

#[test]
fn a_worker_gets_no_more_than_it_wants() {
    let mut loads = Loads::new();
    assert_eq!(loads.open(0, several(0, 4), ANY), permits(4, 0));
    pick(&mut loads);
    pick(&mut loads);
    assert_eq!(loads.set_credit(0, 1), permits(0, 2));
    assert_eq!(give(&mut loads, 0), (permits(0, 0), None), "it has as many in hand as it wants");
    assert_eq!(loads.set_credit(0, 0), permits(0, 0));
    assert_eq!(give(&mut loads, 0), (permits(0, 0), None));
    assert!(matches!(loads.pick(|| None), Pick::None));
    assert_eq!(loads.set_credit(0, 100), permits(4, 0), "and no more than it may");
    assert_eq!(loads.set_credit(7, 1), permits(0, 0));
}

#[test]
fn a_permit_that_was_promised_becomes_void() {
    let mut loads = Loads::new();
    assert_eq!(loads.open(0, several(0, 2), ANY), permits(2, 0));
    assert_eq!(loads.set_credit(0, 1), permits(0, 1));
    loads.add_void(1);
    assert_eq!(pick(&mut loads), 0);
    assert!(matches!(loads.pick(|| None), Pick::Void));
    assert!(matches!(loads.pick(|| None), Pick::None));
    assert!(!loads.is_empty());
}

#[test]
fn a_worker_gets_no_more_requests_than_it_may_have_at_all() {
    let mut loads = Loads::new();
    assert_eq!(loads.open(0, several(0, 4), 3), permits(3, 0));
    pick(&mut loads);
    pick(&mut loads);
    let (permits_, ..) = loads.give(0, Use::None).unwrap();
    assert_eq!(permits_, permits(1, 0), "one that was not used may be used again");
    assert_eq!(give(&mut loads, 0), (permits(0, 0), None), "one that was used may not");
    pick(&mut loads);
    pick(&mut loads);
    assert_eq!(give(&mut loads, 0).0, permits(0, 0));
    assert_eq!(give(&mut loads, 0).0, permits(0, 0));
    assert!(matches!(loads.pick(|| None), Pick::None));
}

#[test]
fn a_closed_worker_comes_back_with_its_last_unit() {
    let mut loads = two_of_two();
    assert_eq!([0; 3].map(|_| pick(&mut loads)), [0, 5, 0]);
    assert_eq!(loads.close(0), (permits(0, 0), None));
    assert_eq!(loads.set_credit(0, 2), permits(0, 0), "it gets no more");
    assert_eq!(give(&mut loads, 0), (permits(0, 0), None));
    assert_eq!(give(&mut loads, 0), (permits(0, 0), Some(Box::new(0))));
    assert!(loads.give(0, Use::Done).is_none());
    assert_eq!(loads.close(0), (permits(0, 0), None), "it is not here any more");
    assert_eq!(give(&mut loads, 5), (permits(1, 0), None));
    assert_eq!(loads.close(5), (permits(0, 2), Some(Box::new(5))), "it had nothing in hand");
    assert!(loads.is_empty());
}

#[test]
fn a_quarter_of_lost_units_counts() {
    let mut loads = Loads::new();
    let _ = loads.open(0, several(0, 8), ANY);
    for _ in 0..8 {
        pick(&mut loads);
    }
    assert_eq!(loads.abandon(0), Some(Standing::default()));
    assert_eq!(loads.abandon(0), Some(Standing { turned: true, ..Standing::default() }));
    assert!(loads.is_abandoned(0));
    assert_eq!(loads.overdue(0), Some(Standing::default()));
    assert_eq!(loads.overdue(0), Some(Standing { is_due: true, ..Standing::default() }));
    let (permits_, standing, _) = loads.give(0, Use::Overdue).unwrap();
    assert_eq!((permits_, standing), (permits(1, 0), Standing { turned: true, ..Standing::default() }));
    assert!(!loads.is_abandoned(0));
    assert_eq!((loads.abandon(9), loads.overdue(9)), (None, None));
}

#[test]
fn a_worker_is_stuck_when_nothing_but_overdue_requests_is_in_hand_and_it_gets_no_more() {
    let mut loads = Loads::new();
    let _ = loads.open(0, several(0, 4), ANY);
    for _ in 0..2 {
        pick(&mut loads);
    }
    let _ = loads.abandon(0);
    assert!(!loads.overdue(0).unwrap().is_stuck);
    let _ = loads.close(0);
    assert!(!loads.is_stuck(0), "another one is in hand");
    let (_, standing, _) = loads.give(0, Use::Done).unwrap();
    assert!(standing.is_stuck);
    assert!(loads.give(0, Use::Overdue).unwrap().2.is_some(), "it has come back all the same");
}

#[test]
fn a_worker_is_stuck_when_all_its_units_are_overdue() {
    let mut loads = Loads::new();
    let _ = loads.open(0, several(0, 2), ANY);
    for (in_hand, is_stuck) in [(1, false), (2, true)] {
        pick(&mut loads);
        assert_eq!(loads.in_hand(0), Some(in_hand));
        let _ = loads.abandon(0);
        assert_eq!(loads.overdue(0).unwrap().is_stuck, is_stuck);
    }
}

#[test]
fn a_silent_worker_is_stuck_as_soon_as_the_time_of_one_request_is_over() {
    let mut loads = Loads::new();
    let _ = loads.open(0, several(0, 8), ANY);
    for _ in 0..3 {
        pick(&mut loads);
    }
    assert!(!loads.set_silent(0, true));
    let _ = loads.abandon(0);
    assert!(loads.overdue(0).unwrap().is_stuck);
    assert!(!loads.set_silent(0, false) && !loads.is_stuck(0));
    assert!(loads.set_silent(0, true));
}

#[test]
fn a_worker_rests_when_its_last_unit_has_come_back() {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    static RESTS: AtomicUsize = AtomicUsize::new(0);
    let mut loads = Loads::new();
    let units = Several {
        template: Box::new(()),
        another: |&()| Some(Box::new(())),
        rest: |&()| {
            RESTS.fetch_add(1, Relaxed);
        },
        credit: |()| usize::MAX,
        most: 2,
    };
    let _ = loads.open(0, units, ANY);
    for _ in 0..2 {
        assert!(matches!(loads.pick(|| None), Pick::Unit(_)));
    }
    let _ = loads.give(0, Use::Done);
    assert_eq!(RESTS.load(Relaxed), 0);
    let _ = loads.give(0, Use::Done);
    assert_eq!(RESTS.load(Relaxed), 1);
}

#[test]
fn what_a_worker_wants_when_it_is_lent_counts_from_the_beginning() {
    let mut loads = Loads::new();
    assert_eq!(loads.open(3, Several { credit: |slot| *slot - 2, ..several(3, 8) }, ANY), permits(1, 0));
    pick(&mut loads);
    assert!(matches!(loads.pick(|| None), Pick::None));
    assert_eq!(loads.set_credit(3, 100), permits(7, 0), "no more than it has offered");
}

#[test]
fn a_worker_that_wants_nothing_for_long_counts_as_abandoned_until_it_wants_something() {
    let turned = Some(Standing { turned: true, ..Standing::default() });
    let mut loads = two_of_two();
    assert_eq!((loads.set_withdrawn(0, true), loads.set_withdrawn(9, true)), (None, None), "it wants two");
    pick(&mut loads);
    assert_eq!(loads.set_credit(0, 0), permits(0, 1));
    assert_eq!(loads.set_withdrawn(0, true), None, "it has one in hand");
    assert_eq!(give(&mut loads, 0), (permits(0, 0), None));
    assert_eq!(loads.set_withdrawn(0, true), turned);
    assert!(loads.is_abandoned(0));
    assert_eq!(loads.set_withdrawn(0, true), Some(Standing::default()), "as before");
    assert_eq!(loads.set_credit(0, 2), permits(2, 0));
    assert_eq!(loads.set_withdrawn(0, false), turned);
    assert!(!loads.is_abandoned(0));
}

#[test]
fn a_silent_worker_that_wants_nothing_and_has_nothing_in_hand_is_stuck() {
    let mut loads = two_of_two();
    assert!(!loads.set_silent(0, true));
    assert_eq!(loads.set_credit(0, 0), permits(0, 2));
    assert!(loads.is_stuck(0) && !loads.is_stuck(5));
    assert!(!loads.set_silent(0, false));
}
