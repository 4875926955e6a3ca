//! What holds in whatever order threads run.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use shuttle::future::{block_on, spawn as spawn_task};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::caller::Caller;
use crate::idle::Idle;
use crate::loads::{Several, Use};
use crate::permits::{Closed, Permits};

/// The caller where there is but one.
const ME: Caller = Caller::NONE;

/// Orders that are tried of each test.
const ORDERS: usize = 400;

/// Tries random orders, and then such that keep a thread waiting for as long as they can.
fn in_any_order(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), ORDERS);
    shuttle::check_pct(test, ORDERS, 3);
}

/// A unit that notices two holders at once, in a place of the structure.
struct Unit {
    slot: usize,
    held: AtomicUsize,
}

/// A worker that notices more requests at once than it has units.
struct Worker {
    in_hand: AtomicUsize,
    units: usize,
}

impl Unit {
    fn new(slot: usize) -> Box<Self> {
        Box::new(Self { slot, held: AtomicUsize::new(0) })
    }

    fn use_alone(&self) {
        assert_eq!(self.held.fetch_add(1, Ordering::SeqCst), 0, "two holders at once");
        thread::yield_now();
        self.held.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn each_unit_has_one_holder_and_no_waiter_waits_for_ever() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        for slot in [0, 64] {
            idle.put(slot, Unit::new(slot));
        }
        let borrowers: Vec<_> = (0..3)
            .map(|_| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || {
                    for _ in 0..2 {
                        // That this returns is the other half of the test: a lost wake-up is a deadlock, which shuttle reports.
                        let unit = block_on(idle.take(ME)).unwrap();
                        unit.use_alone();
                        idle.put(unit.slot, unit);
                    }
                })
            })
            .collect();
        for borrower in borrowers {
            borrower.join().unwrap();
        }
        let mut left: Vec<_> = std::iter::from_fn(|| idle.try_take()).map(|unit| unit.slot).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 64], "none is lost");
    });
}

#[test]
fn a_taker_that_does_not_wait_gets_a_unit_or_nothing() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        idle.put(3, Unit::new(3));
        let got = Arc::new(AtomicUsize::new(0));
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let (idle, got) = (Arc::clone(&idle), Arc::clone(&got));
                thread::spawn(move || {
                    if let Some(unit) = idle.try_take() {
                        unit.use_alone();
                        got.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for taker in takers {
            taker.join().unwrap();
        }
        assert_eq!(got.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_unit_is_removed_or_handed_out_and_never_both() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        for slot in [1, 2] {
            idle.put(slot, Unit::new(slot));
        }
        let removing = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.remove(1).map(|unit| unit.slot))
        };
        let taking = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || block_on(idle.take(ME)).unwrap().slot)
        };
        let (removed, taken) = (removing.join().unwrap(), taking.join().unwrap());
        let mut all: Vec<usize> = removed.into_iter().chain([taken]).collect();
        all.extend(std::iter::from_fn(|| idle.try_take()).map(|unit| unit.slot));
        all.sort_unstable();
        assert_eq!(all, [1, 2], "removed {removed:?}, taken {taken}");
        assert!(removed.is_none_or(|slot| slot == 1));
    });
}

#[test]
fn a_unit_that_is_promised_to_a_waiter_cannot_be_removed() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        idle.put(1, Unit::new(1));
        let removing = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.remove(1).is_some())
        };
        let taking = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.try_take().is_some())
        };
        // Neither may search for ever for what the other one has.
        let (removed, taken) = (removing.join().unwrap(), taking.join().unwrap());
        assert!(!(removed && taken));
        assert_eq!(idle.try_take().is_some(), !removed && !taken);
    });
}

#[test]
fn waiters_are_served_first_come_first_served() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Unit>::new());
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        // They join the queue one after the other, before there is a unit.
        for number in 0..3 {
            let mut take = Box::pin({
                let idle = Arc::clone(&idle);
                async move { idle.take(ME).await }
            });
            joins(&mut take);
            let (served, idle) = (Arc::clone(&served), Arc::clone(&idle));
            waiting.push(spawn_task(async move {
                let unit = take.await.unwrap();
                served.lock().unwrap().push(number);
                idle.put(unit.slot, unit);
            }));
        }
        let giver = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.put(5, Unit::new(5)))
        };
        for task in waiting {
            block_on(task).unwrap();
        }
        giver.join().unwrap();
        assert_eq!(*served.lock().unwrap(), [0, 1, 2]);
    });
}

/// Polls a request once, so that it joins the queue.
fn joins<T>(take: &mut Pin<Box<impl Future<Output = T>>>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(take.as_mut().poll(&mut context).is_pending());
}

