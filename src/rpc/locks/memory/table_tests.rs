//! Waiting, with the runtime's clock.

use std::sync::Arc;
use std::time::Duration;

use super::table::Table;
use super::tests::claim;
use crate::compat::Compat;
use crate::rpc::locks::claim::{Claim, Mode};
use crate::rpc::locks::limits::LimitReached;

fn soon(id: &str, mode: Mode, wait: u64) -> Claim {
    claim(id, mode, wait, None)
}

async fn lock(locks: &Table, claim: Claim) -> Result<bool, LimitReached> {
    Ok(locks.lock(claim).await?.is_some())
}

/// Lets every task that can go on do so.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn waiters_are_served_in_the_order_of_arrival() {
    let locks = Arc::new(Table::new(Compat::default()));
    assert_eq!(lock(&locks, soon("a", Mode::Write, 0)).await, Ok(true));
    let (granted_to, mut order) = tokio::sync::mpsc::unbounded_channel();
    for id in ["b", "c", "d"] {
        let (locks, granted_to) = (Arc::clone(&locks), granted_to.clone());
        tokio::spawn(async move {
            let granted = lock(&locks, soon(id, Mode::Write, 60_000)).await.unwrap();
            granted_to.send((id, granted)).unwrap();
            assert!(locks.release("r", id));
        });
        settle().await;
    }
    assert!(locks.release("r", "a"));
    for id in ["b", "c", "d"] {
        assert_eq!(order.recv().await, Some((id, true)));
    }
    settle().await;
    assert_eq!(locks.size(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_with_its_own_time_or_when_the_lock_expires() {
    let locks = Table::new(Compat::default());
    assert_eq!(lock(&locks, claim("a", Mode::Write, 0, Some(500))).await, Ok(true));
    let begin = tokio::time::Instant::now();
    assert_eq!(lock(&locks, soon("b", Mode::Read, 100)).await, Ok(false));
    assert!((100..110).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert_eq!(lock(&locks, soon("b", Mode::Read, 5_000)).await, Ok(true));
    assert!((500..510).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    assert!(locks.release("r", "b"));
    assert_eq!(locks.size(), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_alarm_earlier_than_the_one_the_timer_sleeps_for_is_in_time() {
    let locks = Table::new(Compat::default());
    assert_eq!(lock(&locks, claim("a", Mode::Write, 0, Some(100_000))).await, Ok(true));
    settle().await;
    let begin = tokio::time::Instant::now();
    assert_eq!(lock(&locks, soon("b", Mode::Write, 50)).await, Ok(false));
    assert!(begin.elapsed() < Duration::from_millis(60), "{:?}", begin.elapsed());
    assert!(locks.update_ttl("r", "a", Some(Duration::from_millis(20))));
    assert_eq!(lock(&locks, soon("b", Mode::Write, 1_000)).await, Ok(true));
    assert!(begin.elapsed() < Duration::from_millis(90), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_leaves_the_queue_and_releases_what_it_was_granted() {
    let locks = Table::new(Compat::default());
    assert_eq!(lock(&locks, soon("a", Mode::Write, 0)).await, Ok(true));
    let mut gone = Box::pin(lock(&locks, soon("b", Mode::Write, 60_000)));
    let mut given = Box::pin(lock(&locks, soon("c", Mode::Write, 60_000)));
    let mut last = Box::pin(lock(&locks, soon("d", Mode::Write, 60_000)));
    for waiter in [&mut gone, &mut given, &mut last] {
        assert!(poll(waiter).is_pending());
    }
    drop(gone);
    assert!(locks.release("r", "a"));
    assert!(locks.exists("r", "c"), "granted, though it does not know yet");
    drop(given);
    assert_eq!(last.await, Ok(true));
    assert_eq!(locks.size(), (1, 1, 0));
}

fn poll<F: Future + Unpin>(future: &mut F) -> std::task::Poll<F::Output> {
    std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
}
