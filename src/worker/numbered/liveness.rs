//! Whether a worker with requests in hand is alive: a loop that is blocked answers no PING.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

/// A worker that has sent nothing for so long is pinged, and after as long again without an answer it is silent.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Send a PING.
    Ping,
    /// It has not answered the last one.
    Silent,
}

/// What is known of a worker's life signs.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    timer: Option<Pin<Box<Sleep>>>,
    /// The timer runs.
    armed: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    /// It has sent something since the last check.
    #[default]
    Heard,
    /// Nothing since the last check, or the beginning of its request.
    Quiet,
    /// A PING was sent.
    Pinged,
    /// It was not answered in time.
    Silent,
}

impl State {
    /// A check is due.
    fn check(&mut self) -> Option<Check> {
        let (next, check) = match self {
            Self::Heard => (Self::Quiet, None),
            Self::Quiet => (Self::Pinged, Some(Check::Ping)),
            Self::Pinged => (Self::Silent, Some(Check::Silent)),
            Self::Silent => (Self::Silent, None),
        };
        *self = next;
        check
    }
}

impl Liveness {
    /// It has sent a frame. Returns whether it had been silent.
    pub(super) fn hear(&mut self) -> bool {
        std::mem::take(&mut self.state) == State::Silent
    }

    /// What a check finds, if one is due; wakes the task for the next one. `busy`: the worker has requests in hand.
    pub(super) fn poll(&mut self, busy: bool, cx: &mut Context<'_>) -> Poll<Check> {
        if !self.armed {
            if !busy {
                return Poll::Pending;
            }
            self.armed = true;
            self.state = State::Quiet;
            let next = Instant::now() + INTERVAL;
            self.timer.get_or_insert_with(|| Box::pin(sleep(INTERVAL))).as_mut().reset(next);
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        while timer.as_mut().poll(cx).is_ready() {
            if !busy && self.state != State::Silent {
                self.armed = false;
                return Poll::Pending;
            }
            timer.as_mut().reset(Instant::now() + INTERVAL);
            if let Some(check) = self.state.check() {
                return Poll::Ready(check);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_busy_worker_that_sends_nothing_is_pinged_and_then_silent() {
        let mut liveness = Liveness::default();
        let begun = Instant::now();
        assert_eq!(poll_fn(|cx| liveness.poll(true, cx)).await, Check::Ping);
        assert_eq!(poll_fn(|cx| liveness.poll(true, cx)).await, Check::Silent);
        assert!(begun.elapsed() >= 2 * INTERVAL && begun.elapsed() < 3 * INTERVAL);
        assert!(tokio::time::timeout(10 * INTERVAL, poll_fn(|cx| liveness.poll(true, cx))).await.is_err());
        assert!(liveness.hear(), "it is back");
        assert_eq!(poll_fn(|cx| liveness.poll(true, cx)).await, Check::Ping);
        assert!(!liveness.hear());
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_sends_something_now_and_then_or_has_nothing_in_hand_is_left_alone() {
        let mut liveness = Liveness::default();
        for _ in 0..10 {
            let check = tokio::time::timeout(INTERVAL * 3 / 2, poll_fn(|cx| liveness.poll(true, cx)));
            let check = check.await;
            assert!(!liveness.hear() && check.is_err() || check == Ok(Check::Ping));
        }
        assert!(tokio::time::timeout(10 * INTERVAL, poll_fn(|cx| liveness.poll(false, cx))).await.is_err());
    }
}