#[test]
fn callers_are_served_in_turns_and_a_newcomer_overtakes_none() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Unit>::new());
        let served = Arc::new(Mutex::new(Vec::new()));
        let (one, other) = (Caller::unique(), Caller::unique());
        let mut waiting = Vec::new();
        for (name, caller) in [("1", one), ("2", one), ("3", one), ("4", one), ("5", one), ("other", other)] {
            let (idle, served) = (Arc::clone(&idle), Arc::clone(&served));
            let mut take = Box::pin({
                let idle = Arc::clone(&idle);
                async move { idle.take(caller).await }
            });
            joins(&mut take);
            waiting.push(spawn_task(async move {
                let unit = take.await.unwrap();
                served.lock().unwrap().push(name);
                idle.put(unit.slot, unit);
            }));
        }
        let newcomer = {
            let (idle, served) = (Arc::clone(&idle), Arc::clone(&served));
            thread::spawn(move || {
                if let Some(unit) = idle.try_take() {
                    served.lock().unwrap().push("newcomer");
                    idle.put(unit.slot, unit);
                }
            })
        };
        idle.put(5, Unit::new(5));
        for task in waiting {
            block_on(task).unwrap();
        }
        newcomer.join().unwrap();
        let mut served = served.lock().unwrap().clone();
        if served.last() == Some(&"newcomer") {
            served.pop();
        }
        assert_eq!(served, ["1", "2", "3", "4", "other", "5"]);
    });
}

#[test]
fn waiters_of_several_callers_that_leave_while_units_come_back_lose_none() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Unit>::new());
        let callers = [Caller::unique(), Caller::unique()];
        let leavers: Vec<_> = callers
            .into_iter()
            .map(|caller| {
                let idle = Arc::clone(&idle);
                let mut leaver = Box::pin(async move { idle.take(caller).await });
                joins(&mut leaver);
                leaver
            })
            .collect();
        let stayers: Vec<_> = callers
            .into_iter()
            .map(|caller| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || {
                    let unit = block_on(idle.take(caller)).unwrap();
                    unit.use_alone();
                    idle.put(unit.slot, unit);
                })
            })
            .collect();
        let giver = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.put(7, Unit::new(7)))
        };
        // Before or after they were called up.
        let leaving: Vec<_> = leavers.into_iter().map(|leaver| thread::spawn(move || drop(leaver))).collect();
        for thread in stayers.into_iter().chain(leaving).chain([giver]) {
            thread.join().unwrap();
        }
        assert_eq!(idle.try_take().map(|unit| unit.slot), Some(7));
    });
}

#[test]
fn a_unit_that_comes_back_while_the_queue_closes_is_neither_lost_to_a_waiter_nor_doubled() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Unit>::new());
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || block_on(idle.take(ME)).is_ok())
            })
            .collect();
        let giver = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.put(7, Unit::new(7)))
        };
        idle.close();
        giver.join().unwrap();
        let served = waiting.into_iter().filter_map(|thread| thread.join().unwrap().then_some(())).count();
        assert!(served <= 1, "{served} waiters got the one unit");
    });
}

#[test]
fn a_waiter_that_leaves_the_queue_takes_no_unit_with_it() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Unit>::new());
        let mut leaver = Box::pin({
            let idle = Arc::clone(&idle);
            async move { idle.take(ME).await }
        });
        joins(&mut leaver);
        let stayer = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || block_on(idle.take(ME)).unwrap().slot)
        };
        let giver = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.put(7, Unit::new(7)))
        };
        // Before or after it was called up.
        drop(leaver);
        assert_eq!(stayer.join().unwrap(), 7);
        giver.join().unwrap();
    });
}

#[test]
fn closing_turns_away_all_who_wait_and_all_who_come() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Unit>::new());
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || block_on(idle.take(ME)).err())
            })
            .collect();
        idle.close();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Some(Closed));
        }
        assert!(idle.try_take().is_none());
    });
}

/// A unit of a worker that has several.
struct SharedUnit {
    slot: usize,
    worker: Arc<Worker>,
}

