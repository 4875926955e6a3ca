//! What holds in whatever order threads run.

use std::sync::Arc;

use shuttle::future::{block_on, spawn as spawn_task};
use shuttle::sync::Mutex;
use shuttle::sync::atomic::{AtomicUsize, Ordering};
use shuttle::thread;

use crate::idle::{Closed, Idle};

/// Orders that are tried of each test.
const ORDERS: usize = 400;

/// Tries random orders, and then such that keep a thread waiting for as long as they can.
fn in_any_order(test: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(test.clone(), ORDERS);
    shuttle::check_pct(test, ORDERS, 3);
}

/// A thing that notices two holders at once.
struct Thing {
    slot: usize,
    held: AtomicUsize,
}

impl Thing {
    fn new(slot: usize) -> Box<Self> {
        Box::new(Self { slot, held: AtomicUsize::new(0) })
    }

    fn use_alone(&self) {
        assert_eq!(self.held.fetch_add(1, Ordering::SeqCst), 0, "two hold it at once");
        thread::yield_now();
        self.held.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn each_thing_has_one_holder_and_nobody_waits_for_ever() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        for slot in [0, 64] {
            idle.put(slot, Thing::new(slot));
        }
        let borrowers: Vec<_> = (0..3)
            .map(|_| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || {
                    for _ in 0..2 {
                        // That this returns is the other half: a wake-up that gets lost is a deadlock, which shuttle reports.
                        let thing = block_on(idle.take()).unwrap();
                        thing.use_alone();
                        idle.put(thing.slot, thing);
                    }
                })
            })
            .collect();
        for borrower in borrowers {
            borrower.join().unwrap();
        }
        let mut left: Vec<_> = std::iter::from_fn(|| idle.try_take()).map(|thing| thing.slot).collect();
        left.sort_unstable();
        assert_eq!(left, [0, 64], "none is lost");
    });
}

#[test]
fn those_who_do_not_wait_get_a_thing_or_nothing() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        idle.put(3, Thing::new(3));
        let got = Arc::new(AtomicUsize::new(0));
        let takers: Vec<_> = (0..3)
            .map(|_| {
                let (idle, got) = (Arc::clone(&idle), Arc::clone(&got));
                thread::spawn(move || {
                    if let Some(thing) = idle.try_take() {
                        thing.use_alone();
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
fn one_who_is_removed_is_not_handed_out_and_the_other_way_round() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        for slot in [1, 2] {
            idle.put(slot, Thing::new(slot));
        }
        let removing = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.remove(1).map(|thing| thing.slot))
        };
        let taking = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || block_on(idle.take()).unwrap().slot)
        };
        let (removed, taken) = (removing.join().unwrap(), taking.join().unwrap());
        let mut all: Vec<usize> = removed.into_iter().chain([taken]).collect();
        all.extend(std::iter::from_fn(|| idle.try_take()).map(|thing| thing.slot));
        all.sort_unstable();
        assert_eq!(all, [1, 2], "removed {removed:?}, taken {taken}");
        assert!(removed.is_none_or(|slot| slot == 1));
    });
}

#[test]
fn what_is_promised_to_one_cannot_be_removed_by_another() {
    in_any_order(|| {
        let idle = Arc::new(Idle::new());
        idle.put(1, Thing::new(1));
        let removing = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.remove(1).is_some())
        };
        let taking = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.try_take().is_some())
        };
        // Neither may look for ever for what the other one has.
        let (removed, taken) = (removing.join().unwrap(), taking.join().unwrap());
        assert!(!(removed && taken));
        assert_eq!(idle.try_take().is_some(), !removed && !taken);
    });
}

#[test]
fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Thing>::new());
        let served = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        // Their places in line are taken one after the other, before there is anything to be had.
        for number in 0..3 {
            let mut take = Box::pin({
                let idle = Arc::clone(&idle);
                async move { idle.take().await }
            });
            let waker = std::task::Waker::noop();
            assert!(take.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
            let (served, idle) = (Arc::clone(&served), Arc::clone(&idle));
            waiting.push(spawn_task(async move {
                let thing = take.await.unwrap();
                served.lock().unwrap().push(number);
                idle.put(thing.slot, thing);
            }));
        }
        let giver = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.put(5, Thing::new(5)))
        };
        for task in waiting {
            block_on(task).unwrap();
        }
        giver.join().unwrap();
        assert_eq!(*served.lock().unwrap(), [0, 1, 2]);
    });
}

#[test]
fn one_who_leaves_the_line_takes_nothing_with_it() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Thing>::new());
        let mut leaver = Box::pin({
            let idle = Arc::clone(&idle);
            async move { idle.take().await }
        });
        let waker = std::task::Waker::noop();
        assert!(leaver.as_mut().poll(&mut std::task::Context::from_waker(waker)).is_pending());
        let stayer = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || block_on(idle.take()).unwrap().slot)
        };
        let giver = {
            let idle = Arc::clone(&idle);
            thread::spawn(move || idle.put(7, Thing::new(7)))
        };
        // Before or after it was called up.
        drop(leaver);
        assert_eq!(stayer.join().unwrap(), 7);
        giver.join().unwrap();
    });
}

#[test]
fn the_end_turns_away_all_who_wait_and_all_who_come() {
    in_any_order(|| {
        let idle = Arc::new(Idle::<Thing>::new());
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let idle = Arc::clone(&idle);
                thread::spawn(move || block_on(idle.take()).err())
            })
            .collect();
        idle.close();
        for thread in waiting {
            assert_eq!(thread.join().unwrap(), Some(Closed));
        }
        assert!(idle.try_take().is_none());
    });
}
