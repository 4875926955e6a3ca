//! How much is done for one worker at a time.
//!
//! All that is read from workers is decoded on the runtime's thread. So decoding yields to other tasks after a while, which is measured by
//! the work done and not by a clock. A worker that sends useless data without end is read more slowly.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Sleep, sleep};

use super::output::PAUSE;

/// Bytes that are decoded before other tasks have their turn: some 50 µs.
const TURN: usize = 64 * 1024;

/// Reading a byte of a large frame is cheaper than decoding one by this factor.
const CHEAP: usize = 4;

/// How many useless bytes a worker may send for one request before it is read slowly.
const PATIENCE: usize = 8 << 20;

/// What was done for a worker.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Bytes decoded since other tasks had their turn.
    done: usize,
    /// Useless bytes of the request in hand, or since it.
    useless: usize,
    yielded: bool,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Work {
    /// Another request is in hand.
    pub(super) fn begin(&mut self) {
        self.useless = 0;
    }

    /// Ready when decoding may go on; else the task is woken then.
    pub(super) fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        self.yielded = self.done >= TURN;
        if !self.yielded {
            return Poll::Ready(());
        }
        self.done = 0;
        if self.useless >= PATIENCE {
            let pause = self.pause.insert(Box::pin(sleep(PAUSE)));
            // A timer that was never polled wakes no task.
            let _ = pause.as_mut().poll(cx);
        } else {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Whether there was more to do when other tasks got their turn.
    pub(super) fn has_yielded(&self) -> bool {
        self.yielded
    }

    /// There is nothing to do.
    pub(super) fn wait(&mut self) {
        self.done = 0;
    }

    pub(super) fn read(&mut self, bytes: usize) {
        self.done += bytes / CHEAP;
    }

    /// Useless bytes were decoded.
    pub(super) fn dropped(&mut self, bytes: usize) {
        self.done += bytes;
        self.useless += bytes;
    }

    /// It prints too much to be logged: it is read slowly at once.
    pub(super) fn slow_down(&mut self) {
        self.useless = self.useless.max(PATIENCE);
    }

    pub(super) fn useless(&self) -> usize {
        self.useless
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::time::Instant;

    use super::*;

    fn is_my_turn(work: &mut Work) -> bool {
        work.poll_turn(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn other_tasks_have_their_turn_after_some_bytes_and_then_it_goes_on() {
        let mut work = Work::default();
        work.dropped(TURN - 1);
        assert!(is_my_turn(&mut work));
        work.dropped(1);
        assert!(!is_my_turn(&mut work) && work.has_yielded());
        assert!(is_my_turn(&mut work) && !work.has_yielded());
        work.read(TURN * CHEAP - 1);
        assert!(is_my_turn(&mut work), "what is read into a large frame is cheap");
        work.dropped(1);
        work.wait();
        assert!(is_my_turn(&mut work), "while there was nothing to do other tasks had their turn");
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_sends_useless_data_is_read_slowly_until_its_next_request() {
        let mut work = Work::default();
        let begun = Instant::now();
        let takes_a_turn = async |work: &mut Work| {
            work.dropped(TURN);
            poll_fn(|cx| work.poll_turn(cx)).await;
        };
        for _ in 0..PATIENCE / TURN - 1 {
            takes_a_turn(&mut work).await;
        }
        assert!(begun.elapsed().is_zero());
        for _ in 0..10 {
            takes_a_turn(&mut work).await;
        }
        assert!(begun.elapsed() >= 10 * PAUSE);
        work.begin();
        let begun = Instant::now();
        takes_a_turn(&mut work).await;
        assert!(begun.elapsed().is_zero());
        work.slow_down();
        takes_a_turn(&mut work).await;
        assert!(begun.elapsed() >= PAUSE);
    }
}