impl SharedUnit {
    fn use_beside_others(&self) {
        let before = self.worker.in_hand.fetch_add(1, Ordering::SeqCst);
        assert!(before < self.worker.units, "a worker has more requests than units");
        thread::yield_now();
        self.worker.in_hand.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Two workers of two units each.
fn two_by_two() -> Arc<Idle<SharedUnit>> {
    let idle = Arc::new(Idle::new());
    for slot in [0, 1] {
        let worker = Arc::new(Worker { in_hand: AtomicUsize::new(0), units: 2 });
        let another = |unit: &SharedUnit| {
            Some(Box::new(SharedUnit { slot: unit.slot, worker: Arc::clone(&unit.worker) }))
        };
        let template = Box::new(SharedUnit { slot, worker });
        let credit = |_: &SharedUnit| usize::MAX;
        idle.open(slot, Several { template, another, rest: |_| {}, credit, most: 2 }, u64::MAX);
    }
    idle
}

/// Takes so many units at the same time, each for a moment. Returns how often a worker came back with its last one.
fn borrow(idle: &Arc<Idle<SharedUnit>>, times: usize) -> usize {
    let borrowers: Vec<_> = (0..times)
        .map(|_| {
            let idle = Arc::clone(idle);
            thread::spawn(move || {
                let unit = block_on(idle.take(ME)).unwrap();
                unit.use_beside_others();
                let (_, last) = idle.give(unit.slot, Use::Done).unwrap();
                usize::from(last.is_some())
            })
        })
        .collect();
    borrowers.into_iter().map(|borrower| borrower.join().unwrap()).sum()
}

/// The slots of all units that are idle.
fn left(idle: &Idle<SharedUnit>) -> Vec<usize> {
    std::iter::from_fn(|| idle.try_take()).map(|unit| unit.slot).collect()
}

#[test]
fn a_worker_of_two_units_has_two_requests_at_most_and_none_of_its_units_is_lost() {
    in_any_order(|| {
        let idle = two_by_two();
        borrow(&idle, 5);
        assert_eq!(left(&idle), [0, 1, 0, 1], "the least busy first");
    });
}

#[test]
fn a_worker_that_wants_less_for_a_while_loses_no_unit_and_no_waiter_waits_for_ever() {
    in_any_order(|| {
        let idle = two_by_two();
        let wanting = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || {
                for credit in [0, 1, 2] {
                    idle.set_credit(0, credit);
                }
            })
        };
        borrow(&idle, 5);
        wanting.join().unwrap();
        assert_eq!(left(&idle), [0, 1, 0, 1]);
    });
}

#[test]
fn permits_that_come_and_go_together_meet_waiters_that_come_and_leave_and_none_is_lost() {
    in_any_order(|| {
        let permits = Arc::new(Permits::new(0));
        let mut leaver = Box::pin({
            let permits = Arc::clone(&permits);
            async move { drop(permits.acquire(ME).await) }
        });
        joins(&mut leaver);
        let stayers: Vec<_> = (0..2)
            .map(|_| {
                let permits = Arc::clone(&permits);
                thread::spawn(move || block_on(permits.acquire(ME)).unwrap().forget())
            })
            .collect();
        let other = {
            let permits = Arc::clone(&permits);
            thread::spawn(move || permits.take_many(2))
        };
        let leaving = thread::spawn(move || drop(leaver));
        permits.add_many(2);
        let taken = other.join().unwrap();
        permits.add_many(taken + 3);
        for stayer in stayers {
            stayer.join().unwrap();
        }
        leaving.join().unwrap();
        assert_eq!(permits.take_many(usize::MAX), 3);
    });
}

#[test]
fn a_worker_of_several_units_that_leaves_comes_back_once_and_nobody_waits_for_it() {
    in_any_order(|| {
        let idle = two_by_two();
        let closing = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || usize::from(idle.close_slot(0, |_| {}).is_some()))
        };
        let last = borrow(&idle, 5);
        assert_eq!(last + closing.join().unwrap(), 1);
        assert_eq!(left(&idle), [1, 1]);
        assert!(idle.try_take().is_none(), "what was void is gone");
    });
}

#[test]
fn workers_of_one_unit_and_of_several_serve_side_by_side() {
    in_any_order(|| {
        let idle = two_by_two();
        let worker = Arc::new(Worker { in_hand: AtomicUsize::new(0), units: 1 });
        idle.put(7, Box::new(SharedUnit { slot: 7, worker }));
        let borrowers: Vec<_> = (0..4)
            .map(|_| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || {
                    let unit = block_on(idle.take(ME)).unwrap();
                    unit.use_beside_others();
                    if unit.slot == 7 {
                        idle.put(7, unit);
                    } else {
                        idle.give(unit.slot, Use::Done).unwrap();
                    }
                })
            })
            .collect();
        for borrower in borrowers {
            borrower.join().unwrap();
        }
        assert_eq!(left(&idle), [0, 1, 7, 0, 1], "the least busy first");
    });
}
