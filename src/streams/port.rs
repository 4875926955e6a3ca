//! The streams of one connection that have something to do: no stream has a task of its own.
//!
//! HTTP/2 wakes a stream when its client reads, writes or leaves. The stream then joins the queue of its connection's port, whose one task,
//! the driver, attends to it. There is a driver only while a stream is open.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use atomic_waker::AtomicWaker;

use super::budget::Share;

/// Streams that are attended to before other tasks have a turn.
const BATCH: usize = 32;

/// Something that may have something to do.
pub(super) trait Attend: fmt::Debug + Send + Sync {
    /// Does what is left to do since it was woken.
    fn attend(self: Arc<Self>);
}

/// The streams of one connection.
#[derive(Debug, Default)]
pub struct Port {
    queue: Mutex<Queue>,
    driver: AtomicWaker,
    /// Bytes of clients that take up the connection's window, since their streams have not read them.
    pub(super) unreleased: AtomicUsize,
    /// What its streams hold.
    pub(super) share: Share,
    /// Open streams, for those who need not know exactly.
    open: AtomicUsize,
}

#[derive(Debug, Default)]
struct Queue {
    /// Each stream is in it at most once.
    ready: VecDeque<Arc<dyn Attend>>,
    open: usize,
    has_driver: bool,
}

/// Attends to the streams of a port as long as one is open.
#[derive(Debug)]
#[must_use = "the streams are attended to by this alone"]
pub struct Driver(Arc<Port>);

impl Port {
    /// The number of open streams.
    pub fn open(&self) -> usize {
        self.open.load(Relaxed)
    }

    /// A stream is opened. Returns the driver, to be spawned, if there is none.
    pub(super) fn opened(self: &Arc<Self>) -> Option<Driver> {
        let mut queue = self.queue();
        queue.open += 1;
        self.open.store(queue.open, Relaxed);
        let has_driver = std::mem::replace(&mut queue.has_driver, true);
        (!has_driver).then(|| Driver(Arc::clone(self)))
    }

    /// A stream has ended.
    pub(super) fn ended(&self) {
        let mut queue = self.queue();
        queue.open -= 1;
        self.open.store(queue.open, Relaxed);
        let is_last = queue.open == 0;
        drop(queue);
        if is_last {
            self.driver.wake();
        }
    }

    /// A stream has something to do. It is not in the queue.
    pub(super) fn push(&self, stream: Arc<dyn Attend>) {
        let mut queue = self.queue();
        if queue.open == 0 {
            // It has ended.
            return;
        }
        queue.ready.push_back(stream);
        drop(queue);
        self.driver.wake();
    }

    fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.driver.register(cx.waker());
        for _ in 0..BATCH {
            let mut queue = self.queue();
            if queue.open == 0 {
                // What has ended has nothing to do.
                queue.ready = VecDeque::new();
                queue.has_driver = false;
                return Poll::Ready(());
            }
            let Some(stream) = queue.ready.pop_front() else { return Poll::Pending };
            drop(queue);
            stream.attend();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Driver {
    /// Resolves when no stream is open.
    pub async fn run(self) {
        poll_fn(|cx| self.0.poll(cx)).await;
    }
}
