//! The order of units and of waiters; every order of threads is tried in `tools/interleavings`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::caller::Caller;
use super::idle::Idle;
use super::loads::{Several, Use};
use super::permits::Closed;

/// The caller where there is but one.
const ME: Caller = Caller::NONE;

#[tokio::test]
async fn the_lowest_place_is_taken_first() {
    let idle = Idle::new();
    for slot in [70, 3, 5] {
        idle.put(slot, Box::new(slot));
    }
    assert_eq!(*idle.take(ME).await.unwrap(), 3);
    idle.put(3, Box::new(3));
    assert_eq!(*idle.try_take().unwrap(), 3);
    assert_eq!(*idle.try_take().unwrap(), 5);
    assert_eq!(*idle.try_take().unwrap(), 70);
    assert!(idle.try_take().is_none());
}

#[test]
fn of_both_kinds_of_workers_the_least_busy_one_is_taken() {
    let idle = Idle::new();
    let units = Several {
        template: Box::new(2),
        another: |slot| Some(Box::new(*slot)),
        rest: |_| {},
        credit: |_| usize::MAX,
        most: 3,
    };
    idle.open(2, units, u64::MAX);
    for slot in [70, 1] {
        idle.put(slot, Box::new(slot));
    }
    let taken: Vec<_> = std::iter::from_fn(|| idle.try_take()).map(|slot| *slot).collect();
    assert_eq!(taken, [2, 1, 70, 2, 2], "while some have nothing in hand, those are next");
    idle.put(70, Box::new(70));
    assert_eq!(idle.try_take().map(|slot| *slot), Some(70));
    assert!(idle.give(2, Use::Done).is_some());
    assert_eq!(idle.try_take().map(|slot| *slot), Some(2));
    assert!(idle.try_take().is_none());
}

#[tokio::test]
async fn waiters_are_served_in_order_and_may_leave() {
    let idle = Arc::new(Idle::new());
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(idle.take(ME))).collect();
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
async fn a_waiter_that_leaves_after_it_was_promised_a_unit_passes_it_on() {
    let idle = Idle::new();
    let mut first = Box::pin(idle.take(ME));
    let mut second = Box::pin(idle.take(ME));
    assert!(futures_poll(&mut first).is_none());
    assert!(futures_poll(&mut second).is_none());
    idle.put(0, Box::new(1));
    drop(first);
    assert_eq!(*futures_poll(&mut second).unwrap().unwrap(), 1);
}

#[test]
fn callers_take_turns_and_a_newcomer_overtakes_nobody() {
    let idle = Idle::new();
    let (one, other) = (Caller::unique(), Caller::unique());
    let mut many: Vec<_> = (0..1000).map(|_| Box::pin(idle.take(one))).collect();
    for future in &mut many {
        assert!(futures_poll(future).is_none());
    }
    let mut single = Box::pin(idle.take(other));
    assert!(futures_poll(&mut single).is_none());
    let served_before = (0..many.len()).find(|number| {
        idle.put(0, Box::new(0));
        assert!(idle.try_take().is_none(), "it belongs to a waiter");
        let is_single = futures_poll(&mut single).is_some();
        assert!(
            is_single || futures_poll(&mut many[*number]).is_some(),
            "within a caller first come, first served"
        );
        is_single
    });
    assert!(
        served_before.is_some_and(|served| served <= 4),
        "after one turn at the latest: {served_before:?}"
    );
}

#[test]
fn a_queue_whose_waiters_have_all_left_hands_units_out_as_before() {
    let idle = Idle::new();
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(idle.take(Caller::unique()))).collect();
    for future in &mut waiting {
        assert!(futures_poll(future).is_none());
    }
    waiting.clear();
    idle.put(1, Box::new(()));
    assert!(idle.try_take().is_some());
    assert!(idle.try_take().is_none());
}

#[test]
fn a_unit_that_is_promised_cannot_be_removed() {
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
async fn closing_turns_every_waiter_away() {
    let idle = Idle::<()>::new();
    let mut waiting = Box::pin(idle.take(ME));
    assert!(futures_poll(&mut waiting).is_none());
    idle.close();
    assert_eq!(waiting.await.unwrap_err(), Closed);
    assert!(idle.try_take().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_contention_each_unit_has_one_holder_and_none_is_lost() {
    let idle = Arc::new(Idle::new());
    let holders: Arc<Vec<AtomicU64>> = Arc::new((0..100).map(|_| AtomicU64::new(0)).collect());
    for slot in 0..100_usize {
        idle.put(slot, Box::new(slot));
    }
    let callers: [Caller; 3] = std::array::from_fn(|_| Caller::unique());
    let tasks: Vec<_> = (0..200)
        .map(|task| {
            let (idle, holders) = (Arc::clone(&idle), Arc::clone(&holders));
            tokio::spawn(async move {
                for round in 0..200 {
                    // Some leave while they wait, or after they were promised a unit.
                    if (task + round) % 5 == 0 {
                        let mut leaver = Box::pin(idle.take(callers[round % 3]));
                        if let Some(unit) = futures_poll(&mut leaver) {
                            let unit = unit.unwrap();
                            idle.put(*unit, unit);
                        }
                        tokio::task::yield_now().await;
                    }
                    let unit = idle.take(callers[task % 3]).await.unwrap();
                    let slot = *unit;
                    assert_eq!(holders[slot].fetch_add(1, Ordering::SeqCst), 0);
                    tokio::task::yield_now().await;
                    assert_eq!(holders[slot].fetch_sub(1, Ordering::SeqCst), 1);
                    idle.put(slot, unit);
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
